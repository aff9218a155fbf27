"""Whose study it is: what says nothing is not taken for something."""

from pathlib import Path

import pytest

from dicom_node.spool import Patient, read_patient
from tests.encode.results import read_headers
from tests.make import base_anatomy, make_series

FULL = {
    "PatientID": "4711",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientName": "Müller-Lüd^Anne",
    "PatientBirthDate": "19530317",
    "StudyDate": "20240229",
    "SpecificCharacterSet": "ISO_IR 192",
}


def patient_of(folder: Path, **changes: str | None) -> Patient | None:
    datasets = make_series(base_anatomy, shape=(2, 4, 4), patient={**FULL, **changes}, enhanced=False)
    return read_patient(read_headers(datasets, folder).instances[0])


def test_all_that_studies_of_one_patient_have_alike(tmp_path: Path) -> None:
    assert patient_of(tmp_path) == Patient("HOSPITAL", "4711", "MULLERLUD", "19530317", "20240229")


@pytest.mark.parametrize(
    "name", ["Muller Lud^Anne^^^", "MÜLLER-LÜD", "muller'lud^A=\u5c71\u7530^\u592a\u90ce"], ids=["plain", "capitals", "two groups"]
)
def test_a_name_is_the_same_however_it_is_written(tmp_path: Path, name: str) -> None:
    patient = patient_of(tmp_path, PatientName=name)
    assert patient is not None
    assert patient.family_name == "MULLERLUD"


@pytest.mark.parametrize("changes", [{"PatientID": ""}, {"StudyDate": ""}, {"StudyDate": None}, {"PatientID": None}])
def test_without_an_id_or_a_day_there_is_nobody(tmp_path: Path, changes: dict[str, str | None]) -> None:
    assert patient_of(tmp_path, **changes) is None


def test_what_is_absent_is_empty(tmp_path: Path) -> None:
    assert patient_of(tmp_path, PatientName="", PatientBirthDate="", IssuerOfPatientID=None) == Patient("", "4711", "", "", "20240229")


def test_a_patient_is_not_shown(tmp_path: Path) -> None:
    assert "4711" not in repr(patient_of(tmp_path))
