"""The page says what the result says, in both languages, is always the same, and prints nothing of the patient."""

import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode import pdf
from dicom_node.encode.inputs import read_inputs
from dicom_node.encode.objects import encode_kind
from dicom_node.values import Analysed, CodedConcept, Finding, Laterality, ObjectKind, Picture, Reservation, Role
from dicom_node.values.reasons import ReportMismatch
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.results import NODULE, PACKAGE, PROFILE, finding, opened, read_headers
from tests.encode.test_compare import changed
from tests.encode.test_objects import new_complaints
from tests.make import base_anatomy, make_series
from tests.places import REPOSITORY

PAGE = dataclasses.replace(PROFILE, objects=(*PROFILE.objects, ObjectKind.PAGE))
FRENCH = dataclasses.replace(PAGE, language="fr")


def page_of(case: Case, profile: encode.Profile = PAGE, **changes: object) -> Dataset:
    result = dataclasses.replace(case.result, **changes)  # type: ignore[arg-type]
    objects = encode.encode(result, case.headers, profile)
    assert encode.compare(objects, result) is None
    return opened(objects, Role.PAGE)


def text_of(page: Dataset, folder: Path) -> str:
    """What poppler reads on it, every space one space."""
    file = folder / "page.pdf"
    file.write_bytes(page.EncapsulatedDocument)
    done = subprocess.run([_poppler("pdftotext"), "-layout", str(file), "-"], capture_output=True, text=True, check=True)
    return re.sub(r"\s+", " ", done.stdout)


def _poppler(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} of poppler-utils is not installed")
    return path


def many(case: Case, count: int) -> tuple[Finding, ...]:
    voxels = np.ones((2, 2, 3), dtype=bool)
    sides = (Laterality.LEFT, Laterality.RIGHT, None)
    return tuple(
        finding(
            number, (number % 6, number % 15, number % 20), voxels, label="Nodule", score=1 - number / 100, laterality=sides[number % 3]
        )
        for number in range(1, count + 1)
    )


def test_the_header_says_what_it_is(case: Case) -> None:
    page = page_of(case)
    assert (page.SOPClassUID, page.Modality) == ("1.2.840.10008.5.1.4.1.1.104.1", "DOC")
    assert page.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert (page.BurnedInAnnotation, page.ConversionType, page.VerificationFlag) == ("NO", "WSD", "UNVERIFIED")
    assert page.EncapsulatedDocumentLength == len(page.EncapsulatedDocument)
    assert page.DocumentTitle == "Algorithm result: lung nodules"
    assert page.SeriesDescription == "AI lung nodules RESEARCH - page"
    assert [one.ReferencedSOPInstanceUID for one in page.SourceInstanceSequence] == [one.SOPInstanceUID for one in case.datasets]
    assert (page.PatientID, page.StudyInstanceUID) == (case.datasets[0].PatientID, case.result.study_instance_uid)


def test_every_finding_stands_on_it_with_its_numbers(case: Case, tmp_path: Path) -> None:
    text = text_of(page_of(case, findings=many(case, 40)), tmp_path)
    for number in range(1, 41):
        assert re.search(rf"\b{number} Nodule Lung(, (left|right))? \d+ 523\.1 10\.4 −31\.2 {1 - number / 100:.2f}", text), number
    for heading in ("Volume (mm³)", "Score (from 0.35)"):
        assert all(word in text for word in heading.split())
    assert "page 1 of 2" in text
    assert "page 2 of 2" in text


@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_kind_of_result_it_is_stands_on_it(case: Case, tmp_path: Path, language: str) -> None:
    profile = FRENCH if language == "fr" else PAGE
    page = page_of(case, profile, reservations=tuple(Reservation), predecessor_key="cd" * 32)
    text = text_of(page, tmp_path)
    wanted = {
        "en": ["RESEARCH USE ONLY", "no person has checked it", "ct-lung-nodule, version 1.2.3, from Somebody", "series 1, 8 slices"],
        "fr": ["RECHERCHE UNIQUEMENT : n'est pas un dispositif médical", "aucune personne ne l'a contrôlé", "série 1, 8 coupes", "523,1"],
    }[language]
    found = {sentence: sentence in text for sentence in wanted}
    assert all(found.values()), found
    assert text.count("Réserve" if language == "fr" else "Reservation") == len(Reservation)
    assert "package 0123456789ab · result abababababab" in text or "paquet 0123456789ab · résultat abababababab" in text
    product = text_of(page_of(case, profile, package=dataclasses.replace(PACKAGE, product=True)), tmp_path)
    assert "PRODUCT" in product
    assert "RESEARCH" not in product
    assert "RECHERCHE" not in product


def test_nothing_found_names_what_was_looked_for(case: Case, tmp_path: Path) -> None:
    effusion = CodedConcept("60046008", "SCT", "Pleural effusion")
    text = text_of(page_of(case, findings=(), looked_for=(NODULE, effusion)), tmp_path)
    assert "Nodule: not detected by the algorithm" in text
    assert "Pleural effusion: not detected by the algorithm" in text
    assert "ormal" not in text
    text = text_of(page_of(case, FRENCH, findings=()), tmp_path)
    assert "Nodule : non détecté par l'algorithme" in text
    text = text_of(page_of(case, looked_for=(NODULE, effusion)), tmp_path)
    assert "Nodule: not" not in text
    assert "Pleural effusion: not detected" in text


def test_nothing_of_the_patient_is_printed(make_case: Callable[..., Case], tmp_path: Path) -> None:
    patient = {"PatientName": "Quibbleworth^Zenobia", "PatientID": "QZ-77-4711", "AccessionNumber": "ACC-8842", "StudyDescription": "Zweck"}
    text = text_of(page_of(make_case(patient=patient)), tmp_path)
    assert "Nodule 1" in text
    assert not [value for value in ("Quibbleworth", "Zenobia", "QZ-77", "ACC-8842", "Zweck") if value in text]


def test_the_same_inputs_give_the_same_bytes_at_any_time_and_place(case: Case, tmp_path: Path) -> None:
    """fpdf2 writes the clock into its metadata unless it is given others."""
    program = """if True:
        import hashlib, sys
        from pathlib import Path
        from tests.encode.test_page import digest_in
        print(digest_in(Path(sys.argv[1])))
    """
    found = {digest_in(tmp_path / "here")}
    for zone in ("Asia/Tokyo", "America/Lima"):
        environment = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": zone}
        command = [sys.executable, "-c", program, str(tmp_path / zone)]
        found.add(subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=REPOSITORY).stdout.strip())
    assert len(found) == 1


def digest_in(folder: Path) -> str:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM)
    headers = read_headers(datasets, folder)
    (made,) = encode_kind(read_inputs(two_findings(headers, datasets), headers, PAGE), ObjectKind.PAGE)
    return hashlib.sha256(made.content).hexdigest()


def test_its_metadata_tell_the_time_of_the_images_and_no_other(case: Case) -> None:
    document = page_of(case).EncapsulatedDocument
    assert re.findall(rb'[A-Za-z]*Date="?([0-9-]*)', document) == [b"2025-01-02"]
    assert page_of(case).ContentDate == "20250102"
    assert b"<pdfaid:part>2</pdfaid:part>" in document


@pytest.mark.parametrize("enhanced", [False, True])
def test_dciodvfy_finds_nothing(tmp_path: Path, validator: Callable[[str], str], enhanced: bool) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    result = two_findings(headers, datasets)
    for one in (result, dataclasses.replace(result, findings=())):
        assert new_complaints(validator, headers, tmp_path, encode.encode(one, headers, FRENCH), tmp_path) == set()


def cut(page: Dataset) -> None:
    page.EncapsulatedDocument = page.EncapsulatedDocument[:-100]


def other_length(page: Dataset) -> None:
    page.EncapsulatedDocumentLength -= 2


def other_source(page: Dataset) -> None:
    page.SourceInstanceSequence[0].ReferencedSOPInstanceUID = "2.25.1"


@pytest.mark.parametrize("change", [cut, other_length, other_source])
def test_a_fault_is_seen(case: Case, change: Callable[[Dataset], None]) -> None:
    objects = changed(encode.encode(case.result, case.headers, PAGE), Role.PAGE, change)
    assert isinstance(encode.compare(objects, case.result), ReportMismatch)


def with_pictures(result: Analysed, slices: tuple[int, ...]) -> Analysed:
    grey = np.random.default_rng(4).integers(0, 256, result.geometry.shape[1:], dtype=np.uint8)
    return dataclasses.replace(result, pictures=tuple(Picture(index, grey + index, 40.0, 400.0) for index in slices))


@pytest.mark.parametrize(("slices", "count", "images"), [((), 0, 0), ((1,), 0, 0), ((3,), 3, 1), (tuple(range(8)), 4, 2)])
def test_the_first_findings_of_which_there_is_a_picture_are_shown(
    case: Case, tmp_path: Path, slices: tuple[int, ...], count: int, images: int
) -> None:
    """Findings 1, 2 and 4 are largest on slice 3, finding 3 on slice 2; an image that is shown twice is there once."""
    findings = (*case.result.findings, *(dataclasses.replace(one, number=one.number + 2) for one in many(case, 4)))
    result = with_pictures(dataclasses.replace(case.result, findings=findings), slices)
    (made,) = encode_kind(read_inputs(result, case.headers, PAGE), ObjectKind.PAGE)
    page = opened((made,), Role.PAGE)
    drawn = set(re.findall(rb"/I\d+ \d+ 0 R", page.EncapsulatedDocument))
    assert len(drawn) == images
    captions = re.findall(r"\d Nodule[ \d]*, image \d", text_of(page, tmp_path))
    assert len(captions) == count


def test_a_picture_shows_the_finding_and_what_is_around_it(case: Case) -> None:
    """The crop is as wide as it is high in the patient, holds the whole finding and never leaves the image."""
    geometry = dataclasses.replace(case.result.geometry, shape=(8, 512, 400), spacing_mm=(2.0, 0.5, 0.8))
    for origin in ((2, 0, 0), (2, 500, 390), (2, 250, 200)):
        rows, columns = pdf.find_crop(finding(1, origin, np.ones((1, 12, 10), dtype=bool)), geometry)
        assert rows.start <= origin[1]
        assert origin[1] + 12 <= rows.stop <= 512
        assert columns.start <= origin[2]
        assert origin[2] + 10 <= columns.stop <= 400
        assert ((rows.stop - rows.start) * 0.5, (columns.stop - columns.start) * 0.8) == (60, 60)
    rows, columns = pdf.find_crop(finding(1, (2, 10, 10), np.ones((1, 480, 380), dtype=bool)), geometry)
    assert (rows, columns) == (slice(0, 512), slice(0, 400))
