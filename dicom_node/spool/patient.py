"""Whose study it is, from a header: for those who compare studies of one patient. Nothing of it is written anywhere."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date

from dicom_node.values import InstanceHeaders

from .elements import Syntax, walk
from .header import Header

_NO_LETTER = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True, repr=False)
class Patient:
    """What one patient's studies have alike, and the day of this one (DA); what is absent is empty.

    `family_name` is in capitals, without accents, spaces and signs, since scanners and offices write these differently.
    """

    issuer: str
    patient_id: str
    family_name: str
    birth_date: str
    study_date: str


def read_patient(instance: InstanceHeaders) -> Patient | None:
    """The patient of an image; None where it has no Patient ID, or is of no known day."""
    syntax = Syntax.of(instance.instance.transfer_syntax_uid)
    header = Header(instance.data_set, syntax, walk(instance.data_set, syntax, is_whole=True).elements)
    encodings = header.encodings()
    patient_id, study_date = header.text("PatientID", encodings), header.text("StudyDate")
    if not patient_id or not _is_date(study_date):
        return None
    birth_date = header.text("PatientBirthDate")
    return Patient(
        issuer=header.text("IssuerOfPatientID", encodings),
        patient_id=patient_id,
        family_name=family_name_of(header.text("PatientName", encodings)),
        birth_date=birth_date if _is_date(birth_date) else "",
        study_date=study_date,
    )


def is_same_person(one: Patient, other: Patient) -> bool:
    """Whether two headers, or a header and an archive's answer, are of one person: the same ID, by issuers that do not contradict each
    other, the same birth date, which must be known, and family names that are the same where both are known. An ID may have been given
    twice."""
    if one.patient_id != other.patient_id or not one.birth_date or one.birth_date != other.birth_date:
        return False
    return _agree(one.issuer, other.issuer) and _agree(one.family_name, other.family_name)


def family_name_of(name: str) -> str:
    """The first component of the first group of a PN that has letters (PS3.5 6.2.1)."""
    spelt = unicodedata.normalize("NFKD", name.split("=")[0].split("^")[0].upper())
    return _NO_LETTER.sub("", "".join(one for one in spelt if not unicodedata.combining(one)))


def _agree(one: str, other: str) -> bool:
    return not one or not other or one == other


def _is_date(text: str) -> bool:
    """Whether a text is a DA as the standard has it today: eight digits, and a day of the calendar."""
    if len(text) != 8 or not (text.isascii() and text.isdecimal()):
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True
