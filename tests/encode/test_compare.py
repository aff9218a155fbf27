"""What was written is read back from its bytes, and a fault in any place is seen."""

import contextlib
import dataclasses
import io
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, Mask, Role
from dicom_node.values.reasons import ReportMismatch, ResultMismatch
from tests.encode.conftest import Case
from tests.encode.results import PROFILE, finding, geometry_of, named, read_headers, result_of, walk
from tests.make import base_anatomy, make_series


def changed(objects: tuple[DicomObject, ...], role: Role, change: Callable[[Dataset], None]) -> tuple[DicomObject, ...]:
    """The objects with one of them altered after it was written."""
    made = []
    for one in objects:
        dataset = pydicom.dcmread(io.BytesIO(one.content))
        if one.role is role:
            change(dataset)
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        made.append(dataclasses.replace(one, content=buffer.getvalue()))
    return tuple(made)


def flip_a_bit(dataset: Dataset) -> None:
    pixels = bytearray(dataset.PixelData)
    pixels[10] ^= 1
    dataset.PixelData = bytes(pixels)


def mirror_frames(dataset: Dataset) -> None:
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    positions = [frame.PlanePositionSequence for frame in frames[:3]]
    for frame, position in zip(frames[:3], reversed(positions), strict=True):
        frame.PlanePositionSequence = position


def swap_spacing(dataset: Dataset) -> None:
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = list(reversed(measures.PixelSpacing))


def turn(dataset: Dataset) -> None:
    plane = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]


def shift_a_voxel(dataset: Dataset) -> None:
    plane = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    plane.ImagePositionPatient = [plane.ImagePositionPatient[0] + 1.25, *plane.ImagePositionPatient[1:]]


def other_frame_of_reference(dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = "2.25.1"


def other_segment(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2


def other_source(dataset: Dataset) -> None:
    frame = dataset.PerFrameFunctionalGroupsSequence[0]
    frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def drop_a_frame(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence = list(dataset.PerFrameFunctionalGroupsSequence)[:-1]


def repeat_a_frame(dataset: Dataset) -> None:
    frames = list(dataset.PerFrameFunctionalGroupsSequence)
    dataset.PerFrameFunctionalGroupsSequence = [*frames, frames[0]]
    dataset.PixelData += dataset.PixelData[: dataset.Rows * dataset.Columns // 8]


def other_grid(dataset: Dataset) -> None:
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows


def no_such_segment(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 3


SEGMENTATION_FAULTS = [
    flip_a_bit, mirror_frames, swap_spacing, turn, shift_a_voxel, other_frame_of_reference, other_segment, other_source, drop_a_frame,
    repeat_a_frame, other_grid, no_such_segment,
]  # fmt: skip


def second_source(dataset: Dataset) -> None:
    sources = dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    sources.append(sources[0])


def no_source(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence


def no_place(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence


def half_a_place(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [1.0, 2.0]


def undefined_length(dataset: Dataset) -> None:
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = True


def no_pixels(dataset: Dataset) -> None:
    del dataset.PixelData


def too_few_pixels(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:-10]


UNREADABLE = [second_source, no_source, no_place, half_a_place, undefined_length, no_pixels, too_few_pixels]


def other_value(report: Dataset) -> None:
    measured = named(walk(report), "118565006")[1].MeasuredValueSequence[0]
    measured.NumericValue = "523.2"


def other_unit(report: Dataset) -> None:
    named(walk(report), "118565006")[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "mm2"


def other_score(report: Dataset) -> None:
    named(walk(report), "SCORE")[0].MeasuredValueSequence[0].NumericValue = "0.18"


def other_tracking_uid(report: Dataset) -> None:
    named(walk(report), "112040")[0].UID = "2.25.1"


def other_segment_number(report: Dataset) -> None:
    named(walk(report), "121191")[0].ReferencedSOPSequence[0].ReferencedSegmentNumber = 2


def other_object(report: Dataset) -> None:
    named(walk(report), "121191")[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def drop_a_group(report: Dataset) -> None:
    (measurements,) = named(list(report.ContentSequence), "126010")
    del measurements.ContentSequence[1]


REPORT_FAULTS = [other_value, other_unit, other_score, other_tracking_uid, other_segment_number, other_object, drop_a_group]


def test_what_was_written_equals_the_result(case: Case) -> None:
    objects = encode.encode(case.result, case.headers, PROFILE)
    assert encode.compare(objects, case.result) is None
    assert encode.compare(changed(objects, Role.REPORT, lambda _: None), case.result) is None


@pytest.mark.parametrize("fault", SEGMENTATION_FAULTS)
def test_a_fault_in_the_segmentation_is_seen(case: Case, fault: Callable[[Dataset], None]) -> None:
    objects = changed(encode.encode(case.result, case.headers, PROFILE), Role.SEGMENTATION, fault)
    match encode.compare(objects, case.result):
        case ResultMismatch(voxels):
            assert voxels > 0
        case other:
            pytest.fail(f"{other}")


@pytest.mark.parametrize("fault", REPORT_FAULTS)
def test_a_fault_in_the_report_is_seen(case: Case, fault: Callable[[Dataset], None]) -> None:
    objects = changed(encode.encode(case.result, case.headers, PROFILE), Role.REPORT, fault)
    match encode.compare(objects, case.result):
        case ReportMismatch(differences):
            assert differences > 0
        case other:
            pytest.fail(f"{other}")


def test_one_voxel_of_difference_is_one(case: Case) -> None:
    objects = encode.encode(case.result, case.headers, PROFILE)
    first, second = case.result.findings
    voxels = first.mask.voxels.copy()
    voxels[1, 1, 1] = False
    other = dataclasses.replace(first, mask=Mask(first.mask.origin, voxels))
    assert encode.compare(objects, dataclasses.replace(case.result, findings=(other, second))) == ResultMismatch(1)


@pytest.mark.parametrize("fault", UNREADABLE)
def test_what_cannot_be_read_back_is_an_error_of_ours(case: Case, fault: Callable[[Dataset], None]) -> None:
    objects = changed(encode.encode(case.result, case.headers, PROFILE), Role.SEGMENTATION, fault)
    with pytest.raises(EncodingError):
        encode.compare(objects, case.result)


@pytest.mark.parametrize("role", [Role.SEGMENTATION, Role.REPORT])
@pytest.mark.parametrize("size_bytes", [0, 100, 140, 1000, 5000, -10])
def test_an_object_that_breaks_off_is_never_taken_for_the_result(case: Case, role: Role, size_bytes: int) -> None:
    """It is a reason or an error of ours, whatever pydicom makes of it."""
    objects = encode.encode(case.result, case.headers, PROFILE)
    broken = [dataclasses.replace(one, content=one.content[:size_bytes]) if one.role is role else one for one in objects]
    with warnings.catch_warnings(), contextlib.suppress(EncodingError):
        warnings.simplefilter("ignore")  # pydicom's, of where it breaks off
        assert encode.compare(broken, case.result) is not None


@pytest.mark.parametrize("columns", [24, 21])
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_pixel_that_differs_is_counted_once(tmp_path_factory: pytest.TempPathFactory, columns: int, data: st.DataObject) -> None:
    """Inside of a mask's box and outside, in overlapping segments, in frames that are no whole bytes."""
    shape, spacing_mm = (4, 7, columns), (2.0, 1.5, 1.25)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=spacing_mm)
    headers = read_headers(datasets, tmp_path_factory.mktemp("spool"))
    findings = [finding(number, (number, 2, 3 * number), np.ones((2, 3, 5), dtype=bool)) for number in (1, 2)]
    result = result_of(headers, geometry_of(datasets, shape, spacing_mm), *findings)
    bits = data.draw(st.sets(st.integers(0, 4 * 7 * columns - 1), min_size=1, max_size=40))

    def flip(dataset: Dataset) -> None:
        pixels = bytearray(dataset.PixelData)
        for bit in bits:
            pixels[bit // 8] ^= 1 << bit % 8
        dataset.PixelData = bytes(pixels)

    objects = changed(encode.encode(result, headers, PROFILE), Role.SEGMENTATION, flip)
    assert encode.compare(objects, result) == ResultMismatch(len(bits))


def test_a_frame_twice_counts_its_pixels_and_another_grid_all(case: Case) -> None:
    objects = encode.encode(case.result, case.headers, PROFILE)
    first, second = (one.mask.voxels for one in case.result.findings)
    twice = changed(objects, Role.SEGMENTATION, repeat_a_frame)
    assert encode.compare(twice, case.result) == ResultMismatch(int(np.count_nonzero(first[-1])))  # the last slice is the first frame
    other = changed(objects, Role.SEGMENTATION, other_grid)
    assert encode.compare(other, case.result) == ResultMismatch(2 * int(np.count_nonzero(first) + np.count_nonzero(second)))


def test_positions_may_jitter_and_not_jump(case: Case) -> None:
    """By less than a quarter of a voxel, along the slices and in their plane."""
    objects = encode.encode(case.result, case.headers, PROFILE)
    for axis, size_mm in enumerate((1.25, 1.5, 2.0)):
        for voxels, is_same in ((0.24, True), (0.26, False)):

            def move(dataset: Dataset, axis: int = axis, shift_mm: float = voxels * size_mm) -> None:
                plane = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
                place = [float(part) for part in plane.ImagePositionPatient]
                place[axis] += shift_mm
                plane.ImagePositionPatient = place

            assert (encode.compare(changed(objects, Role.SEGMENTATION, move), case.result) is None) == is_same


@pytest.mark.parametrize(("share", "is_same"), [(0.01, True), (0.02, False)])
@pytest.mark.parametrize("what", ["rows", "columns", "turned", "tilted"])
def test_a_plane_is_looked_at_as_far_as_the_mask_goes(case: Case, what: str, share: float, is_same: bool) -> None:
    """Its first pixel lies where it should; the last ones, some twenty pixels away, are nearly a quarter or nearly half of a voxel off."""
    result = dataclasses.replace(case.result, findings=(finding(1, (3, 0, 0), np.ones((1, 20, 20), dtype=bool)),))

    def change(dataset: Dataset) -> None:
        shared = dataset.SharedFunctionalGroupsSequence[0]
        measures, plane = shared.PixelMeasuresSequence[0], shared.PlaneOrientationSequence[0]
        rows_mm, columns_mm = measures.PixelSpacing
        match what:
            case "rows":
                measures.PixelSpacing = [rows_mm * (1 + share), columns_mm]
            case "columns":
                measures.PixelSpacing = [rows_mm, columns_mm * (1 + share)]
            case "turned":
                plane.ImageOrientationPatient = [1, share, 0, 0, 1, 0]
            case "tilted":
                plane.ImageOrientationPatient = [1, 0, 0, 0, 1, share]

    objects = changed(encode.encode(result, case.headers, PROFILE), Role.SEGMENTATION, change)
    assert (encode.compare(objects, result) is None) == is_same


def large(case: Case, shape: tuple[int, int, int], *masks: Mask) -> Analysed:
    """A result on a larger grid than its images say they have; the encoder takes it from the geometry."""
    geometry = dataclasses.replace(case.result.geometry, shape=shape)
    findings = tuple(finding(number, mask.origin, mask.voxels) for number, mask in enumerate(masks, 1))
    return dataclasses.replace(case.result, geometry=geometry, findings=findings)


def test_reading_back_holds_a_byte_for_each_voxel_of_the_largest_box(case: Case) -> None:
    mask = Mask((0, 10, 20), np.ones((8, 480, 450), dtype=bool))
    result = large(case, (8, 512, 512), mask, mask, mask)
    objects = encode.encode(result, case.headers, PROFILE)
    tracemalloc.start()
    assert encode.compare(objects, result) is None
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < mask.voxels.size + 4 * 512 * 512 + 500_000  # the box, a frame, and what pydicom makes of the rest


def test_reading_back_thousands_of_frames_takes_no_more_than_writing_them_a_few_times(tmp_path: Path) -> None:
    """In seconds of this process's own, the least of three, since other work may be going on. With a data set of pydicom's for each item:
    13 times."""
    shape, spacing_mm = (60, 16, 16), (2.0, 1.5, 1.25)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=spacing_mm)
    headers = read_headers(datasets, tmp_path)
    findings = [finding(number, (0, number % 8, number % 7), np.ones((60, 5, 6), dtype=bool)) for number in range(1, 61)]
    result = result_of(headers, geometry_of(datasets, shape, spacing_mm), *findings)
    encode.encode(result, headers, PROFILE)  # what is only done once is done
    writing_s, reading_s = [], []
    for _ in range(3):
        start_s = time.process_time()
        objects = encode.encode(result, headers, PROFILE)
        written_s = time.process_time()
        assert encode.compare(objects, result) is None
        writing_s.append(written_s - start_s)
        reading_s.append(time.process_time() - written_s)
    assert min(reading_s) < 6 * min(writing_s), (writing_s, reading_s)


def test_objects_that_are_not_those_of_the_result(case: Case) -> None:
    """A segmentation without findings, findings without a segmentation, no report."""
    objects = encode.encode(case.result, case.headers, PROFILE)
    nothing = dataclasses.replace(case.result, findings=())
    voxels = sum(int(np.count_nonzero(one.mask.voxels)) for one in case.result.findings)
    assert encode.compare(objects, nothing) == ResultMismatch(voxels)
    assert encode.compare(objects[1:], case.result) == ResultMismatch(voxels)
    assert encode.compare(objects[:1], case.result) == ReportMismatch(1)
    assert encode.compare(encode.encode(nothing, case.headers, PROFILE), nothing) is None
