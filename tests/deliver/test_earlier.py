"""Which earlier studies of a person a PACS holds, and having them sent: asked of a real Orthanc, and of peers that answer oddly."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from dicom_node.deliver import Line, ask_move, find_earlier
from dicom_node.deliver.association import associate
from dicom_node.deliver.count import FIND, find
from dicom_node.deliver.earlier import MOVE, _move
from dicom_node.errors import MoveIncomplete, NodeUnknownToPeer, NoPresentationContext, PeerUnreachable, StatusRefused
from dicom_node.spool import Patient
from dicom_node.values import PeerName
from tests.deliver.objects import LIMITS, Listener, peer_at
from tests.make import make_series, write_dataset
from tests.peers.archive import Archive, Destination
from tests.peers.orthanc import Orthanc
from tests.peers.ports import find_free_port

WHO = Patient(issuer="SITE", patient_id="4711", family_name="DOE", birth_date="19530317", study_date="20240709")
HEADER = {"IssuerOfPatientID": "SITE", "PatientID": "4711", "PatientName": "Doe^Anne", "PatientBirthDate": "19530317"}


def line(port: int, title: str = "PACS") -> Line:
    return Line(PeerName("pacs"), peer_at(port, title), "NODE", LIMITS)


def images(name: str, day: str, count: int = 3, modality: str = "CT", **changes: str) -> list[Dataset]:
    who = {**HEADER, "StudyDate": day, "Modality": modality, **changes}
    return make_series(lambda lps: np.zeros(lps.shape[:-1]), shape=(count, 8, 8), name=name, study=name, patient=who)


def put(orthanc: Orthanc, *series: Sequence[Dataset]) -> None:
    for one in series:
        for image in one:
            orthanc.upload(write_dataset(image))


def test_the_newest_comes_first_with_its_series_and_their_numbers(orthanc: Orthanc) -> None:
    old, newer = images("old", "20230110"), images("newer", "20240110", 5)
    put(orthanc, old, newer)
    found = find_earlier(line(orthanc.dicom_port, orthanc.aet), WHO, "CT")
    assert [study.study_date for study in found] == ["20240110", "20230110"]
    assert [study.study_instance_uid for study in found] == [newer[0].StudyInstanceUID, old[0].StudyInstanceUID]
    (series,) = found[0].series
    assert (series.series_instance_uid, series.instances) == (newer[0].SeriesInstanceUID, 5)


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientBirthDate": "19640101"},
        {"PatientBirthDate": ""},
        {"PatientName": "Roe^Anne"},
        {"IssuerOfPatientID": "ANOTHER"},
        {"PatientID": "47110"},
        {"StudyDate": "20240709"},
        {"StudyDate": "20250101"},
        {"StudyDate": ""},
        {"Modality": "MR"},
    ],
    ids=str,
)
def test_another_person_day_or_modality_is_none(orthanc: Orthanc, changes: dict[str, str]) -> None:
    put(orthanc, images("other", **{"day": "20240110", **changes}))
    assert find_earlier(line(orthanc.dicom_port, orthanc.aet), WHO, "CT") == ()


@pytest.mark.parametrize("changes", [{"PatientName": ""}, {"IssuerOfPatientID": ""}, {"PatientName": "DOE-^ANNE MARY"}], ids=str)
def test_what_is_not_known_or_only_written_otherwise_contradicts_nothing(orthanc: Orthanc, changes: dict[str, str]) -> None:
    put(orthanc, images("same", "20240110", **changes))
    assert len(find_earlier(line(orthanc.dicom_port, orthanc.aet), WHO, "CT")) == 1


@pytest.mark.parametrize("own", ["47*", "4?11", "*"])
def test_signs_of_an_id_are_no_wildcards(orthanc: Orthanc, own: str) -> None:
    """PS3.4 C.2.2.2.4 has no way to say so in the question; so it is seen in the answers."""
    put(orthanc, images("other", "20240110"))
    who = Patient("", own, "DOE", "19530317", "20240709")
    assert find_earlier(line(orthanc.dicom_port, orthanc.aet), who, "CT") == ()


def test_a_peer_that_answers_with_everything_it_has_is_not_believed() -> None:
    """It ignores all keys, gives no number of instances and no modalities of the study."""

    def everything(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for patient_id, study, day in (("4711", "1.2", "20240101"), ("4712", "1.3", "20240102"), ("4711", "1.4", "")):
            for series, modality in (("5", "CT"), ("6", "SR")):
                answer = Dataset()
                answer.PatientID, answer.PatientBirthDate, answer.PatientName = patient_id, "19530317", "Doe"
                answer.StudyInstanceUID, answer.StudyDate = study, day
                if event.identifier.QueryRetrieveLevel == "SERIES":
                    answer.SeriesInstanceUID, answer.Modality = f"{study}.{series}", modality
                yield 0xFF00, answer

    with Listener(StudyRootQueryRetrieveInformationModelFind, (evt.EVT_C_FIND, everything)) as port:
        (study,) = find_earlier(line(port), WHO, "CT")
    assert study.study_instance_uid == "1.2"
    assert [(one.series_instance_uid, one.instances) for one in study.series] == [("1.2.5", None)]


def test_a_peer_that_takes_no_queries_answers_with_a_failure_or_is_away_is_an_error(tmp_path: Path) -> None:
    with Listener(Verification) as port, pytest.raises(NoPresentationContext):
        find_earlier(line(port), WHO, "CT")
    with Archive(tmp_path) as archive:
        archive.answers.find_status = 0xA700
        with pytest.raises(StatusRefused) as refused:
            find_earlier(line(archive.port), WHO, "CT")
        assert refused.value.status == 0xA700
    with pytest.raises(PeerUnreachable):
        find_earlier(line(find_free_port()), WHO, "CT")


def test_an_association_that_is_over_before_the_next_question_is_a_peer_that_is_away(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive, associate(line(archive.port), [build_context(FIND), build_context(MOVE)]) as association:
        association.abort()
        with pytest.raises(PeerUnreachable):
            list(find(association, PeerName("pacs"), Dataset()))
        with pytest.raises(PeerUnreachable):
            _move(association, line(archive.port), Dataset())


def test_a_series_is_sent_where_the_peer_knows_the_node(tmp_path: Path) -> None:
    wanted, other = images("wanted", "20240110"), images("other", "20240110")
    (tmp_path / "from").mkdir()
    for image in (*wanted, *other):
        (tmp_path / "from" / f"{image.SOPInstanceUID}.dcm").write_bytes(write_dataset(image))
    with Archive(tmp_path / "to", ae_title="NODE") as node:
        destination = Destination("NODE", "127.0.0.1", node.port)
        with Archive(tmp_path / "from", peers=[destination]) as archive:
            ask_move(line(archive.port), wanted[0].StudyInstanceUID, [wanted[0].SeriesInstanceUID])
        assert sorted(one.sop_instance_uid for one in node.record) == sorted(image.SOPInstanceUID for image in wanted)
    with Archive(tmp_path / "from") as archive, pytest.raises(NodeUnknownToPeer):
        ask_move(line(archive.port), wanted[0].StudyInstanceUID, [wanted[0].SeriesInstanceUID])
    nobody = [Destination("NODE", "127.0.0.1", find_free_port())]
    with Archive(tmp_path / "from", peers=nobody) as archive, pytest.raises((MoveIncomplete, StatusRefused, NodeUnknownToPeer)):
        ask_move(line(archive.port), wanted[0].StudyInstanceUID, [wanted[0].SeriesInstanceUID])


@pytest.mark.parametrize(
    ("status", "failed", "error"),
    [(0xB000, 2, MoveIncomplete), (0x0000, 1, MoveIncomplete), (0xA702, 3, MoveIncomplete), (0xA900, 0, StatusRefused)],
)
def test_what_did_not_come_through_is_said(status: int, failed: int, error: type[Exception]) -> None:
    class Moved:
        """What pynetdicom gives of the answers to a C-MOVE: its own acceptor counts for itself what has failed."""

        def send_c_move(self, *_: object) -> Iterator[tuple[Dataset, Dataset | None]]:
            for one in (0xFF00, status):
                answer = Dataset()
                answer.Status, answer.NumberOfFailedSuboperations = one, failed
                yield answer, None

    with pytest.raises(error):
        _move(cast("Association", Moved()), line(104), Dataset())
