"""A segmentation of more frames than a destination's viewers show is divided; whoever looks for a segment finds it all the same."""

import dataclasses
import io
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.division import divide
from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, Finding, Mask, ObjectKind, Role
from dicom_node.values.reasons import ReportMismatch, ResultMismatch
from tests.encode.conftest import SHAPE, SPACING_MM, Case
from tests.encode.results import PROFILE, finding, geometry_of, named, read_headers, result_of, walk
from tests.encode.test_objects import new_complaints
from tests.make import base_anatomy, make_series

SEGMENTATION, REPORT = ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D
FOUR = dataclasses.replace(PROFILE, most_frames=4)
COUNTS = (3, 1, 2, 6, 4, 1)  # frames of the segments, in instances of four: 3 and 1; 2; 6; 4; 1
PARTS = [[1, 2], [3], [4], [5], [6]]


def of_frames(*counts: int) -> tuple[Finding, ...]:
    """Findings on so many slices each, on places of their own; one slice in the middle of the fourth is empty."""
    findings = []
    for number, count in enumerate(counts, 1):
        voxels = np.ones((count + (number == 4), 2, number), dtype=bool)
        if number == 4:
            voxels[2] = False
        findings.append(finding(number, (number % 2, 3 * (number - 1), 2), voxels))
    return tuple(findings)


@pytest.fixture
def divided(case: Case) -> Case:
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=of_frames(*COUNTS)))


def segmentations_of(objects: Sequence[DicomObject]) -> list[Dataset]:
    return [pydicom.dcmread(io.BytesIO(one.content)) for one in objects if one.role is Role.SEGMENTATION]


def report_of(objects: Sequence[DicomObject]) -> Dataset:
    (one,) = [one for one in objects if one.role is Role.REPORT]
    return pydicom.dcmread(io.BytesIO(one.content))


def segments_of(report: Dataset) -> list[tuple[str, int, str]]:
    """What each group of findings refers to, and as what it is tracked."""
    found = []
    for group in named(walk(report), "125007"):
        items = list(group.ContentSequence)
        for item in named(items, "121191"):
            reference = item.ReferencedSOPSequence[0]
            uid = named(items, "112040")[0].UID
            found.append((str(reference.ReferencedSOPInstanceUID), int(reference.ReferencedSegmentNumber), str(uid)))
    return found


@given(counts=st.lists(st.integers(1, 6), max_size=12), most=st.integers(0, 9))
def test_no_segment_is_cut_and_none_is_alone_without_need(counts: list[int], most: int) -> None:
    findings = tuple(finding(number, (0, 0, 0), np.ones((count, 1, 1), dtype=bool)) for number, count in enumerate(counts, 1))
    starts = divide(findings, most)
    assert starts[0] == 1
    assert list(starts) == sorted(set(starts))
    parts = [counts[start - 1 : end - 1] for start, end in zip(starts, (*starts[1:], len(counts) + 1), strict=True)]
    assert [count for part in parts for count in part] == counts
    if most == 0:
        assert len(parts) == 1
        return
    assert all(sum(part) <= most or len(part) == 1 for part in parts)
    assert all(sum(one) + other[0] > most for one, other in itertools.pairwise(parts))


def test_each_is_within_the_budget_in_one_series(divided: Case) -> None:
    objects = encode.encode(divided.result, divided.headers, FOUR)
    assert [one.role for one in objects] == [*[Role.SEGMENTATION] * 5, Role.REPORT]
    assert encode.compare(objects, divided.result) is None
    made = segmentations_of(objects)
    assert [one.NumberOfFrames for one in made] == [4, 2, 6, 4, 1]
    assert [one.InstanceNumber for one in made] == [1, 2, 3, 4, 5]
    assert len({one.SeriesInstanceUID for one in made}) == len({one.SeriesNumber for one in made}) == 1
    assert len({one.SOPInstanceUID for one in made}) == 5
    tracked = [[(one.SegmentNumber, one.TrackingUID) for one in segmentation.SegmentSequence] for segmentation in made]
    wanted = [[(place, divided.result.findings[number - 1].tracking_uid) for place, number in enumerate(part, 1)] for part in PARTS]
    assert tracked == wanted


@pytest.mark.parametrize("kind", [REPORT, ObjectKind.REPORT_COMPREHENSIVE, ObjectKind.REPORT_ENHANCED])
def test_each_group_refers_to_its_segment_and_all_are_evidence(divided: Case, kind: ObjectKind) -> None:
    objects = encode.encode(divided.result, divided.headers, dataclasses.replace(FOUR, objects=(SEGMENTATION, kind)))
    report, made = report_of(objects), segmentations_of(objects)
    assert segments_of(report) == [
        (str(segmentation.SOPInstanceUID), int(segment.SegmentNumber), str(segment.TrackingUID))
        for segmentation in made
        for segment in segmentation.SegmentSequence
    ]
    evidence = [
        str(one.ReferencedSOPInstanceUID)
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        if series.SeriesInstanceUID == made[0].SeriesInstanceUID
        for one in series.ReferencedSOPSequence
    ]
    assert sorted(evidence) == sorted(str(one.SOPInstanceUID) for one in made)


def test_another_reader_finds_the_same_pixels(divided: Case) -> None:
    """highdicom's, which asks by the place of the source images."""
    uids = [str(one.SOPInstanceUID) for one in divided.datasets]
    objects = encode.encode(divided.result, divided.headers, FOUR)
    segmentations = [one for one in objects if one.role is Role.SEGMENTATION]
    for made, part in zip(segmentations, PARTS, strict=True):
        pixels = hd.seg.segread(io.BytesIO(made.content)).get_pixels_by_source_instance(uids, ignore_spatial_locations=True)
        for place, number in enumerate(part):
            whole = np.zeros(SHAPE, dtype=bool)
            mask = divided.result.findings[number - 1].mask
            (first, row, column), (depth, height, width) = mask.origin, mask.voxels.shape
            whole[first : first + depth, row : row + height, column : column + width] = mask.voxels
            assert np.array_equal(pixels[..., place].astype(bool), whole)


def test_a_limit_that_is_not_reached_changes_nothing_but_the_names(case: Case) -> None:
    """And none leaves the names as they are."""
    plain = encode.encode(case.result, case.headers, PROFILE)
    high = encode.encode(case.result, case.headers, dataclasses.replace(PROFILE, most_frames=400))
    assert [one.role for one in high] == [one.role for one in plain]
    (one,), (other,) = segmentations_of(high), segmentations_of(plain)
    assert one.PixelData == other.PixelData
    assert one.SOPInstanceUID != other.SOPInstanceUID
    assert encode.compare(high, case.result) is None


def test_what_does_not_depend_on_the_limit_keeps_its_name(divided: Case) -> None:
    """So that a picture that a destination holds is not made a second time when the limit is changed."""
    for kinds in [(ObjectKind.CAPTURE,), (ObjectKind.LABEL_MAP, REPORT), (ObjectKind.REPORT_COMPREHENSIVE,)]:
        profiles = [dataclasses.replace(PROFILE, objects=kinds, most_frames=most) for most in (0, 4)]
        one, other = (encode.encode(divided.result, divided.headers, profile) for profile in profiles)
        assert one == other


def test_a_label_map_is_not_divided(divided: Case) -> None:
    """It has a frame for each slice, whatever its segments."""
    objects = encode.encode(divided.result, divided.headers, dataclasses.replace(FOUR, objects=(ObjectKind.LABEL_MAP, REPORT)))
    (made,) = segmentations_of(objects)
    assert made.NumberOfFrames == 7
    assert encode.compare(objects, divided.result) is None


def test_nothing_found_is_as_ever(case: Case) -> None:
    nothing = dataclasses.replace(case.result, findings=())
    assert [one.role for one in encode.encode(nothing, case.headers, FOUR)] == [Role.REPORT]


@pytest.mark.parametrize("enhanced", [False, True])
def test_dciodvfy_finds_nothing(tmp_path: Path, validator: Callable[[str], str], enhanced: bool) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    result = result_of(headers, geometry_of(datasets, SHAPE, SPACING_MM), *of_frames(*COUNTS))
    objects = encode.encode(result, headers, FOUR)
    assert encode.compare(objects, result) is None
    for one in objects:
        assert new_complaints(validator, headers, tmp_path, (one,), tmp_path) == set()


def test_findings_out_of_order_are_refused(divided: Case) -> None:
    findings = divided.result.findings
    empty = dataclasses.replace(findings[0], mask=Mask((0, 0, 0), np.zeros((1, 1, 1), dtype=bool)))
    for wrong in ((findings[0], *findings[2:]), findings[::-1], (empty, *findings[1:])):
        with pytest.raises(EncodingError):
            encode.encode(dataclasses.replace(divided.result, findings=wrong), divided.headers, FOUR)


# -- compare -----------------------------------------------------------------------------------------------------------------


def test_a_segmentation_that_is_not_there_or_in_another_place_is_seen(divided: Case) -> None:
    *made, report = encode.encode(divided.result, divided.headers, FOUR)
    for some in (made[1:], made[:-1], made[::-1], [*made, made[0]], []):
        assert isinstance(encode.compare([*some, report], divided.result), ResultMismatch)


def test_a_segmentation_of_another_result_is_seen(divided: Case) -> None:
    *made, report = encode.encode(divided.result, divided.headers, FOUR)
    other = encode.encode(dataclasses.replace(divided.result, key="cd" * 32), divided.headers, FOUR)
    assert isinstance(encode.compare([*made[:2], other[2], *made[3:], report], divided.result), ReportMismatch)


def test_a_group_on_the_segment_of_another_is_seen(divided: Case) -> None:
    """Of the same number in another instance, or of another number in the same one."""
    *made, report = encode.encode(divided.result, divided.headers, FOUR)
    uids = [one.sop_instance_uid for one in made]
    for number, (group, change) in enumerate([(0, {"ReferencedSOPInstanceUID": uids[1]}), (1, {"ReferencedSegmentNumber": 1})]):
        dataset = pydicom.dcmread(io.BytesIO(report.content))
        (item,) = named(list(named(walk(dataset), "125007")[group].ContentSequence), "121191")
        for keyword, value in change.items():
            setattr(item.ReferencedSOPSequence[0], keyword, value)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=False)
        broken = dataclasses.replace(report, content=buffer.getvalue())
        assert encode.compare([*made, broken], divided.result) == ReportMismatch(1), number


def test_a_pixel_more_in_the_third_is_seen(divided: Case) -> None:
    *made, report = encode.encode(divided.result, divided.headers, FOUR)
    dataset = pydicom.dcmread(io.BytesIO(made[2].content))
    dataset.PixelData = bytes([dataset.PixelData[0] ^ 1]) + dataset.PixelData[1:]
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=False)
    broken = dataclasses.replace(made[2], content=buffer.getvalue())
    assert encode.compare([*made[:2], broken, *made[3:], report], divided.result) == ResultMismatch(1)


def test_many_findings(case: Case) -> None:
    """A hundred of one frame each, in instances of forty."""
    result: Analysed = dataclasses.replace(
        case.result,
        findings=tuple(finding(n, ((n - 1) % 8, (n - 1) // 8 % 20, (n - 1) // 160), np.ones((1, 1, 1), dtype=bool)) for n in range(1, 101)),
    )
    objects = encode.encode(result, case.headers, dataclasses.replace(PROFILE, most_frames=40))
    assert [one.NumberOfFrames for one in segmentations_of(objects)] == [40, 40, 20]
    assert encode.compare(objects, result) is None
