"""What has become of findings is said in their groups, in code and words, and read back."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.captions import describe
from dicom_node.encode.changes import write_before
from dicom_node.texts import Language, find_languages
from dicom_node.values import (
    Analysed,
    Change,
    ChangeCategory,
    Comparison,
    DicomObject,
    ObjectKind,
    PriorFinding,
    PriorRef,
    Registration,
    RegistrationMethod,
    ReportRef,
    Role,
)
from dicom_node.values.reasons import ReportMismatch
from tests.encode import test_groups
from tests.encode.conftest import Case
from tests.encode.results import PROFILE, named, opened, walk
from tests.encode.test_capture import words_of
from tests.encode.test_groups import NO_SET
from tests.encode.test_meanings import codes_of, is_in_table
from tests.encode.test_objects import new_complaints
from tests.encode.test_page import PAGE, page_of, text_of
from tests.encode.test_reports import OF_GROUPS, REGIONS, SEGMENTATION, report_of, with_objects
from tests.encode.test_text_report import FINDING, TEXT, texts_of

COMMENT, GROUP, DIFFERENCE = "121106", "125007", "111049"
REPORT = ReportRef("1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.4.5", "1.2.3.4")
IDENTITY = tuple((float(row == 0), float(row == 1), float(row == 2), float(row == 3)) for row in range(4))
GROWN = Change(ChangeCategory.GROWN, 2, 1.4, 1534.5, 523.1, 193.3, 25.0, 4.1, 118)
SAME = Change(ChangeCategory.UNCHANGED, 1, 0.8, 500.0, 523.1, -4.4, 25.0, -0.2)
GONE = PriorFinding(3, "ct-lung-nodule 3", "1.9.9", Change(ChangeCategory.GONE, 3, prior_volume_mm3=88.5))
BEYOND = PriorFinding(4, "ct-lung-nodule 4", "1.9.8", Change(ChangeCategory.NOT_COMPARED, 4, prior_volume_mm3=99.5))
COMPARISON = Comparison(
    PriorRef("1.2.3", "1.2.3.4", "20250314", "ef" * 32, REPORT),
    184,
    Registration(RegistrationMethod.BODY_MAP, IDENTITY, 3.4, 900),
    30.0,
    True,
    (GONE, BEYOND),
)


def with_changes(result: Analysed, *changes: Change | None, comparison: Comparison | None = COMPARISON) -> Analysed:
    findings = tuple(dataclasses.replace(one, change=change) for one, change in zip(result.findings, changes, strict=True))
    return dataclasses.replace(result, findings=findings, comparison=comparison)


def encoded(case: Case, result: Analysed, language: str = "en") -> tuple[DicomObject, ...]:
    objects = encode.encode(result, case.headers, dataclasses.replace(PROFILE, language=language))  # type: ignore[arg-type]
    assert encode.compare(objects, result) is None
    return objects


def groups_of(report: Dataset) -> list[Dataset]:
    return named(walk(report), GROUP)


def test_each_group_has_its_change_as_a_code_and_in_words(case: Case) -> None:
    """PS3.16 CID 6134 under Qualitative Difference (111049, DCM)."""
    report = opened(encoded(case, with_changes(case.result, GROWN, SAME)), Role.REPORT)
    codes = [named(list(group.ContentSequence), DIFFERENCE)[0].ConceptCodeSequence[0] for group in groups_of(report)]
    assert [(code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) for code in codes] == [
        ("15454001", "SCT", "Increase in size"),
        ("129723006", "SCT", "No significant changes in the finding"),
    ]
    texts = [named(list(group.ContentSequence), COMMENT)[0].TextValue for group in groups_of(report)]
    assert texts == [
        "Grown since the study of 2025-03-14: volume +193.3\u00a0% (+1011.4\u00a0mm³, from 523.1 to 1534.5\u00a0mm³). "
        "Volume doubling time: 118 days, if it goes on at this rate.",
        "Unchanged since the study of 2025-03-14: volume \u22124.4\u00a0% (\u221223.1\u00a0mm³, from 523.1 to 500\u00a0mm³). "
        "Below 25\u00a0% it may be measurement error.",
    ]


def test_the_root_says_with_what_it_was_compared_and_what_has_no_counterpart(case: Case) -> None:
    report = opened(encoded(case, with_changes(case.result, GROWN, SAME)), Role.REPORT)
    lines = named(list(report.ContentSequence), COMMENT)[0].TextValue.split("\r\n")
    assert "on the study of 2025-03-14, 184 days earlier" in lines[-3]
    assert lines[-2].startswith(
        "The region ct-lung-nodule 3, marked on the study of 2025-03-14 with 88.5\u00a0mm³, is not marked in these images."
    )
    assert lines[-1].startswith("The region ct-lung-nodule 4, marked on the study of 2025-03-14 with 99.5\u00a0mm³, was not compared")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_that_another_version_made_the_prior_is_said(case: Case, language: str) -> None:
    for version, is_said in (("1.0.9", True), (case.result.package.version, False), ("", False)):
        prior = dataclasses.replace(COMPARISON.prior, version=version)
        result = with_changes(case.result, GROWN, SAME, comparison=dataclasses.replace(COMPARISON, prior=prior))
        report = opened(encoded(case, result, language), Role.REPORT)
        assert ("1.0.9" in named(list(report.ContentSequence), COMMENT)[0].TextValue) is is_said


def test_that_scans_do_not_fit_is_said(case: Case) -> None:
    lost = dataclasses.replace(COMPARISON, is_certain=False, unmatched=())
    change = Change(ChangeCategory.NOT_COMPARED, volume_mm3=100.0)
    report = opened(encoded(case, with_changes(case.result, change, change, comparison=lost)), Role.REPORT)
    assert "could not be laid over each other" in named(list(report.ContentSequence), COMMENT)[0].TextValue
    for group in groups_of(report):
        assert named(list(group.ContentSequence), DIFFERENCE) == []
        assert named(list(group.ContentSequence), COMMENT)[0].TextValue.startswith("Not compared with the study of 2025-03-14")


def test_the_report_of_the_prior_is_other_evidence(case: Case) -> None:
    report = opened(encoded(case, with_changes(case.result, GROWN, SAME)), Role.REPORT)
    (study,) = report.PertinentOtherEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    (reference,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == ("1.2.3", "1.2.3.4")
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (REPORT.sop_class_uid, REPORT.sop_instance_uid)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("kinds", [[SEGMENTATION], []], ids=["with a segmentation", "without"])
@pytest.mark.parametrize("kind", [*OF_GROUPS, REGIONS])
def test_reports_of_every_kind_say_it_in_their_groups_and_are_valid(
    case: Case, validator: Callable[[str], str], tmp_path: Path, kind: ObjectKind, kinds: list[ObjectKind], language: str
) -> None:
    result = with_changes(case.result, GROWN, SAME)
    profile = with_objects(*kinds, kind, *([OF_GROUPS[0]] if kind is REGIONS else []), language=language)
    objects = encode.encode(result, case.headers, profile)
    assert encode.compare(objects, result) is None
    assert encode.compare(objects, with_changes(case.result, SAME, SAME)) == ReportMismatch(2 if kind is REGIONS else 1)
    report = report_of(objects, kind)
    codes = [named(list(group.ContentSequence), DIFFERENCE)[0].ConceptCodeSequence[0].CodeValue for group in groups_of(report)]
    assert codes == ["15454001", "129723006"]
    assert report.PertinentOtherEvidenceSequence
    made = tuple(one for one in objects if one.kind is kind)
    assert new_complaints(validator, case.headers, tmp_path / "spool-base", made, tmp_path) == set()
    if language == "fr":
        assert {key for key, _ in codes_of(report) if not is_in_table(key)} == set()


@pytest.mark.parametrize(
    ("language", "grown", "new"),
    [
        (
            "en",
            ". Grown since the study of 2025-03-14: volume +193.3\u00a0% (+1011.4\u00a0mm³, from 523.1 to 1534.5\u00a0mm³).",
            "; score 0.81. New since the study of 2025-03-14: the algorithm marked nothing at this place then.",
        ),
        (
            "fr",
            ". A augmenté depuis l'examen du 2025-03-14 : volume +193,3\u00a0% (+1011,4\u00a0mm³, de 523,1 à 1534,5\u00a0mm³).",
            "; score 0,81. Nouveau depuis l'examen du 2025-03-14 : l'algorithme n'avait rien marqué à cet endroit.",
        ),
    ],
)
def test_the_report_in_words_says_it_behind_the_numbers(
    case: Case, validator: Callable[[str], str], tmp_path: Path, language: str, grown: str, new: str
) -> None:
    result = with_changes(case.result, GROWN, Change(ChangeCategory.NEW, volume_mm3=99.5))
    objects = encode.encode(result, case.headers, with_objects(TEXT, language=language))
    assert encode.compare(objects, result) is None
    first, second = texts_of(report_of(objects, TEXT), FINDING)
    assert grown in first
    assert second.endswith(new)
    assert new_complaints(validator, case.headers, tmp_path / "spool-base", objects, tmp_path) == set()
    other = dataclasses.replace(GROWN, volume_change_percent=93.3)
    assert encode.compare(objects, with_changes(result, other, SAME)) == ReportMismatch(2)
    assert encode.compare(objects, with_changes(result, None, None)) == ReportMismatch(2)
    assert encode.compare(objects, dataclasses.replace(result, comparison=None)) == ReportMismatch(1)


@pytest.mark.parametrize("language", find_languages())
def test_a_finding_without_numbers_has_its_change_in_words_too(case: Case, language: Language) -> None:
    (first, _) = case.result.findings
    bare = dataclasses.replace(case.result, findings=(dataclasses.replace(first, measurements=(), score=None),))
    result = with_changes(bare, GROWN)
    objects = encode.encode(result, case.headers, with_objects(TEXT, language=language))
    assert encode.compare(objects, result) is None
    assert encode.compare(objects, with_changes(bare, dataclasses.replace(GROWN, doubling_time_days=811))) == ReportMismatch(1)


def test_a_caption_says_it_in_a_few_words(case: Case) -> None:
    category = {one: dataclasses.replace(SAME, category=one) for one in ChangeCategory}
    said = {}
    for language in find_languages():
        for change in (GROWN, SAME, category[ChangeCategory.SHRUNK], category[ChangeCategory.NEW], category[ChangeCategory.NOT_COMPARED]):
            result = with_changes(case.result, change, change)
            text = describe(result.findings[0], result, language).replace("\N{NO-BREAK SPACE}", " ")
            said[language, change.category] = re.split(r"score \S+, ", text)[1]
    assert list(said.values()) == [
        "grown compared with 6 months before (volume +193 %)",
        "unchanged compared with 6 months before (volume −4 %)",
        "smaller compared with 6 months before (volume −4 %)",
        "new compared with 6 months before",
        "not compared with the study 6 months before",
        "augmenté par rapport à 6 mois avant (volume +193 %)",
        "inchangé par rapport à 6 mois avant (volume −4 %)",
        "diminué par rapport à 6 mois avant (volume −4 %)",
        "nouveau par rapport à 6 mois avant",
        "non comparé à l'examen fait 6 mois avant",
    ]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_page_says_each_change_and_what_has_no_counterpart(case: Case, tmp_path: Path, language: str) -> None:
    result = with_changes(case.result, GROWN, SAME)
    profile = dataclasses.replace(PAGE, language=language)  # type: ignore[arg-type]
    text = text_of(page_of(dataclasses.replace(case, result=result), profile), tmp_path)
    wanted = {
        "en": (
            "Change over time",
            "1 Nodule 1: Grown since the study 6 months before",
            "+193.3 %",
            "118 days",
            "2 Nodule 2: Unchanged since",
            "It may be gone, or",
        ),
        "fr": (
            "Évolution",
            "1 Nodule 1 : A augmenté depuis l'examen fait 6 mois avant",
            "+193,3 %",
            "118 jours",
            "2 Nodule 2 : Inchangé",
            "Elle peut avoir disparu, ou",
        ),
    }[language]
    assert [part for part in wanted if part not in text] == []
    assert "2025" not in text
    assert text.index("184") < text.index("118") < text.index("88")  # with what; each finding; what is not there any more


def test_without_a_prior_the_page_has_no_such_heading(case: Case, tmp_path: Path) -> None:
    assert "Change over time" not in text_of(page_of(case), tmp_path)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_summary_says_it_in_the_line_of_each_finding(case: Case, language: str) -> None:
    result = with_changes(case.result, GROWN, SAME)
    text = words_of(result, case, language).replace("\N{NO-BREAK SPACE}", " ")
    flat = re.sub(r"\s+", " ", text)
    assert ("(volume +193 %)" in flat, "(volume −4 %)" in flat) == (True, True)
    assert ("ct-lung-nodule 3, mar" in flat, "184" in flat) == (True, True)
    assert {"en": "the study 6 months before", "fr": "l'examen fait 6 mois avant"}[language] in flat
    assert "2025" not in flat
    assert "mo" + {"en": "nths before", "fr": "is avant"}[language] not in words_of(case.result, case, language)


@pytest.mark.parametrize(
    ("days", "english", "french"),
    [
        (1, "1 day before", "1 jour avant"),
        (2, "2 days before", "2 jours avant"),
        (13, "13 days before", "13 jours avant"),
        (14, "2 weeks before", "2 semaines avant"),
        (59, "8 weeks before", "8 semaines avant"),
        (60, "2 months before", "2 mois avant"),
        (181, "6 months before", "6 mois avant"),
        (1095, "36 months before", "36 mois avant"),
        (1096, "3 years before", "3 ans avant"),
        (3653, "10 years before", "10 ans avant"),
    ],
)
def test_how_long_before(case: Case, days: int, english: str, french: str) -> None:
    result = with_changes(case.result, GROWN, SAME, comparison=dataclasses.replace(COMPARISON, days=days))
    assert [write_before(result, language) for language in find_languages()] == [english, french]


@pytest.mark.parametrize("category", ChangeCategory)
@pytest.mark.parametrize("language", find_languages())
def test_every_change_has_its_sentence_in_both_languages(case: Case, category: ChangeCategory, language: Language) -> None:
    if category is ChangeCategory.GONE:
        pytest.skip("of the prior's findings alone: the root says it")
    change = GROWN if category is ChangeCategory.GROWN else dataclasses.replace(SAME, category=category)
    if category in {ChangeCategory.NEW, ChangeCategory.NOT_COMPARED}:
        change = Change(category, volume_mm3=100.0)
    report = opened(encoded(case, with_changes(case.result, change, change), language), Role.REPORT)
    (text, *_) = [named(list(group.ContentSequence), COMMENT)[0].TextValue for group in groups_of(report)]
    assert "2025-03-14" in text
    assert "{" not in text
    assert not re.search(r"normal|negative|négati", text.lower())
    if language == "fr":
        assert not re.search(r"\d\.\d", text)
        assert any(letter in text for letter in "éèà")


def test_without_a_prior_nothing_is_said(case: Case) -> None:
    report = opened(encoded(case, case.result), Role.REPORT)
    assert named(walk(report), DIFFERENCE) == []
    assert "PertinentOtherEvidenceSequence" not in report
    assert all(named(list(group.ContentSequence), COMMENT) == [] for group in groups_of(report))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ((GROWN, SAME), (SAME, SAME)),
        ((GROWN, SAME), (None, SAME)),
        ((None, SAME), (GROWN, SAME)),
        ((GROWN, SAME), (dataclasses.replace(GROWN, volume_change_percent=93.3), SAME)),
        ((GROWN, SAME), (dataclasses.replace(GROWN, doubling_time_days=811), SAME)),
    ],
    ids=["another category", "a change too many", "a change missing", "another percentage", "another doubling time"],
)
def test_a_change_that_the_report_does_not_say_is_seen(case: Case, written: tuple[Change, ...], read: tuple[Change, ...]) -> None:
    objects = encode.encode(with_changes(case.result, *written), case.headers, PROFILE)
    assert encode.compare(objects, with_changes(case.result, *read)) == ReportMismatch(1)


def test_a_prior_that_the_report_does_not_name_is_seen(case: Case) -> None:
    result = with_changes(case.result, GROWN, SAME)
    objects = encode.encode(result, case.headers, PROFILE)
    other = dataclasses.replace(
        COMPARISON, prior=dataclasses.replace(COMPARISON.prior, report=dataclasses.replace(REPORT, sop_instance_uid="1.2.3.4.6"))
    )
    assert encode.compare(objects, dataclasses.replace(result, comparison=other)) == ReportMismatch(1)


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("raw", [None, NO_SET], ids=["UTF-8", "ASCII"])
def test_groups_with_changes_equal_those_of_highdicom(
    make_case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch, raw: dict[str, bytes] | None, language: str
) -> None:
    """Made in bulk, several of one form: each has its own sentence."""
    case = make_case(raw=raw)
    more = dataclasses.replace(GROWN, volume_change_percent=41.5, doubling_time_days=300)
    first, second = case.result.findings
    findings = tuple(
        dataclasses.replace(one, number=number, change=change)
        for number, (one, change) in enumerate([(first, GROWN), (second, SAME), (first, more), (second, None)], 1)
    )
    result = dataclasses.replace(case.result, findings=findings, comparison=COMPARISON)
    profile = dataclasses.replace(PROFILE, language=language)  # type: ignore[arg-type]
    monkeypatch.setattr(test_groups, "PROFILE", profile)
    made = test_groups.groups_of(result, case.headers)
    assert len(set(made)) == 4
    assert made == test_groups.reference_groups(result, case.headers)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_report_with_changes_is_valid(case: Case, validator: Callable[[str], str], tmp_path: Path, language: str) -> None:
    objects = encoded(case, with_changes(case.result, GROWN, SAME), language)
    assert opened(objects, Role.REPORT).PertinentOtherEvidenceSequence
    assert new_complaints(validator, case.headers, tmp_path / "spool-base", objects, tmp_path) == set()
