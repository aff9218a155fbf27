"""What was written is read back from its bytes, and a fault in any place is seen."""

import dataclasses
import io
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.values import DicomObject, Mask, Role
from dicom_node.values.reasons import ReportMismatch, ResultMismatch
from tests.encode.conftest import Case
from tests.encode.results import PROFILE, named, walk


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


SEGMENTATION_FAULTS = [
    flip_a_bit, mirror_frames, swap_spacing, turn, shift_a_voxel, other_frame_of_reference, other_segment, other_source, drop_a_frame,
]  # fmt: skip


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


def test_objects_that_are_not_those_of_the_result(case: Case) -> None:
    """A segmentation without findings, findings without a segmentation, no report."""
    objects = encode.encode(case.result, case.headers, PROFILE)
    nothing = dataclasses.replace(case.result, findings=())
    voxels = sum(int(np.count_nonzero(one.mask.voxels)) for one in case.result.findings)
    assert encode.compare(objects, nothing) == ResultMismatch(voxels)
    assert encode.compare(objects[1:], case.result) == ResultMismatch(voxels)
    assert encode.compare(objects[:1], case.result) == ReportMismatch(1)
    assert encode.compare(encode.encode(nothing, case.headers, PROFILE), nothing) is None
