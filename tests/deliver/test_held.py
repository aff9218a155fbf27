"""The node asks a destination whether it holds what it acknowledged, and believes only an answer that names the object."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from dicom_node.deliver import Acknowledged, Line, ask_held, send
from dicom_node.errors import PeerUnreachable, TitleUnknown
from dicom_node.values import Held, PeerName, Proof
from tests.deliver.objects import LIMITS, Listener, acknowledged, peer_at, write_result
from tests.peers.archive import Archive
from tests.peers.ports import find_free_port

PACS = PeerName("pacs")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "archive") as running:
        yield running


@pytest.fixture
def result(tmp_path: Path) -> tuple[Path, Path]:
    return write_result(tmp_path / "result")


def _line(port: int) -> Line:
    return Line(PACS, peer_at(port), "NODE", LIMITS)


def _ask(port: int, objects: list[Acknowledged]) -> list[Held]:
    holdings = ask_held(_line(port), objects)
    assert [one.sop_instance_uid for one in holdings] == [one.sop_instance_uid for one in objects]
    assert {one.proof for one in holdings} == {Proof.FIND}
    return [one.held for one in holdings]


def test_what_was_kept_is_held_and_what_was_dropped_is_not(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.dropped = {str(dcmread(result[0]).SOPClassUID)}
    send(result, destination=PACS, peer=peer_at(archive.port), our_title="NODE", limits=LIMITS)
    assert _ask(archive.port, acknowledged(result)) == [Held.NO, Held.YES]


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001])
def test_a_failure_says_nothing(archive: Archive, result: tuple[Path, Path], status: int) -> None:
    archive.answers.find_status = status
    assert _ask(archive.port, acknowledged(result)) == [Held.NOT_NOW] * 2


def test_a_peer_that_takes_no_queries_says_nothing(result: tuple[Path, Path]) -> None:
    with Listener(Verification) as port:
        assert _ask(port, acknowledged(result)) == [Held.NOT_NOW] * 2


@pytest.mark.parametrize(("named", "held"), [("own", Held.YES), ("another", Held.NO), ("", Held.NOT_NOW)])
def test_only_an_answer_that_names_the_object_counts(result: tuple[Path, Path], named: str, held: Held) -> None:
    (first, _) = acknowledged(result)

    def answer(_: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        found = Dataset()
        found.SOPInstanceUID = {"own": first.sop_instance_uid, "another": "1.2.3"}.get(named, "")
        yield 0xFF00, found

    with Listener(StudyRootQueryRetrieveInformationModelFind, (evt.EVT_C_FIND, answer)) as port:
        assert _ask(port, [first]) == [held]


def test_nobody_there_is_an_error_not_an_answer(archive: Archive, result: tuple[Path, Path]) -> None:
    with pytest.raises(PeerUnreachable):
        _ask(find_free_port(), acknowledged(result))
    archive.answers.reject = (1, 1, 3)
    with pytest.raises(TitleUnknown):
        _ask(archive.port, acknowledged(result))
