"""The report in words says every finding with its numbers, and what was not found."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.errors import EncodingError
from dicom_node.values import CodedConcept, Measurement, ObjectKind
from dicom_node.values.reasons import ReportMismatch
from tests.encode.conftest import Case
from tests.encode.results import CUBIC_MM, NODULE, VOLUME, finding, named, walk
from tests.encode.test_reports import EFFUSION, evidence_of, report_of, spoilt, with_objects

TEXT = ObjectKind.REPORT_TEXT
FINDING, CONCLUSION = "121071", "121077"


def texts_of(report: Dataset, code: str) -> list[str]:
    return [str(item.TextValue) for item in named(walk(report), code)]


def made(case: Case, language: str = "en", **changes: object) -> Dataset:
    result = dataclasses.replace(case.result, **changes)  # type: ignore[arg-type]
    objects = encode.encode(result, case.headers, with_objects(TEXT, language=language))
    assert encode.compare(objects, result) is None
    return report_of(objects, TEXT)


def test_a_line_for_each_finding(case: Case) -> None:
    report = made(case)
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.11"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "2000"
    numbers = "Volume 523.1\u00a0mm³; Long Axis 10.4\u00a0mm; Attenuation Coefficient (mean) \u221231.2\u00a0HU; score 0.81"
    assert texts_of(report, FINDING) == [f"{n}. Nodule {n}: Nodule, Lung, left; {numbers}" for n in (1, 2)]


def test_in_french_with_a_comma(case: Case) -> None:
    report = made(case, "fr")
    numbers = "Volume 523,1\u00a0mm³; Grand axe 10,4\u00a0mm; Coefficient d'atténuation (moyenne) \u221231,2\u00a0UH; score 0,81"
    assert texts_of(report, FINDING)[1] == f"2. Nodule 2 : Nodule, Poumon, gauche; {numbers}"
    assert any("RECHERCHE" in text for text in texts_of(report, CONCLUSION))
    assert any("à partir de 0,35" in text for text in texts_of(report, CONCLUSION))


def test_each_finding_stands_on_its_image(case: Case) -> None:
    report = made(case)
    images = [item.ContentSequence[0] for item in named(walk(report), FINDING)]
    assert {(image.ValueType, image.RelationshipType) for image in images} == {("IMAGE", "INFERRED FROM")}
    assert [image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for image in images] == [case.datasets[3].SOPInstanceUID] * 2
    assert evidence_of(report) == {str(dataset.SOPInstanceUID) for dataset in case.datasets}
    assert {item.ValueType for item in walk(report)} <= {"TEXT", "CODE", "UIDREF", "CONTAINER", "IMAGE"}  # PS3.3 A.35.1.3.1


def test_nothing_found_names_what_was_looked_for_and_in_which_series(case: Case) -> None:
    report = made(case, findings=(), looked_for=(NODULE, EFFUSION))
    wanted = [f"{what}: not detected by the algorithm. Nothing else was looked for." for what in ("Nodule", "Pleural effusion")]
    assert texts_of(report, FINDING) == wanted
    number, description = case.datasets[0].SeriesNumber, case.datasets[0].SeriesDescription
    assert f"Images: series {number} ({description})." in texts_of(report, CONCLUSION)
    assert not any("normal" in text or "negative" in text for text in texts_of(report, FINDING) + texts_of(report, CONCLUSION))


def test_what_was_not_detected_stands_behind_the_findings(case: Case) -> None:
    report = made(case, looked_for=(NODULE, EFFUSION))
    assert [text[:8] for text in texts_of(report, FINDING)] == ["1. Nodul", "2. Nodul", "Pleural "]


def test_text_is_ascii_where_the_images_cannot_be_decoded(make_case: Callable[..., Case]) -> None:
    case = make_case(raw={"PatientName": b"M\xfcller", "SpecificCharacterSet": b""})
    assert "Volume 523,1 mm3; Grand axe 10,4 mm; Coefficient d'attenuation" in texts_of(made(case, "fr"), FINDING)[0]


def test_a_label_with_a_semicolon_and_no_site(case: Case) -> None:
    one = finding(7, (2, 3, 4), np.ones((1, 2, 2), dtype=bool), label="Nodule; solid 7", site=None, laterality=None, score=None)
    assert texts_of(made(case, findings=(one,)), FINDING)[0].startswith("7. Nodule; solid 7: Nodule; Volume")


def test_numbers_have_the_decimals_that_they_were_rounded_to(case: Case) -> None:
    measured = Measurement(VOLUME, 1234567.891, CUBIC_MM, 3), Measurement(VOLUME, 10.0, CodedConcept("cm3", "UCUM", "cubic centimeter"), 1)
    findings = tuple(dataclasses.replace(one, measurements=measured, score=None) for one in case.result.findings)
    assert texts_of(made(case, findings=findings), FINDING)[0].endswith("; Volume 1234567.891\u00a0mm³; Volume 10.0\u00a0cm3")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_written(case: Case, value: float) -> None:
    findings = tuple(dataclasses.replace(one, score=value) for one in case.result.findings)
    with pytest.raises(EncodingError):
        encode.encode(dataclasses.replace(case.result, findings=findings), case.headers, with_objects(TEXT))


def replace_in(old: str, new: str) -> Callable[[Dataset], None]:
    def change(report: Dataset) -> None:
        item = named(walk(report), FINDING)[0]
        assert old in item.TextValue
        item.TextValue = item.TextValue.replace(old, new)

    return change


def drop_a_text(report: Dataset) -> None:
    del named(list(report.ContentSequence), "121070")[0].ContentSequence[1]


def other_image(report: Dataset) -> None:
    first = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    item = named(walk(report), FINDING)[0].ContentSequence[0].ReferencedSOPSequence[0]
    item.ReferencedSOPInstanceUID = first.ReferencedSOPInstanceUID


def swap_texts(report: Dataset) -> None:
    first, second = named(walk(report), FINDING)
    first.TextValue, second.TextValue = second.TextValue, first.TextValue


FAULTS = [
    replace_in("523.1", "532.1"), replace_in("523.1", "5231"), replace_in("\u221231.2", "31.2"), replace_in("0.81", "0.82"),
    replace_in("Nodule 1", "Nodule 3"), replace_in("1. ", "3. "), replace_in("; Long Axis 10.4\u00a0mm", ""),
    drop_a_text, other_image, swap_texts,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_words_is_seen(case: Case, fault: Callable[[Dataset], None]) -> None:
    objects = encode.encode(case.result, case.headers, with_objects(TEXT))
    assert encode.compare(spoilt(objects, TEXT, lambda _: None), case.result) is None
    assert isinstance(encode.compare(spoilt(objects, TEXT, fault), case.result), ReportMismatch)
