"""That a result is withdrawn is said as such, in every form: nobody may take it for a result, nor for one that there never was."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.kinds import KINDS
from dicom_node.encode.objects import encode_rejection
from dicom_node.texts import Language, Reader, find_languages, render_reason, render_report
from dicom_node.values import NotAnalysed, ObjectKind, ReportRef, Withdrawn
from dicom_node.values.reasons import WITHDRAWALS, ReportMismatch, ResultWrong, Withdrawal, WrongPatient
from tests.encode.conftest import Case
from tests.encode.results import PACKAGE, PROFILE, named, walk
from tests.encode.test_notice import CAPTURE, PAGE, text_of
from tests.encode.test_objects import new_complaints
from tests.encode.test_refusal import REPORTS, TEXT
from tests.encode.test_reports import OF_GROUPS, report_of, spoilt, with_objects

KINDS_OF_ALL = [*REPORTS, CAPTURE, PAGE]
OLD = ReportRef(KINDS[ObjectKind.REPORT_3D].sop_class_uid, "2.25.1", "2.25.2")
REGIONS = ReportRef(KINDS[ObjectKind.REGIONS].sop_class_uid, "2.25.5", "2.25.6")
IMAGE = ReportRef(KINDS[ObjectKind.SEGMENTATION].sop_class_uid, "2.25.3", "2.25.4")
SELECTION = ReportRef(KINDS[ObjectKind.KEY_IMAGES].sop_class_uid, "2.25.7", "2.25.8")
ALL = (OLD, REGIONS, IMAGE, SELECTION)


def withdrawn(case: Case, reason: Withdrawal | None = None, **changes: object) -> Withdrawn:
    uids = case.result.study_instance_uid, case.result.series_instance_uid
    made = Withdrawn("cd" * 32, *uids, PACKAGE, reason or ResultWrong(), predecessor_key=case.result.key, withdrawn_keys=(case.result.key,))
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", find_languages())
@pytest.mark.parametrize("kind", KINDS_OF_ALL)
def test_dciodvfy_finds_nothing(case: Case, tmp_path: Path, validator: Callable[[str], str], kind: ObjectKind, language: Language) -> None:
    for package in (PACKAGE, None):
        result = withdrawn(case, package=package)
        objects = encode.encode_refusal(result, case.headers, with_objects(kind, language=language), ALL)
        assert encode.compare_refusal(objects, result, ALL) is None
        assert [one.kind for one in objects] == [kind]
        assert new_complaints(validator, case.headers, tmp_path, objects, tmp_path) == set()


@pytest.mark.parametrize("language", find_languages())
@pytest.mark.parametrize("reason", [kind() for kind in WITHDRAWALS], ids=lambda reason: type(reason).__name__)
def test_a_report_says_why_and_names_the_reports_that_it_withdraws(case: Case, reason: Withdrawal, language: Language) -> None:
    result = withdrawn(case, reason)
    for kind in REPORTS:
        report = report_of(encode.encode_refusal(result, case.headers, with_objects(kind, language=language), ALL), kind)
        texts = [str(item.TextValue) for item in walk(report) if item.ValueType == "TEXT"]
        assert any(text.startswith(render_reason(reason, Reader.RADIOLOGIST, language)) for text in texts)
        assert any(render_report("objects-withdrawn", language, count=4) in text for text in texts)
        assert report.SeriesDescription == "AI lung nodules RESEARCH - withdrawn"
        named_there = [
            (series.SeriesInstanceUID, one.ReferencedSOPInstanceUID)
            for series in report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
            for one in series.ReferencedSOPSequence
        ]
        assert named_there == [("2.25.2", "2.25.1"), ("2.25.6", "2.25.5")]
        if kind in OF_GROUPS:
            (group,) = named(walk(report), "125007")
            codes = [item.ConceptCodeSequence[0] for item in group.ContentSequence if item.ValueType == "CODE"]
            assert [code.CodeValue for code in codes] == ["WITHDRAWN"]
            assert codes[0].CodeMeaning == {"en": "Withdrawn by a person", "fr": "Retiré par une personne"}[language]


@pytest.mark.parametrize("language", find_languages())
def test_picture_and_page_say_it(case: Case, tmp_path: Path, language: Language) -> None:
    result = withdrawn(case, WrongPatient())
    objects = encode.encode_refusal(result, case.headers, with_objects(CAPTURE, PAGE, language=language), ALL)
    image, page = report_of(objects, CAPTURE), report_of(objects, PAGE)
    why = render_reason(WrongPatient(), Reader.RADIOLOGIST, language)
    assert str(image.ImageComments).startswith(why)
    assert image.DerivationDescription == render_report("derived-notice-withdrawn", language)
    text = text_of(page, tmp_path).strip()
    assert text.startswith(render_report("notice-withdrawn", language))
    assert why in text
    assert render_report("objects-withdrawn", language, count=4) in text
    assert page.DocumentTitle == {"en": "Result withdrawn: lung nodules", "fr": "Résultat retiré : lung nodules"}[language]


@pytest.mark.parametrize("kind", KINDS_OF_ALL)
def test_it_is_not_taken_for_a_refusal_nor_for_nothing_found(case: Case, kind: ObjectKind) -> None:
    result = withdrawn(case)
    refusal = NotAnalysed(result.key, result.study_instance_uid, result.series_instance_uid, PACKAGE, result.reason)
    nothing = dataclasses.replace(case.result, findings=())
    for profile in (with_objects(kind),):
        said = encode.encode_refusal(result, case.headers, profile, ALL)
        assert encode.compare_refusal(said, refusal) == ReportMismatch(1)
        assert encode.compare_refusal(encode.encode_refusal(refusal, case.headers, profile), result) == ReportMismatch(1)
        assert encode.compare(said, nothing) is not None


def other_predecessor(report: Dataset) -> None:
    series = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.99"


def no_predecessor(report: Dataset) -> None:
    del report.PredecessorDocumentsSequence


def say_not_evaluated(report: Dataset) -> None:
    (code,) = [
        item.ConceptCodeSequence[0]
        for item in walk(report)
        if item.ValueType == "CODE" and item.ConceptCodeSequence[0].CodeValue == "WITHDRAWN"
    ]
    code.CodeValue, code.CodingSchemeDesignator = "373121007", "SCT"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *((kind, fault) for kind in REPORTS for fault in (other_predecessor, no_predecessor)),
        *((kind, say_not_evaluated) for kind in OF_GROUPS),
    ],
)
def test_a_fault_is_seen(case: Case, kind: ObjectKind, fault: Callable[[Dataset], None]) -> None:
    result = withdrawn(case)
    objects = encode.encode_refusal(result, case.headers, with_objects(kind), ALL)
    assert encode.compare_refusal(spoilt(objects, kind, lambda _: None), result, ALL) is None
    assert encode.compare_refusal(spoilt(objects, kind, fault), result, ALL) == ReportMismatch(1)
    assert encode.compare_refusal(objects, withdrawn(case, WrongPatient()), ALL) == ReportMismatch(1)


def test_a_note_with_the_title_of_another_reason_is_seen(case: Case, tmp_path: Path, validator: Callable[[str], str]) -> None:
    for package in (PACKAGE, None):
        result = withdrawn(case, WrongPatient(), package=package)
        note = encode_rejection(result, case.headers, PROFILE, ALL, result.key)
        assert encode.compare_rejection(note, ALL, result.reason) is None
        assert encode.compare_rejection(note, ALL) == ReportMismatch(1)
        assert new_complaints(validator, case.headers, tmp_path, [note], tmp_path) == set()


def test_a_text_report_in_the_character_set_of_images_that_cannot_be_decoded(make_case: Callable[..., Case]) -> None:
    case = make_case(raw={"PatientName": b"M\xfcller", "SpecificCharacterSet": b""})
    result = withdrawn(case)
    objects = encode.encode_refusal(result, case.headers, with_objects(*KINDS_OF_ALL, language="fr"), ALL)
    assert encode.compare_refusal(objects, result, ALL) is None
    assert "Retire : le resultat est errone." in named(walk(report_of(objects, TEXT)), "121071")[0].TextValue
