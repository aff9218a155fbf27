"""Frames made in bulk are the frames that highdicom makes one by one, element by element and bit by bit."""

import dataclasses
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.tag import Tag

from dicom_node import encode
from dicom_node.encode.inputs import Inputs
from dicom_node.encode.source import read_source
from dicom_node.values import Analysed, DicomObject, Finding, Role, SeriesHeaders
from tests.encode.reference import make_with_highdicom
from tests.encode.results import PROFILE, content_of, finding, geometry_of, opened, raw_value, read_headers, result_of
from tests.make import AXIAL, OBLIQUE, SAGITTAL, base_anatomy, make_series

# What every kind of object gets alike when it is finished, whoever made it.
FINISHED = {
    *("ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"),
    *("SpecificCharacterSet", "ContributingEquipmentSequence", "StationName", "ContentQualification"),
}


# Sequences that are written here as bytes: pydicom must write the same of what highdicom makes, with defined lengths as well.
IN_BULK = ("PerFrameFunctionalGroupsSequence", "SourceImageSequence", "ReferencedSeriesSequence", "SharedFunctionalGroupsSequence")


def assert_same(objects: tuple[DicomObject, ...], result: Analysed, headers: SeriesHeaders) -> None:
    """The segmentation is the one that highdicom makes, beside what is copied from the images and what every object gets."""
    instances = {one.instance.sop_instance_uid: one for one in headers.instances}
    used = {uid: instances[uid] for uid in dict.fromkeys(frame.sop_instance_uid for frame in result.geometry.frames)}
    source = read_source(list(used.values()))
    written = io.BytesIO()
    make_with_highdicom(Inputs(result, used, source, PROFILE, None)).save_as(written)
    made, reference = opened(objects, Role.SEGMENTATION), pydicom.dcmread(io.BytesIO(written.getvalue()))
    elsewhere = {*(source.identity | source.image), *map(Tag, FINISHED)}
    assert set(made.keys()) - elsewhere == set(reference.keys()) - elsewhere
    for element in reference:
        if element.tag in elsewhere or element.keyword == "PixelData":
            continue
        assert made[element.tag].VR == element.VR, element
        assert made[element.tag].value == element.value, element.keyword
    for keyword in IN_BULK:
        mine, wanted = (raw_value(content, Tag(keyword)) for content in (content_of(objects, Role.SEGMENTATION), written.getvalue()))
        assert mine == wanted, keyword
    assert made["PixelData"].VR == reference["PixelData"].VR
    count = made.Rows * made.Columns * made.NumberOfFrames
    bits, wanted = (np.unpackbits(np.frombuffer(one.PixelData, np.uint8), bitorder="little") for one in (made, reference))
    assert np.array_equal(bits[:count], wanted[:count])
    assert not bits[count:].any()
    assert len(made.PixelData) % 2 == 0


def masks(shape: tuple[int, int, int]) -> st.SearchStrategy[set[tuple[int, int, int]]]:
    return st.sets(st.tuples(*(st.integers(0, size - 1) for size in shape)), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(2, 6), st.integers(5, 11), st.sampled_from([5, 8, 11, 16, 24])),
    orientation=st.sampled_from([AXIAL, OBLIQUE, SAGITTAL]),
    enhanced=st.booleans(),
    data=st.data(),
)
def test_bulk_frames_equal_those_of_highdicom(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    orientation: tuple[float, float, float, float, float, float],
    enhanced: bool,
    data: st.DataObject,
) -> None:
    datasets = make_series(base_anatomy, enhanced=enhanced, shape=shape, spacing_mm=(2.5, 0.7, 0.8), orientation=orientation)
    headers = read_headers(datasets, tmp_path_factory.mktemp("spool"))
    findings = [_cropped(number, data.draw(masks(shape))) for number in range(1, data.draw(st.integers(1, 4)) + 1)]
    result = result_of(headers, geometry_of(datasets, shape, (2.5, 0.7, 0.8), orientation), *findings)
    objects = encode.encode(result, headers, PROFILE)
    assert encode.compare(objects, result) is None
    assert_same(objects, result, headers)


def _cropped(number: int, voxels: set[tuple[int, int, int]]) -> Finding:
    """A finding whose mask is no larger than its voxels need."""
    places = np.array(sorted(voxels))
    origin = places.min(axis=0)
    mask = np.zeros(places.max(axis=0) - origin + 1, dtype=bool)
    mask[tuple((places - origin).T)] = True
    return finding(number, (int(origin[0]), int(origin[1]), int(origin[2])), mask)


def test_slices_that_do_not_lie_evenly_are_no_3d(tmp_path_factory: pytest.TempPathFactory) -> None:
    shape = (6, 8, 8)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=(2.5, 0.7, 0.8))
    headers = read_headers(datasets, tmp_path_factory.mktemp("spool"))
    for held, organisation in (((1, 2, 3), "3D"), ((1, 2, 4), None), ((2,), None), ((0, 2, 4), "3D")):
        voxels = np.zeros(shape, dtype=bool)
        voxels[list(held), 3, 4] = True
        result = result_of(headers, geometry_of(datasets, shape, (2.5, 0.7, 0.8)), finding(1, (0, 0, 0), voxels))
        objects = encode.encode(result, headers, PROFILE)
        made = opened(objects, Role.SEGMENTATION)
        assert made.get("DimensionOrganizationType") == organisation
        assert made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices == 2.5
        assert_same(objects, result, headers)


def test_many_segments_on_many_slices(tmp_path_factory: pytest.TempPathFactory) -> None:
    """More segments than a number of 8 bits can tell apart, and than a row has pixels; some overlap."""
    shape = (3, 24, 32)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=(2.5, 0.7, 0.8))
    headers = read_headers(datasets, tmp_path_factory.mktemp("spool"))
    findings = [finding(number, (number % 3, number % 22, number % 30), np.ones((1, 2, 2), dtype=bool)) for number in range(1, 261)]
    result = result_of(headers, geometry_of(datasets, shape, (2.5, 0.7, 0.8)), *findings)
    result = dataclasses.replace(result, looked_for=())
    objects = encode.encode(result, headers, PROFILE)
    assert encode.compare(objects, result) is None
    assert_same(objects, result, headers)


@pytest.mark.parametrize("columns", [512, 509])
def test_encoding_holds_pixel_data_no_more_than_twice(tmp_path: Path, columns: int) -> None:
    """As it is packed, and in the object; in a mask that is a part of a larger array too."""
    shape, spacing_mm = (60, 512, columns), (2.5, 0.7, 0.8)
    datasets = make_series(base_anatomy, shape=(60, 8, 8), spacing_mm=spacing_mm)  # the encoder takes the grid from the geometry
    headers = read_headers(datasets, tmp_path)
    voxels = np.ones((60, 500, 600), dtype=bool)[:, :400, :410]
    findings = [finding(number, (0, number, 2 * number), voxels) for number in range(1, 17)]
    result = result_of(headers, geometry_of(datasets, shape, spacing_mm), *findings)
    tracemalloc.start()
    objects = encode.encode(result, headers, PROFILE)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2.3 * len(opened(objects, Role.SEGMENTATION).PixelData)
