"""That there is no result is said as such: why, by which model, of which series; and cannot be taken for *nothing found*."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.kinds import KINDS
from dicom_node.errors import EncodingError
from dicom_node.texts import Language, Reader, find_languages, render_reason
from dicom_node.values import NotAnalysed, ObjectKind, Reason, SeriesHeaders
from dicom_node.values.reasons import ModelTooSlow, OutsideLimits, ReportMismatch, SliceGap
from tests.encode.conftest import SHAPE, SPACING_MM, Case
from tests.encode.results import NODULE, PACKAGE, named, read_headers, walk
from tests.encode.test_objects import new_complaints
from tests.encode.test_reports import OF_GROUPS, evidence_of, report_of, spoilt, with_objects
from tests.make import base_anatomy, make_series

TEXT = ObjectKind.REPORT_TEXT
REPORTS = [*OF_GROUPS, TEXT]
GAP = SliceGap(after_mm=-12.5, gap_mm=5.0, spacing_mm=2.5)
TOO_SMALL = OutsideLimits(stage="lungs", quantity="volume", value=20.0, lowest=100.0, highest=12000.0)


def refused(headers: SeriesHeaders, reason: Reason = GAP, **changes: object) -> NotAnalysed:
    made = NotAnalysed("ab" * 32, headers.study_instance_uid, headers.series_instance_uid, PACKAGE, reason)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def refusal_of(case: Case, reason: Reason = GAP, **changes: object) -> NotAnalysed:
    return refused(case.headers, reason, **{"key": case.result.key, **changes})


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("kind", REPORTS)
def test_dciodvfy_finds_nothing(tmp_path: Path, validator: Callable[[str], str], kind: ObjectKind, language: str, enhanced: bool) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    for package in (PACKAGE, None):
        result = refused(headers, package=package)
        objects = encode.encode_refusal(result, headers, with_objects(kind, language=language))
        assert encode.compare_refusal(objects, result) is None
        assert [one.kind for one in objects] == [kind]
        assert report_of(objects, kind).SOPClassUID == KINDS[kind].sop_class_uid
        assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


@pytest.mark.parametrize("language", find_languages())
@pytest.mark.parametrize("kind", OF_GROUPS)
def test_one_group_says_not_evaluated_and_why(case: Case, kind: ObjectKind, language: Language) -> None:
    report = report_of(encode.encode_refusal(refusal_of(case), case.headers, with_objects(kind, language=language)), kind)
    (group,) = named(walk(report), "125007")
    items = list(group.ContentSequence)
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    assert [item.ConceptCodeSequence[0].CodeValue for item in items if item.ValueType == "CODE"] == ["373121007"]
    assert named(items, "121071") == named(items, "121052") == []
    reason = render_reason(GAP, Reader.RADIOLOGIST, language)
    assert named(items, "121106")[0].TextValue == reason
    (comment,) = named(list(report.ContentSequence), "121106")
    assert comment.TextValue.startswith(reason)
    assert "ct-lung-nodule 1.2.3" in comment.TextValue
    number, description = case.datasets[0].SeriesNumber, case.datasets[0].SeriesDescription
    assert f"{number} ({description})" in comment.TextValue
    assert [named(items, code)[0].TextValue for code in ("111001", "111003")] == ["ct-lung-nodule", "1.2.3"]
    assert len(named(items, "121112")) == len(case.datasets)
    assert evidence_of(report) == {str(dataset.SOPInstanceUID) for dataset in case.datasets}


@pytest.mark.parametrize("kind", REPORTS)
def test_it_cannot_be_taken_for_nothing_found(case: Case, kind: ObjectKind) -> None:
    """Another title, no concept of what was looked for, no *absent*, none of the words."""
    report = report_of(encode.encode_refusal(refusal_of(case), case.headers, with_objects(kind)), kind)
    nothing = report_of(encode.encode(dataclasses.replace(case.result, findings=()), case.headers, with_objects(kind)), kind)
    assert report.SeriesDescription == "AI lung nodules RESEARCH - not analysed"
    assert nothing.SeriesDescription == "AI lung nodules RESEARCH"
    assert report.SOPInstanceUID != nothing.SOPInstanceUID
    assert report.SeriesInstanceUID != nothing.SeriesInstanceUID
    codes = {item.ConceptCodeSequence[0].CodeValue for item in walk(report) if item.ValueType == "CODE"}
    assert not codes & {NODULE.value, "272519000"}
    texts = " ".join(str(item.TextValue).lower() for item in walk(report) if item.ValueType == "TEXT")
    assert not any(words in texts for words in ("not detected", "normal", "negative"))
    assert "not analysed: " in texts


def test_in_words_the_reason_is_the_only_finding(case: Case) -> None:
    report = report_of(encode.encode_refusal(refusal_of(case), case.headers, with_objects(TEXT, language="fr")), TEXT)
    (item,) = named(walk(report), "121071")
    assert item.TextValue == render_reason(GAP, Reader.RADIOLOGIST, Language("fr"))
    assert any("ct-lung-nodule 1.2.3" in one.TextValue for one in named(walk(report), "121077"))


def test_without_a_model_the_node_says_it(case: Case) -> None:
    result = refusal_of(case, package=None)
    objects = encode.encode_refusal(result, case.headers, with_objects(*REPORTS[:1], TEXT))
    assert encode.compare_refusal(objects, result) is None
    report = report_of(objects, REPORTS[0])
    assert report.SeriesDescription == "AI - not analysed"
    assert named(walk(report), "121013")[0].TextValue == "dicom-node"
    assert report.ContentQualification == "RESEARCH"
    assert named(walk(report), "111001") == []


def test_a_long_title_keeps_its_end(case: Case) -> None:
    result = refusal_of(case, package=dataclasses.replace(PACKAGE, title="x" * 80))
    (one,) = encode.encode_refusal(result, case.headers, with_objects(TEXT))
    title = report_of((one,), TEXT).SeriesDescription
    assert len(title) <= 64
    assert title.endswith(" - not analysed")


def test_kinds_that_cannot_say_it_are_left_out(case: Case) -> None:
    kinds = ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D, ObjectKind.REGIONS, ObjectKind.KEY_IMAGES, ObjectKind.OUTLINES
    objects = encode.encode_refusal(refusal_of(case), case.headers, with_objects(*kinds))
    assert [one.kind for one in objects] == [ObjectKind.REPORT_3D]


def test_the_same_bytes_each_time_and_another_uid_for_another_reason(case: Case) -> None:
    """A second try under the same key may end otherwise, and a destination keeps the first object of a UID."""
    profile = with_objects(TEXT)
    first, again = (encode.encode_refusal(refusal_of(case), case.headers, profile) for _ in range(2))
    assert first == again
    (other,) = encode.encode_refusal(refusal_of(case, ModelTooSlow(600.0)), case.headers, profile)
    (answer,) = encode.encode(case.result, case.headers, profile)
    assert len({first[0].sop_instance_uid, other.sop_instance_uid, answer.sop_instance_uid}) == 3


def test_images_of_two_patients_are_put_in_nobodys_folder(tmp_path: Path) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.PatientID = f"P{index % 2}"

    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, change=change)
    headers = read_headers(datasets, tmp_path)
    result = NotAnalysed("ab" * 32, headers.study_instance_uid, headers.series_instance_uid, None, GAP)
    assert encode.encode_refusal(result, headers, with_objects(TEXT)) == ()


def test_no_readable_header_is_an_error_of_ours(case: Case) -> None:
    with pytest.raises(EncodingError):
        encode.encode_refusal(refusal_of(case), dataclasses.replace(case.headers, instances=()), with_objects(TEXT))


@pytest.mark.parametrize("raw", [{"PatientName": b"M\xfcller", "SpecificCharacterSet": b""}])
def test_text_is_ascii_where_the_images_cannot_be_decoded(make_case: Callable[..., Case], raw: dict[str, bytes]) -> None:
    case = make_case(raw=raw)
    result = refusal_of(case, TOO_SMALL)
    objects = encode.encode_refusal(result, case.headers, with_objects(ObjectKind.REPORT_3D, TEXT, language="fr"))
    assert encode.compare_refusal(objects, result) is None
    assert "Non analyse" in named(walk(report_of(objects, TEXT)), "121071")[0].TextValue


def say_absent(report: Dataset) -> None:
    values = [item.ConceptCodeSequence[0] for item in walk(report) if item.ValueType == "CODE"]
    (code,) = [one for one in values if one.CodeValue == "373121007"]
    code.CodeValue = "272519000"


def other_reason(report: Dataset) -> None:
    code = "121071" if report.SOPClassUID == KINDS[TEXT].sop_class_uid else "121106"
    named(walk(report), code)[0].TextValue = "Nodule: not detected by the algorithm."


def other_title(report: Dataset) -> None:
    report.SeriesDescription = "AI lung nodules RESEARCH"


def other_series(report: Dataset) -> None:
    report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].SeriesInstanceUID = "2.25.1"


def other_model(report: Dataset) -> None:
    named(walk(report), "111003")[0].TextValue = "1.2.4"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *((kind, fault) for kind in REPORTS for fault in (other_reason, other_title, other_series)),
        *((kind, fault) for kind in OF_GROUPS for fault in (say_absent, other_model)),
    ],
)
def test_a_fault_is_seen(case: Case, kind: ObjectKind, fault: Callable[[Dataset], None]) -> None:
    result = refusal_of(case)
    objects = encode.encode_refusal(result, case.headers, with_objects(kind))
    assert encode.compare_refusal(spoilt(objects, kind, lambda _: None), result) is None
    assert encode.compare_refusal(spoilt(objects, kind, fault), result) == ReportMismatch(1)
    assert encode.compare_refusal(objects, refusal_of(case, TOO_SMALL)) == ReportMismatch(1)


@pytest.mark.parametrize("kind", REPORTS)
def test_nothing_found_is_no_refusal(case: Case, kind: ObjectKind) -> None:
    """Nor the other way round."""
    nothing = dataclasses.replace(case.result, findings=())
    assert encode.compare_refusal(encode.encode(nothing, case.headers, with_objects(kind)), refusal_of(case)) == ReportMismatch(1)
    refusal = encode.encode_refusal(refusal_of(case), case.headers, with_objects(kind))
    assert isinstance(encode.compare(refusal, nothing), ReportMismatch)
