"""Frames made in bulk are the frames that highdicom makes one by one, element by element and bit by bit."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_node import encode
from dicom_node.encode.inputs import read_inputs
from dicom_node.values import Analysed, DicomObject, Finding, Role, SeriesHeaders
from tests.encode.reference import find_differences, make_with_highdicom
from tests.encode.results import PROFILE, content_of, finding, geometry_of, opened, read_headers, result_of
from tests.make import AXIAL, OBLIQUE, SAGITTAL, base_anatomy, make_series


def assert_same(objects: tuple[DicomObject, ...], result: Analysed, headers: SeriesHeaders) -> None:
    """The segmentation is the one that highdicom makes, beside what is copied from the images and what every object gets."""
    inputs = read_inputs(result, headers, PROFILE)
    assert find_differences(content_of(objects, Role.SEGMENTATION), make_with_highdicom(inputs), inputs) == []


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
