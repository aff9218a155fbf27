"""The report says what the result says, in the places where readers look."""

import dataclasses
import io
import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.errors import EncodingError
from dicom_node.texts import Language, find_languages, load_catalogue, render_report
from dicom_node.values import Analysed, CodedConcept, Measurement, ReportRef, Reservation, Role
from tests.encode.conftest import Case
from tests.encode.results import CUBIC_MM, NODULE, PROFILE, VOLUME, named, opened, walk

COMMENT, GROUP, FINDING, SITE, SEGMENT = "121106", "125007", "121071", "363698007", "121191"
FRENCH = dataclasses.replace(PROFILE, language="fr")


def report_of(case: Case, profile: encode.Profile = PROFILE, **changes: object) -> Dataset:
    result = dataclasses.replace(case.result, **changes)  # type: ignore[arg-type]
    objects = encode.encode(result, case.headers, profile)
    assert encode.compare(objects, result) is None
    return opened(objects, Role.REPORT)


def test_each_finding_has_a_volumetric_group_on_its_segment(case: Case) -> None:
    """PS3.16 TID 1500, 1411. Case R2: the site is a concept modifier of the group, and there is one scheme for units."""
    objects = encode.encode(case.result, case.headers, PROFILE)
    report, segmentation = opened(objects, Role.REPORT), opened(objects, Role.SEGMENTATION)
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    groups = named(walk(report), GROUP)
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in groups] == ["1411", "1411"]
    for group, one in zip(groups, case.result.findings, strict=True):
        items = list(group.ContentSequence)
        assert named(items, "112039")[0].TextValue == one.tracking_identifier
        assert named(items, "112040")[0].UID == one.tracking_uid == segmentation.SegmentSequence[one.number - 1].TrackingUID
        assert named(items, FINDING)[0].ConceptCodeSequence[0].CodeValue == one.type.value
        assert named(items, "276214006")[0].ConceptCodeSequence[0].CodeValue == one.category.value
        (site,) = named(items, SITE)
        assert (site.RelationshipType, site.ConceptCodeSequence[0].CodeValue) == ("HAS CONCEPT MOD", "39607008")
        assert site.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning == "Left"
        reference = named(items, SEGMENT)[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == one.number
        assert case.headers.series_instance_uid == named(items, "121232")[0].UID
        assert [named(items, code)[0].TextValue for code in ("111001", "111003")] == ["ct-lung-nodule", "1.2.3"]
        numbers = [item for item in items if item.ValueType == "NUM"]
        units = [item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0] for item in numbers]
        assert {unit.CodingSchemeDesignator for unit in units} == {"UCUM"}
        assert [unit.CodeValue for unit in units] == ["mm3", "mm", "[hnsf'U]", "1", "1"]
        assert {item.RelationshipType for item in numbers} == {"CONTAINS"}


def test_the_score_is_called_a_score_and_its_threshold_stands_beside_it(case: Case) -> None:
    """Never a probability: nobody calibrated it."""
    report = report_of(case)
    (score, *_), (threshold, *_) = named(walk(report), "SCORE"), named(walk(report), "122411")
    assert float(score.MeasuredValueSequence[0].NumericValue) == 0.81
    assert float(threshold.MeasuredValueSequence[0].NumericValue) == 0.35
    meanings = [item.ConceptNameCodeSequence[0].CodeMeaning.lower() for item in walk(report) if item.ValueType == "NUM"]
    assert not any("probability" in meaning or "certainty" in meaning for meaning in meanings)
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == score.ConceptNameCodeSequence[0].CodingSchemeDesignator


def test_the_model_is_the_device_that_observed(case: Case) -> None:
    """TID 1004: by the stable Device UID, with the version of every other place."""
    items = walk(report_of(case))
    assert case.result.package.device_uid == named(items, "121012")[0].UID
    texts = [named(items, code)[0].TextValue for code in ("121013", "121014", "121015", "121016", "121017")]
    assert texts == ["lung nodules", "Somebody", "ct-lung-nodule", "1.2.3", "DICOM_NODE"]


def test_all_images_are_in_library_and_evidence(case: Case) -> None:
    report = report_of(case)
    sources = {str(dataset.SOPInstanceUID) for dataset in case.datasets}
    library = {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in named(walk(report), "260753009")}
    assert library == sources
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    evidence = {str(one.ReferencedSOPInstanceUID) for series in study.ReferencedSeriesSequence for one in series.ReferencedSOPSequence}
    assert study.StudyInstanceUID == case.headers.study_instance_uid
    assert evidence > sources
    assert len(evidence) == len(sources) + 1


def test_nothing_found_is_said_and_not_called_normal(case: Case) -> None:
    """PS3.16 TID 1501: what was looked for, absent, on these images; in words: not detected by the algorithm."""
    objects = encode.encode(dataclasses.replace(case.result, findings=()), case.headers, PROFILE)
    assert [one.role for one in objects] == [Role.REPORT]
    report = opened(objects, Role.REPORT)
    (group,) = named(walk(report), GROUP)
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    items = list(group.ContentSequence)
    assert named(items, FINDING)[0].ConceptCodeSequence[0].CodeValue == NODULE.value
    assert named(items, "121052")[0].ConceptCodeSequence[0].CodeValue == "272519000"
    assert len(named(items, "121112")) == len(case.datasets)
    assert "not detected by the algorithm" in named(items, COMMENT)[0].TextValue
    texts = " ".join(item.TextValue for item in named(walk(report), COMMENT))
    assert "Nodule: not detected by the algorithm" in named(list(report.ContentSequence), COMMENT)[0].TextValue
    assert "normal" not in texts.lower()


def test_what_was_looked_for_besides_the_findings_is_reported_as_not_detected(case: Case) -> None:
    effusion = CodedConcept("60046008", "SCT", "Pleural effusion")
    report = report_of(case, looked_for=(NODULE, effusion))
    groups = named(walk(report), GROUP)
    assert [group.ContentTemplateSequence[0].TemplateIdentifier for group in groups] == ["1411", "1411", "1501"]
    assert "Pleural effusion: not detected by the algorithm" in named(list(groups[2].ContentSequence), COMMENT)[0].TextValue


@pytest.mark.parametrize("language", find_languages())
def test_every_reservation_is_said_in_words(case: Case, language: Language) -> None:
    profile = dataclasses.replace(PROFILE, language=language)
    report = report_of(case, profile, reservations=tuple(Reservation), predecessor_key="cd" * 32)
    (comment,) = named(list(report.ContentSequence), COMMENT)
    wanted = ["research", "unverified", *Reservation, "predecessor"]
    assert all(render_report(name, language) in comment.TextValue for name in wanted)
    assert report.ContentSequence[0].ConceptCodeSequence[0].CodeValue == language


def test_french_is_french(case: Case) -> None:
    text = named(walk(report_of(case, FRENCH, findings=())), COMMENT)[0].TextValue
    assert "non détecté par l'algorithme" in text
    assert "RECHERCHE" in text
    text = named(walk(report_of(case, FRENCH)), COMMENT)[0].TextValue
    assert "à partir de 0,35" in text


def test_the_catalogue_has_every_reservation() -> None:
    assert all(set(Reservation) <= set(load_catalogue(language).report) for language in find_languages())


def test_a_report_names_the_one_that_it_replaces(case: Case) -> None:
    """Predecessor Documents Sequence, PS3.3 C.17.2.2: the report that was sent, whatever the profile was then."""
    before = dataclasses.replace(case.result, key="cd" * 32)
    (old,) = [one for one in encode.encode(before, case.headers, PROFILE) if one.role is Role.REPORT]
    replaced = ReportRef(old.sop_class_uid, old.sop_instance_uid, old.series_instance_uid)
    after = dataclasses.replace(case.result, predecessor_key=before.key)
    report = pydicom.dcmread(io.BytesIO(encode.encode(after, case.headers, PROFILE, [replaced])[-1].content))
    (document,) = report.PredecessorDocumentsSequence
    (series,) = document.ReferencedSeriesSequence
    (reference,) = series.ReferencedSOPSequence
    assert (document.StudyInstanceUID, series.SeriesInstanceUID) == (old.study_instance_uid, old.series_instance_uid)
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (old.sop_class_uid, old.sop_instance_uid)


@pytest.mark.parametrize("value", [round(1 / 3, 4), 1234567.891011, 1e-12, 0.0, -1024.5, 123456789012.3456789])
def test_a_value_of_more_than_16_characters_stays_a_number(case: Case, value: float) -> None:
    """Case R1: DS of at most 16 characters, nothing lost that was not rounded on purpose."""
    measured = (Measurement(VOLUME, value, CUBIC_MM, 6),)
    findings = tuple(dataclasses.replace(one, measurements=measured) for one in case.result.findings)
    item = named(walk(report_of(case, findings=findings)), VOLUME.value)[0].MeasuredValueSequence[0]
    assert len(str(item.NumericValue)) <= 16
    assert math.isclose(float(item.NumericValue), value, rel_tol=1e-9)
    assert item.FloatingPointValue == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_written(case: Case, value: float) -> None:
    """Case R1, O3."""
    measured = (Measurement(VOLUME, value, CUBIC_MM, 1),)
    findings = tuple(dataclasses.replace(one, measurements=measured) for one in case.result.findings)
    with pytest.raises(EncodingError):
        encode.encode(dataclasses.replace(case.result, findings=findings), case.headers, PROFILE)
    findings = tuple(dataclasses.replace(one, score=value) for one in case.result.findings)
    with pytest.raises(EncodingError):
        encode.encode(dataclasses.replace(case.result, findings=findings), case.headers, PROFILE)


def test_the_procedure_is_the_images_own(make_case: Callable[..., Case]) -> None:
    """Procedure Reported names the imaging procedure, by the images' code, else by the modality."""
    assert named(walk(report_of(make_case())), "121058")[0].ConceptCodeSequence[0].CodeValue == "25045-6"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CT-THX", "99HOSP", "CT Thorax nativ"

    def change(dataset: Dataset, _: int) -> None:
        dataset.ProcedureCodeSequence = [code]

    (procedure,) = named(walk(report_of(make_case(name="coded", change=change))), "121058")
    assert procedure.ConceptCodeSequence[0].CodeValue == "CT-THX"


def test_a_method_in_words_stands_with_its_measurement(case: Case) -> None:
    measured = (Measurement(VOLUME, 1.5, CUBIC_MM, 1, method="sum of voxels"),)
    findings = tuple(dataclasses.replace(one, measurements=measured) for one in case.result.findings)
    (volume, _) = named(walk(report_of(case, findings=findings)), VOLUME.value)
    assert [item.TextValue for item in named(list(volume.ContentSequence), "111002")][1:] == ["sum of voxels"]


def test_no_text_becomes_empty_where_it_cannot_be_said_in_the_character_set(make_case: Callable[..., Case]) -> None:
    """Text Value, Code Meaning and their like are type 1: an empty one is refused by readers that check."""
    case = make_case(raw={"PatientName": b"M\xfcller", "SpecificCharacterSet": b""})
    knot = CodedConcept("27925004", "SCT", "結節")
    measured = (Measurement(CodedConcept("118565006", "SCT", "体積"), 1.5, CodedConcept("mm3", "UCUM", "立方ミリ"), 1, method="合計"),)
    findings = tuple(
        dataclasses.replace(one, type=knot, measurements=measured, tracking_identifier="結節", label="結節") for one in case.result.findings
    )
    missing = CodedConcept("4147007", "SCT", "Опухоль")
    package = dataclasses.replace(case.result.package, title="肺", manufacturer="会社")
    result = dataclasses.replace(case.result, findings=findings, looked_for=(knot, missing), package=package)
    objects = encode.encode(result, case.headers, PROFILE)
    assert encode.compare(objects, result) is None
    texts = [
        element.value
        for role in (Role.SEGMENTATION, Role.REPORT)
        for element in opened(objects, role).iterall()
        if element.keyword in {"TextValue", "CodeMeaning", "TrackingID", "SegmentLabel", "Manufacturer", "AlgorithmSource"}
    ]
    assert {"??", "????", "???????"} <= set(texts)
    assert "" not in texts


def test_tid1500reader_reads_the_same_measurements(case: Case, tmp_path: Path, validator: Callable[[str], str]) -> None:
    """dcmqi, an independent reader."""
    read = _read_with_dcmqi(case.result, case, tmp_path, validator)
    assert len(read["Measurements"]) == len(case.result.findings)
    for group, one in zip(read["Measurements"], case.result.findings, strict=True):
        assert group["TrackingUniqueIdentifier"] == one.tracking_uid
        assert group["ReferencedSegment"] == one.number
        values = {item["quantity"]["CodeValue"]: float(item["value"]) for item in group["measurementItems"]}
        assert values == {item.concept.value: item.value for item in one.measurements} | {"SCORE": 0.81, "122411": 0.35}
    read = _read_with_dcmqi(dataclasses.replace(case.result, findings=()), case, tmp_path, validator)
    (group,) = read["Measurements"]
    assert "ReferencedSegment" not in group


def _read_with_dcmqi(result: Analysed, case: Case, folder: Path, validator: Callable[[str], str]) -> dict[str, list[dict[str, object]]]:
    (folder / "sr.dcm").write_bytes(encode.encode(result, case.headers, PROFILE)[-1].content)
    command = [validator("tid1500reader"), "--inputDICOM", str(folder / "sr.dcm"), "--outputMetadata", str(folder / "sr.json")]
    subprocess.run(command, capture_output=True, check=True)
    return json.loads((folder / "sr.json").read_text())  # type: ignore[no-any-return]
