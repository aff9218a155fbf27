"""The node asks the PACS how many instances a series has, and believes only an answer."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pydicom.config
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from dicom_node.deliver import ask_count, ask_echo
from dicom_node.deliver.count import NoAnswer, _parse_number, find
from dicom_node.errors import AssociationRejected, NoPresentationContext, PeerUnreachable, StatusRefused
from dicom_node.values import PeerName, derive_uid
from tests.deliver.objects import LIMITS, Listener, peer_at
from tests.make.series import make_series, write_series
from tests.peers.archive import Archive
from tests.peers.ports import find_free_port

PACS = PeerName("pacs")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An archive with one study of two series, of 4 and of 3 instances."""
    for name, count in (("first", 4), ("second", 3)):
        series = make_series(lambda lps: np.zeros(lps.shape[:-1]), shape=(count, 8, 8), name=name, study="counted")
        for number, file in enumerate(write_series(series, tmp_path / name)):
            (tmp_path / "archive").mkdir(exist_ok=True)
            file.rename(tmp_path / "archive" / f"{name}{number}.dcm")
    with Archive(tmp_path / "archive") as running:
        yield running


def _uids(archive: Archive, name: str = "first") -> tuple[str, str]:
    header = dcmread(archive.folder / f"{name}0.dcm")
    return str(header.StudyInstanceUID), str(header.SeriesInstanceUID)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize(("name", "count"), [("first", 4), ("second", 3)])
def test_the_number_is_that_of_the_one_series_told_or_listed(archive: Archive, name: str, count: int, counts: bool) -> None:
    archive.answers.counts = counts
    assert ask_count(PACS, peer_at(archive.port), "NODE", *_uids(archive, name), LIMITS) == count


def test_a_series_that_the_peer_does_not_hold_has_none(archive: Archive) -> None:
    study, _ = _uids(archive)
    assert ask_count(PACS, peer_at(archive.port), "NODE", study, derive_uid("test", "unknown"), LIMITS) == 0


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001, 0x0122])
def test_a_peer_that_answers_with_a_failure_cannot_say(archive: Archive, status: int) -> None:
    archive.answers.find_status = status
    assert ask_count(PACS, peer_at(archive.port), "NODE", *_uids(archive), LIMITS) is None


def test_a_peer_that_takes_no_queries_cannot_say() -> None:
    with Listener(Verification) as port:
        assert ask_count(PACS, peer_at(port), "NODE", "1.2", "1.3", LIMITS) is None


def test_nobody_there_is_an_error_not_an_answer(archive: Archive) -> None:
    with pytest.raises(PeerUnreachable):
        ask_count(PACS, peer_at(find_free_port()), "NODE", "1.2", "1.3", LIMITS)
    archive.answers.reject = (2, 3, 2)
    with pytest.raises(AssociationRejected):
        ask_count(PACS, peer_at(archive.port), "NODE", "1.2", "1.3", LIMITS)


def test_a_peer_that_answers_with_everything_it_has_is_counted_right() -> None:
    def everything(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for series, count in (("1.3", 2), ("1.4", 5)):
            for number in range(count if event.identifier.QueryRetrieveLevel == "IMAGE" else 1):
                answer = Dataset()
                answer.SeriesInstanceUID, answer.SOPInstanceUID = series, f"{series}.{number}"
                yield 0xFF00, answer

    with Listener(StudyRootQueryRetrieveInformationModelFind, (evt.EVT_C_FIND, everything)) as port:
        assert ask_count(PACS, peer_at(port), "NODE", "1.2", "1.3", LIMITS) == 2


@pytest.mark.parametrize("told", [0, "", None])
def test_a_number_that_says_nothing_is_not_believed(told: object) -> None:
    def answer_query(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        answer = Dataset()
        answer.SeriesInstanceUID = "1.3"
        answer.NumberOfSeriesRelatedInstances = told
        answer.SOPInstanceUID = "1.3.1"
        yield 0xFF00, answer

    with Listener(StudyRootQueryRetrieveInformationModelFind, (evt.EVT_C_FIND, answer_query)) as port:
        assert ask_count(PACS, peer_at(port), "NODE", "1.2", "1.3", LIMITS) == 1


@pytest.mark.parametrize("told", [b"inf ", b"1.5 ", b"\xff\xff", b"9" * 5000])
def test_a_number_that_is_none_says_nothing(told: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a peer writes there, nobody waits in vain for the count: None, or no answer."""
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)  # as the node does
    answer = Dataset()
    answer[0x00201209] = RawDataElement(Tag(0x00201209), "IS", len(told), told, 0, is_implicit_VR=True, is_little_endian=True)
    with contextlib.suppress(NoAnswer):
        assert _parse_number(answer) is None


def test_an_answer_that_cannot_be_read_says_nothing() -> None:
    """It may have been the one that was asked for: what is not known is not taken for none."""

    class Garbled:
        """What pynetdicom gives where an identifier does not decode: the status alone."""

        def send_c_find(self, *_: object) -> Iterator[tuple[Dataset, Dataset | None]]:
            pending = Dataset()
            pending.Status = 0xFF00
            yield pending, None

    with pytest.raises(NoAnswer):
        list(find(cast("Association", Garbled()), PACS, Dataset()))


def test_an_association_that_breaks_during_the_query_is_an_error() -> None:
    def abort(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        event.assoc.abort()
        yield 0xFF00, None

    with Listener(StudyRootQueryRetrieveInformationModelFind, (evt.EVT_C_FIND, abort)) as port, pytest.raises(PeerUnreachable):
        ask_count(PACS, peer_at(port), "NODE", "1.2", "1.3", LIMITS)


def test_an_echo_comes_back_or_says_what_is_wrong(archive: Archive) -> None:
    ask_echo(PACS, peer_at(archive.port), "NODE", LIMITS)
    with pytest.raises(PeerUnreachable):
        ask_echo(PACS, peer_at(find_free_port()), "NODE", LIMITS)
    with Listener(CTImageStorage) as port, pytest.raises(NoPresentationContext):
        ask_echo(PACS, peer_at(port), "NODE", LIMITS)
    with Listener(Verification, (evt.EVT_C_ECHO, lambda _: 0x0122)) as port, pytest.raises(StatusRefused) as caught:
        ask_echo(PACS, peer_at(port), "NODE", LIMITS)
    assert caught.value.status == 0x0122
