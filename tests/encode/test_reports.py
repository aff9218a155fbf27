"""Reports of every kind, with and without a segmentation beside them, and the report of outlines."""

import dataclasses
import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode import sr
from dicom_node.encode.inputs import read_inputs
from dicom_node.encode.kinds import KINDS
from dicom_node.encode.words import Words
from dicom_node.errors import EncodingError
from dicom_node.values import CodedConcept, DicomObject, FrameRef, Mask, ObjectKind, ReportRef, Role
from dicom_node.values.reasons import ReportMismatch, ResultMismatch
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.reference import find_differences
from tests.encode.results import NODULE, PROFILE, finding, geometry_of, named, read_headers, result_of, walk
from tests.encode.test_objects import new_complaints
from tests.make import base_anatomy, make_series

SEGMENTATION, REPORT_3D, REGIONS, TEXT = ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D, ObjectKind.REGIONS, ObjectKind.REPORT_TEXT
OF_GROUPS = [REPORT_3D, ObjectKind.REPORT_COMPREHENSIVE, ObjectKind.REPORT_ENHANCED]
GROUP, SEGMENT, IMAGE, REGION, SOURCE = "125007", "121191", "121112", "111030", "260753009"
EFFUSION = CodedConcept("60046008", "SCT", "Pleural effusion")


def with_objects(*kinds: ObjectKind, language: str = "en") -> encode.Profile:
    return dataclasses.replace(PROFILE, objects=kinds, language=language)  # type: ignore[arg-type]


def report_of(objects: tuple[DicomObject, ...], kind: ObjectKind) -> Dataset:
    (one,) = [one for one in objects if one.kind is kind]
    return pydicom.dcmread(io.BytesIO(one.content))


def evidence_of(report: Dataset) -> set[str]:
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    return {str(one.ReferencedSOPInstanceUID) for series in study.ReferencedSeriesSequence for one in series.ReferencedSOPSequence}


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("kinds", [[SEGMENTATION], []], ids=["with a segmentation", "without"])
def test_dciodvfy_finds_nothing_in_any_report(
    tmp_path: Path, validator: Callable[[str], str], kinds: list[ObjectKind], language: str, enhanced: bool
) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    both = two_findings(headers, datasets)
    for result in (both, dataclasses.replace(both, looked_for=(NODULE, EFFUSION)), dataclasses.replace(both, findings=())):
        for kind in (*OF_GROUPS, TEXT, REGIONS):
            objects = encode.encode(
                result, headers, with_objects(*kinds, kind, *([REPORT_3D] if kind is REGIONS else []), language=language)
            )
            assert encode.compare(objects, result) is None
            made = tuple(one for one in objects if one.kind is kind)
            assert len(made) == (0 if kind is REGIONS and not result.findings else 1)
            assert new_complaints(validator, headers, tmp_path, made, tmp_path) == set()


@pytest.mark.parametrize("enhanced", [False, True], ids=["an instance for each slice", "some frames of one instance"])
@pytest.mark.parametrize("kind", [*OF_GROUPS, REGIONS])
@pytest.mark.parametrize("kinds", [[SEGMENTATION], []], ids=["with a segmentation", "without"])
def test_a_report_is_the_one_that_highdicom_makes(tmp_path: Path, kinds: list[ObjectKind], kind: ObjectKind, enhanced: bool) -> None:
    """Of all groups and all images at once."""
    shape, spacing_mm = (5, 8, 8), (2.5, 0.7, 0.8)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=spacing_mm, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path, {"PatientName": b"M\xfcller", "SpecificCharacterSet": b""} if enhanced else None)
    frames = [FrameRef(str(datasets[0].SOPInstanceUID), number) for number in (2, 3, 4)] if enhanced else None
    findings = [finding(number, (number - 1, 0, number), np.ones((1, 2, number), dtype=bool)) for number in (1, 2, 3)]
    geometry = geometry_of(datasets, (3, 8, 8) if enhanced else shape, spacing_mm, frames=frames)
    result = result_of(headers, geometry, *findings, looked_for=(NODULE, EFFUSION))
    profile = with_objects(*kinds, kind)
    inputs = read_inputs(result, headers, profile)
    reference = sr._make(inputs, kind, result.findings)
    Words(inputs.source.is_recoded).fit(reference)
    (made,) = [one for one in encode.encode(result, headers, profile) if one.kind is kind]
    assert find_differences(made.content, reference, inputs) == []


@pytest.mark.parametrize("kind", OF_GROUPS)
def test_without_a_segmentation_a_group_names_the_image_where_it_is_largest(case: Case, kind: ObjectKind) -> None:
    """PS3.16 TID 1501; the segmentation is no evidence either."""
    report = report_of(encode.encode(case.result, case.headers, with_objects(kind)), kind)
    assert report.SOPClassUID == KINDS[kind].sop_class_uid
    groups = named(walk(report), GROUP)
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in groups] == ["1501", "1501"]
    assert named(walk(report), SEGMENT) == []
    images = [named(list(group.ContentSequence), IMAGE)[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for group in groups]
    assert images == [case.datasets[3].SOPInstanceUID, case.datasets[3].SOPInstanceUID]  # 20 voxels of 3 to 5, 4 of 3 and 4
    assert evidence_of(report) == {str(dataset.SOPInstanceUID) for dataset in case.datasets}


def test_an_outline_lies_on_the_frame_where_the_finding_is_largest(tmp_path: Path) -> None:
    """PS3.16 TID 1410: closed, in pixels of the image from its upper left corner, tracked as in the report beside it."""
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=True)
    headers = read_headers(datasets, tmp_path)
    result = two_findings(headers, datasets)
    objects = encode.encode(result, headers, with_objects(SEGMENTATION, REPORT_3D, REGIONS))
    assert encode.compare(objects, result) is None
    report, beside = report_of(objects, REGIONS), report_of(objects, REPORT_3D)
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    assert report.SeriesInstanceUID != beside.SeriesInstanceUID
    assert report.SeriesNumber != beside.SeriesNumber
    first, second = named(walk(report), GROUP)
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in (first, second)] == ["1410", "1410"]
    for code in ("112039", "112040", "118565006", "SCORE", "111001"):
        assert [str(item) for item in named(walk(report), code)] == [str(item) for item in named(walk(beside), code)]
    (region,) = named(list(first.ContentSequence), REGION)
    assert (region.ValueType, region.GraphicType) == ("SCOORD", "POLYLINE")
    assert list(region.GraphicData) == [6, 3, 10, 3, 10, 8, 6, 8, 6, 3]
    (image,) = region.ContentSequence
    assert image.RelationshipType == "SELECTED FROM"
    assert (image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID, image.ReferencedSOPSequence[0].ReferencedFrameNumber) == (
        datasets[0].SOPInstanceUID,
        4,
    )
    assert evidence_of(report) == {str(datasets[0].SOPInstanceUID)}
    assert named(walk(report), SEGMENT) == []


def test_outlines_replace_no_report(case: Case) -> None:
    """Predecessor Documents is the report's."""
    result = dataclasses.replace(case.result, predecessor_key="cd" * 32)
    replaced = ReportRef(KINDS[REPORT_3D].sop_class_uid, "2.25.1", "2.25.2")
    objects = encode.encode(result, case.headers, with_objects(SEGMENTATION, REPORT_3D, REGIONS), [replaced])
    assert "PredecessorDocumentsSequence" in report_of(objects, REPORT_3D)
    assert "PredecessorDocumentsSequence" not in report_of(objects, REGIONS)


COMB = ["###########", "#..#..#..##", "#.#..#..#.#", "#..#..#..##", "#.#..#..#.#", "#........##", "###########"]


@pytest.mark.parametrize(
    "rows",
    [["####", "#..#", "####"], ["##.", "##.", "..#"], ["#.##", "#..."], COMB, [".##", "#.#", "###"], ["#"]],
    ids=["hole", "corner", "parts", "a hole longer than the edge", "a hole open at a corner", "one pixel"],
)
def test_an_outline_is_that_of_the_largest_part(case: Case, rows: list[str]) -> None:
    mask = np.array([[[one == "#" for one in row] for row in rows]])
    result = dataclasses.replace(case.result, findings=(finding(1, (2, 4, 5), mask),))
    objects = encode.encode(result, case.headers, with_objects(REPORT_3D, REGIONS))
    assert encode.compare(objects, result) is None
    numbers = named(walk(report_of(objects, REGIONS)), REGION)[0].GraphicData
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(points)) / 2
    assert area == {"####": 12, "##.": 4, "#.##": 2, COMB[0]: 77, ".##": 7, "#": 1}[rows[0]]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(voxels=hnp.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))).filter(lambda one: bool(one.any())))
def test_every_outline_that_is_made_is_read_back(case: Case, voxels: np.ndarray[tuple[int, int, int], np.dtype[np.bool_]]) -> None:
    result = dataclasses.replace(case.result, findings=(finding(1, (2, 4, 5), voxels),))
    assert encode.compare(encode.encode(result, case.headers, with_objects(REPORT_3D, REGIONS)), result) is None


def test_a_line_that_no_element_can_hold_is_an_error_of_ours(case: Case) -> None:
    """Graphic Data holds 65534 bytes (PS3.5 7.1.2)."""
    voxels = np.ones((1, 9, 12000), dtype=bool)
    voxels[:, 1:, ::2] = False
    geometry = dataclasses.replace(case.result.geometry, shape=(8, 20, 12100))
    result = dataclasses.replace(case.result, geometry=geometry, findings=(finding(1, (0, 0, 0), voxels),))
    with pytest.raises(EncodingError):
        encode.encode(result, case.headers, with_objects(REGIONS))


# -- faults -----------------------------------------------------------------------------------------------------------------


def move_a_point(report: Dataset) -> None:
    region = named(walk(report), REGION)[0]
    numbers = list(region.GraphicData)
    numbers[0] = numbers[-2] = numbers[0] + 1
    region.GraphicData = numbers


def leave_it_open(report: Dataset) -> None:
    region = named(walk(report), REGION)[0]
    region.GraphicData = list(region.GraphicData)[:-2]


def swap_rows_and_columns(report: Dataset) -> None:
    region = named(walk(report), REGION)[0]
    numbers = list(region.GraphicData)
    region.GraphicData = [one for pair in zip(numbers[1::2], numbers[::2], strict=True) for one in pair]


def shift_by_half_a_pixel_and_more(report: Dataset) -> None:
    region = named(walk(report), REGION)[0]
    region.GraphicData = [number + 0.6 for number in region.GraphicData]


def points_alone(report: Dataset) -> None:
    named(walk(report), REGION)[0].GraphicType = "MULTIPOINT"


def other_slice(report: Dataset) -> None:
    (image,) = named(walk(report), REGION)[0].ContentSequence
    image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = (
        named(walk(report), SOURCE)[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    )


def other_source_image(report: Dataset) -> None:
    image, other = named(walk(report), IMAGE)[0], named(walk(report), SOURCE)[0]
    image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = other.ReferencedSOPSequence[0].ReferencedSOPInstanceUID


def other_value(report: Dataset) -> None:
    named(walk(report), "118565006")[1].MeasuredValueSequence[0].NumericValue = "523.2"


def other_tracking_uid(report: Dataset) -> None:
    named(walk(report), "112040")[0].UID = "2.25.1"


def other_type(report: Dataset) -> None:
    named(walk(report), "121071")[0].ConceptCodeSequence[0].CodeValue = "4147007"


def drop_a_group(report: Dataset) -> None:
    del named(list(report.ContentSequence), "126010")[0].ContentSequence[1]


def evidence_of_more(report: Dataset) -> None:
    references = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    more = Dataset()
    more.ReferencedSOPClassUID, more.ReferencedSOPInstanceUID = references[0].ReferencedSOPClassUID, "2.25.1"
    references.append(more)


def no_evidence_of_one(report: Dataset) -> None:
    del report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]


def other_class(report: Dataset) -> None:
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"


def not_absent(report: Dataset) -> None:
    named(walk(report), "121052")[0].ConceptCodeSequence[0].CodeValue = "52101004"  # present


def absent_of_something_else(report: Dataset) -> None:
    named(walk(report), "121071")[-1].ConceptCodeSequence[0].CodeValue = "4147007"


EVERYWHERE = [other_value, other_tracking_uid, other_type, drop_a_group, evidence_of_more, no_evidence_of_one, other_class]
OF_REGIONS = [
    move_a_point, leave_it_open, swap_rows_and_columns, shift_by_half_a_pixel_and_more, points_alone, other_slice,
]  # fmt: skip
OF_IMAGES = [other_source_image, not_absent, absent_of_something_else]


def spoilt(objects: tuple[DicomObject, ...], kind: ObjectKind, fault: Callable[[Dataset], None]) -> tuple[DicomObject, ...]:
    made = []
    for one in objects:
        if one.kind is kind:
            dataset = pydicom.dcmread(io.BytesIO(one.content))
            fault(dataset)
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=False)
            one = dataclasses.replace(one, content=buffer.getvalue())
        made.append(one)
    return tuple(made)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [*((REGIONS, fault) for fault in EVERYWHERE + OF_REGIONS), *((kind, fault) for kind in OF_GROUPS for fault in EVERYWHERE + OF_IMAGES)],
)
def test_a_fault_is_seen_without_a_segmentation(case: Case, kind: ObjectKind, fault: Callable[[Dataset], None]) -> None:
    result = dataclasses.replace(case.result, looked_for=(NODULE, EFFUSION))
    objects = encode.encode(result, case.headers, with_objects(kind, TEXT))
    assert encode.compare(spoilt(objects, kind, lambda _: None), result) is None
    assert isinstance(encode.compare(spoilt(objects, kind, fault), result), ReportMismatch)


def test_a_report_on_segments_does_not_stand_alone_and_one_on_images_not_beside_them(case: Case) -> None:
    on_segments = encode.encode(case.result, case.headers, with_objects(SEGMENTATION, REPORT_3D))
    on_images = encode.encode(case.result, case.headers, with_objects(REPORT_3D))
    assert isinstance(encode.compare(on_segments[1:], case.result), ResultMismatch)
    assert isinstance(encode.compare((on_segments[0], *on_images), case.result), ReportMismatch)


def test_outlines_alone_are_no_result_for_a_person(case: Case) -> None:
    objects = encode.encode(case.result, case.headers, with_objects(REGIONS))
    assert encode.compare(objects, case.result) == ReportMismatch(1)
    assert encode.compare((), case.result) == ReportMismatch(1)


def test_a_polygon_of_other_pixels_of_the_same_number_is_seen(case: Case) -> None:
    """As many pixels, one row further down."""
    one = case.result.findings[0]
    objects = encode.encode(case.result, case.headers, with_objects(REPORT_3D, REGIONS))
    moved = dataclasses.replace(one, mask=Mask((one.mask.origin[0], one.mask.origin[1] + 1, one.mask.origin[2]), one.mask.voxels))
    assert encode.compare(objects, dataclasses.replace(case.result, findings=(moved, case.result.findings[1]))) == ReportMismatch(1)


def test_each_role_has_its_own_series_number(case: Case) -> None:
    objects = encode.encode(case.result, case.headers, with_objects(SEGMENTATION, REPORT_3D, REGIONS))
    assert [one.role for one in objects] == [Role.SEGMENTATION, Role.REPORT, Role.REGIONS]
    assert len({one.series_instance_uid for one in objects}) == 3
