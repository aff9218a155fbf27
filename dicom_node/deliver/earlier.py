"""Which earlier studies of a patient does a PACS hold? C-FIND in the Study Root model, and C-MOVE of their series to the node (PS3.4 C)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.errors import MoveIncomplete, NodeUnknownToPeer, NoPresentationContext, PeerUnreachable, StatusRefused
from dicom_node.spool import Patient, family_name_of, is_same_person, is_uid

from .association import Line, associate
from .count import FIND, NoAnswer, find, text_of

MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")  # Study Root Query/Retrieve Information Model, MOVE
_SUCCESS, _PENDING = 0x0000, 0xFF00
_DESTINATION_UNKNOWN = 0xA801  # PS3.4 C.4.2.1.5
_NO_CODE = re.compile(r"[^A-Z0-9_]+")  # between the values of a CS, however they were put together
_MOST_STUDIES = 20  # of the newest, whose series are asked for


@dataclass(frozen=True, slots=True)
class EarlierSeries:
    """A series at a PACS, and how many instances it says to have; None where it does not say."""

    series_instance_uid: str
    instances: int | None


@dataclass(frozen=True, slots=True)
class EarlierStudy:
    """An earlier study of a patient at a PACS, of which day (DA), and its series of the modality that was asked for."""

    study_instance_uid: str
    study_date: str
    series: tuple[EarlierSeries, ...]


def find_earlier(line: Line, patient: Patient, modality: str) -> tuple[EarlierStudy, ...]:
    """The patient's studies of days before that of `patient` which have series of a modality, the newest first, at most twenty.

    Asked is for the Patient ID; what comes back is looked at again, since an archive may ignore a key, or take signs of the ID for
    wildcards: the same person (`spool.is_same_person`), an earlier day. Raises PeerError where the peer does not answer: PeerUnreachable,
    AssociationRejected, NoPresentationContext where it takes no C-FIND, StatusRefused where it answers with a failure.
    """
    with associate(line, [build_context(FIND)]) as association:
        if not association.accepted_contexts:
            raise NoPresentationContext(line.destination, FIND)
        try:
            studies = _find_studies(association, line, patient, modality)
            found = (EarlierStudy(uid, day, _find_series(association, line, uid, modality)) for day, uid in studies[:_MOST_STUDIES])
            return tuple(study for study in found if study.series)
        except NoAnswer as cause:
            raise StatusRefused(line.destination, cause.status) from cause


def ask_move(line: Line, study_instance_uid: str, series_instance_uids: Sequence[str]) -> None:
    """Have series of a study sent to the node by C-MOVE, one after the other; comes back when the PACS says that all have been sent.

    Raises PeerError as `find_earlier`, NodeUnknownToPeer where the PACS does not know where to send them (A801), MoveIncomplete where some
    of the instances did not come through.
    """
    with associate(line, [build_context(MOVE)]) as association:
        if not association.accepted_contexts:
            raise NoPresentationContext(line.destination, MOVE)
        for uid in series_instance_uids:
            query = Dataset()
            query.QueryRetrieveLevel = "SERIES"
            query.StudyInstanceUID = study_instance_uid
            query.SeriesInstanceUID = uid
            _move(association, line, query)


def _find_studies(association: Association, line: Line, patient: Patient, modality: str) -> list[tuple[str, str]]:
    """Day and UID of each, the newest first."""
    query = Dataset()
    if not patient.patient_id.isascii():
        query.SpecificCharacterSet = "ISO_IR 192"
    query.QueryRetrieveLevel = "STUDY"
    query.PatientID = patient.patient_id
    query.StudyDate = f"-{_day_before(patient.study_date)}"
    for keyword in ("IssuerOfPatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "ModalitiesInStudy"):
        setattr(query, keyword, "")
    found = set()
    for answer in find(association, line.destination, query):
        uid, day = text_of(answer, "StudyInstanceUID"), text_of(answer, "StudyDate")
        if not is_uid(uid) or not "" < day < patient.study_date or not is_same_person(patient, _person(answer, day)):
            continue
        modalities = _NO_CODE.split(text_of(answer, "ModalitiesInStudy"))  # optional; what is not said is asked series by series
        if any(modalities) and modality not in modalities:
            continue
        found.add((day, uid))
    return sorted(found, reverse=True)


def _person(answer: Dataset, study_date: str) -> Patient:
    return Patient(
        issuer=text_of(answer, "IssuerOfPatientID").strip(),
        patient_id=text_of(answer, "PatientID").strip(),
        family_name=family_name_of(text_of(answer, "PatientName")),
        birth_date=text_of(answer, "PatientBirthDate").strip(),
        study_date=study_date,
    )


def _find_series(association: Association, line: Line, study_instance_uid: str, modality: str) -> tuple[EarlierSeries, ...]:
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = study_instance_uid
    query.Modality = modality
    query.SeriesInstanceUID = ""
    query.NumberOfSeriesRelatedInstances = ""
    found: dict[str, EarlierSeries] = {}
    for answer in find(association, line.destination, query):
        uid, of_study = text_of(answer, "SeriesInstanceUID"), text_of(answer, "StudyInstanceUID")
        if is_uid(uid) and of_study in ("", study_instance_uid) and text_of(answer, "Modality") == modality:
            found[uid] = EarlierSeries(uid, _parse_number(text_of(answer, "NumberOfSeriesRelatedInstances")))
    return tuple(found[uid] for uid in sorted(found))


def _move(association: Association, line: Line, query: Dataset) -> None:
    try:
        answers = association.send_c_move(query, line.our_title, MOVE)
    except RuntimeError as cause:  # the peer has ended the association after the series before
        raise PeerUnreachable(line.destination) from cause
    for status, _ in answers:
        if "Status" not in status:
            raise PeerUnreachable(line.destination)
        if status.Status == _PENDING:
            continue
        if status.Status == _DESTINATION_UNKNOWN:
            raise NodeUnknownToPeer(line.destination)
        missing = _parse_number(text_of(status, "NumberOfFailedSuboperations"))
        if missing:
            raise MoveIncomplete(line.destination, missing)
        if status.Status != _SUCCESS:
            raise StatusRefused(line.destination, int(status.Status))
        return
    raise PeerUnreachable(line.destination)


def _day_before(day: str) -> str:
    """The day (DA) before another one."""
    return f"{date(int(day[:4]), int(day[4:6]), int(day[6:])) - timedelta(days=1):%Y%m%d}"


def _parse_number(text: str) -> int | None:
    try:
        number = int(text or 0)
    except ValueError:
        return None
    return number if number > 0 else None
