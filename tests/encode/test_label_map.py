"""A label map is the one that highdicom makes, is read as such by others, and says what the result says, or is not made."""

import dataclasses
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.inputs import read_inputs
from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, NotAnalysed, ObjectKind, Role, SeriesHeaders
from dicom_node.values.reasons import ModelFailed, ResultMismatch
from tests.encode.conftest import Case
from tests.encode.reference import find_differences, make_pixels, make_report_with_highdicom, make_with_highdicom
from tests.encode.results import PROFILE, content_of, finding, geometry_of, named, opened, read_headers, result_of, walk
from tests.encode.test_compare import (
    changed,
    mirror_frames,
    other_frame_of_reference,
    other_grid,
    other_source,
    shift_a_voxel,
    swap_spacing,
    turn,
)
from tests.make import AXIAL, OBLIQUE, SAGITTAL, base_anatomy, make_series
from tests.peers import dcmqi

LABEL_MAP = dataclasses.replace(PROFILE, objects=(ObjectKind.LABEL_MAP, ObjectKind.REPORT_3D))
CLASS = "1.2.840.10008.5.1.4.1.1.66.7"
SPACING_MM = (2.5, 0.7, 0.8)


def assert_same(objects: tuple[DicomObject, ...], result: Analysed, headers: SeriesHeaders) -> None:
    """Segmentation and report are the ones that highdicom makes, beside what is copied from the images and what every object gets."""
    inputs = read_inputs(result, headers, LABEL_MAP)
    assert find_differences(content_of(objects, Role.SEGMENTATION), make_with_highdicom(inputs), inputs) == []
    assert find_differences(content_of(objects, Role.REPORT), make_report_with_highdicom(inputs), inputs) == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(2, 6), st.integers(5, 11), st.sampled_from([5, 8, 11])),
    orientation=st.sampled_from([AXIAL, OBLIQUE, SAGITTAL]),
    enhanced=st.booleans(),
    data=st.data(),
)
def test_a_label_map_equals_that_of_highdicom(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    orientation: tuple[float, float, float, float, float, float],
    enhanced: bool,
    data: st.DataObject,
) -> None:
    datasets = make_series(base_anatomy, enhanced=enhanced, shape=shape, spacing_mm=SPACING_MM, orientation=orientation)
    headers = read_headers(datasets, tmp_path_factory.mktemp("spool"))
    count = data.draw(st.integers(1, 4))
    places = data.draw(st.dictionaries(st.tuples(*(st.integers(0, size - 1) for size in shape)), st.integers(1, count), min_size=1))
    labels = np.zeros(shape, dtype=np.uint8)
    for place, number in places.items():
        labels[place] = number
    held = [number for number in range(1, count + 1) if (labels == number).any()]
    findings = [finding(number, (0, 0, 0), labels == one) for number, one in enumerate(held, 1)]
    result = result_of(headers, geometry_of(datasets, shape, SPACING_MM, orientation), *findings)
    objects = encode.encode(result, headers, LABEL_MAP)
    assert encode.compare(objects, result) is None
    assert_same(objects, result, headers)


def test_more_segments_than_eight_bits_tell_apart(tmp_path: Path) -> None:
    shape = (3, 24, 33)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=SPACING_MM)
    headers = read_headers(datasets, tmp_path)
    findings = [finding(number, (number % 3, number // 12, number % 12 * 2), np.ones((1, 1, 2), dtype=bool)) for number in range(1, 261)]
    result = dataclasses.replace(result_of(headers, geometry_of(datasets, shape, SPACING_MM), *findings), looked_for=())
    objects = encode.encode(result, headers, LABEL_MAP)
    assert encode.compare(objects, result) is None
    assert opened(objects, Role.SEGMENTATION).BitsAllocated == 16
    assert_same(objects, result, headers)


def test_others_read_the_same_labels(case: Case, tmp_path: Path) -> None:
    objects = encode.encode(case.result, case.headers, LABEL_MAP)
    file = tmp_path / "seg.dcm"
    file.write_bytes(content_of(objects, Role.SEGMENTATION))
    labels = make_pixels(case.result)
    assert np.array_equal(dcmqi.read_segmentation(file, tmp_path / "read", case.result), labels)
    held = np.flatnonzero(labels.any(axis=(1, 2)))
    read = hd.seg.segread(file).get_volume(combine_segments=True)
    assert read.array.shape == (len(held), *labels.shape[1:])
    assert np.array_equal(read.array if _grows_upwards(read, case.result) else read.array[::-1], labels[held])


def _grows_upwards(volume: hd.Volume, result: Analysed) -> bool:
    return bool(volume.affine[:3, 0] @ np.array(result.geometry.lps_from_index)[:3, 0] > 0)


def test_the_report_names_its_class_and_its_segments(case: Case) -> None:
    objects = encode.encode(case.result, case.headers, LABEL_MAP)
    assert [one.sop_class_uid for one in objects] == [CLASS, "1.2.840.10008.5.1.4.1.1.88.34"]
    references = [item.ReferencedSOPSequence[0] for item in named(walk(opened(objects, Role.REPORT)), "121191")]
    assert [(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID, one.ReferencedSegmentNumber) for one in references] == [
        (CLASS, objects[0].sop_instance_uid, number) for number in (1, 2)
    ]
    binary = encode.encode(case.result, case.headers, PROFILE)
    assert {one.sop_instance_uid for one in binary}.isdisjoint({one.sop_instance_uid for one in objects})


def test_findings_that_overlap_are_a_segmentation_of_another_kind(case: Case) -> None:
    """A label map would lose the voxels of one of them."""
    first, second = case.result.findings
    result = dataclasses.replace(case.result, findings=(first, dataclasses.replace(second, mask=first.mask)))
    objects = encode.encode(result, case.headers, LABEL_MAP)
    assert [one.kind for one in objects] == [ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D]
    assert encode.compare(objects, result) is None


def test_a_result_is_no_label_map_where_findings_overlap(case: Case) -> None:
    first, second = case.result.findings
    overlapping = dataclasses.replace(case.result, findings=(first, dataclasses.replace(second, mask=first.mask)))
    broken = dataclasses.replace(case.result, findings=(dataclasses.replace(first, number=3),))
    refused = NotAnalysed("ab" * 32, "2.25.1", "2.25.2", None, ModelFailed(1))
    both = ObjectKind.LABEL_MAP, ObjectKind.REPORT_3D
    assert encode.find_unwritable(overlapping, case.headers, both) == {ObjectKind.LABEL_MAP}
    assert encode.find_unwritable(overlapping, case.headers, (ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D)) == frozenset()
    for result in (case.result, broken, refused, dataclasses.replace(case.result, findings=())):
        assert encode.find_unwritable(result, case.headers, both) == frozenset()


def test_more_pixels_than_an_object_can_hold_are_an_error_before_they_are_made(case: Case) -> None:
    geometry = dataclasses.replace(case.result.geometry, shape=(8, 65535, 65535))
    result = dataclasses.replace(case.result, geometry=geometry, findings=(finding(1, (0, 0, 0), np.ones((8, 1, 1), dtype=bool)),))
    tracemalloc.start()
    with pytest.raises(EncodingError):
        encode.encode(result, case.headers, LABEL_MAP)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 100_000_000


def one_label_more(dataset: Dataset) -> None:
    _set_pixel(dataset, 0, 1)


def one_label_less(dataset: Dataset) -> None:
    _set_pixel(dataset, int(np.flatnonzero(np.frombuffer(dataset.PixelData, np.uint8))[0]), 0)


def another_label(dataset: Dataset) -> None:
    _set_pixel(dataset, dataset.PixelData.index(1), 2)


def no_such_label(dataset: Dataset) -> None:
    _set_pixel(dataset, 0, 77)


def exchange_frames(dataset: Dataset) -> None:
    size = dataset.Rows * dataset.Columns
    dataset.PixelData = dataset.PixelData[size : 2 * size] + dataset.PixelData[:size] + dataset.PixelData[2 * size :]


def _set_pixel(dataset: Dataset, at: int, label: int) -> None:
    pixels = bytearray(dataset.PixelData)
    pixels[at] = label
    dataset.PixelData = bytes(pixels)


@pytest.mark.parametrize(
    "fault",
    [
        *(one_label_more, one_label_less, another_label, no_such_label, exchange_frames),
        *(mirror_frames, swap_spacing, turn, shift_a_voxel, other_frame_of_reference, other_source, other_grid),
    ],
    ids=lambda fault: fault.__name__,
)
def test_a_fault_in_a_label_map_is_seen(case: Case, fault: Callable[[Dataset], None]) -> None:
    objects = encode.encode(case.result, case.headers, LABEL_MAP)
    assert isinstance(encode.compare(changed(objects, Role.SEGMENTATION, fault), case.result), ResultMismatch)


@pytest.mark.parametrize("size", [-2, 2], ids=["shorter", "longer"])
def test_pixel_data_of_another_size_is_an_error(case: Case, size: int) -> None:
    def resize(dataset: Dataset) -> None:
        dataset.PixelData = dataset.PixelData[:size] if size < 0 else dataset.PixelData + bytes(size)

    objects = encode.encode(case.result, case.headers, LABEL_MAP)
    with pytest.raises(EncodingError):
        encode.compare(changed(objects, Role.SEGMENTATION, resize), case.result)


def test_binary_frames_that_name_no_segment_are_an_error(case: Case) -> None:
    """They would be taken for those of a label map."""

    def forget(dataset: Dataset) -> None:
        del dataset.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence

    objects = encode.encode(case.result, case.headers, PROFILE)
    with pytest.raises(EncodingError):
        encode.compare(changed(objects, Role.SEGMENTATION, forget), case.result)


def test_an_odd_number_of_pixels_is_padded(tmp_path: Path) -> None:
    shape = (3, 5, 7)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=SPACING_MM)
    headers = read_headers(datasets, tmp_path)
    result = result_of(headers, geometry_of(datasets, shape, SPACING_MM), finding(1, (1, 2, 3), np.ones((1, 1, 1), dtype=bool)))
    objects = encode.encode(result, headers, LABEL_MAP)
    assert len(pydicom.dcmread(io.BytesIO(objects[0].content)).PixelData) == 36
    assert encode.compare(objects, result) is None
    assert_same(objects, result, headers)
