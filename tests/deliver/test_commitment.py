"""Storage commitment is asked for; its report is taken wherever it comes on our association, and nothing is made up."""

import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import decode
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from dicom_node.config import DeliverSection
from dicom_node.deliver import Line, ask_commitment, send
from dicom_node.errors import NoCommitment, PeerUnreachable, StatusRefused
from dicom_node.values import PeerName, derive_uid
from tests.deliver.objects import Listener, acknowledged, peer_at, write_result
from tests.peers.archive import Archive
from tests.peers.ports import find_free_port

PACS = PeerName("pacs")
LIMITS = DeliverSection(connect_timeout_s=5.0, response_timeout_s=5.0, proof_wait_s=5.0)
TRANSACTION = derive_uid("test", "commitment")


@pytest.fixture
def result(tmp_path: Path) -> tuple[Path, Path]:
    return write_result(tmp_path / "result")


@pytest.fixture
def archive(tmp_path: Path, result: tuple[Path, Path]) -> Iterator[Archive]:
    """An archive that holds the result."""
    with Archive(tmp_path / "archive") as running:
        send(result, destination=PACS, peer=peer_at(running.port), our_title="NODE", limits=LIMITS)
        running.answers.commits_here = True
        yield running


class Taker:
    """Keeps what reports say: (transaction, held, failed)."""

    def __init__(self, status: int = 0x0000) -> None:
        self.reports: list[tuple[str, int, int]] = []
        self._status = status

    def take(self, report: N_EVENT_REPORT, transfer_syntax_uid: str) -> int:
        assert report.EventInformation is not None
        found = decode(report.EventInformation, transfer_syntax_uid == ImplicitVRLittleEndian, True)
        counts = [len(found.get(keyword) or ()) for keyword in ("ReferencedSOPSequence", "FailedSOPSequence")]
        self.reports.append((str(found.TransactionUID), counts[0], counts[1]))
        return self._status

    def is_answered(self) -> bool:
        return bool(self.reports)


def _ask(port: int, result: tuple[Path, Path], taker: Taker, limits: DeliverSection = LIMITS) -> None:
    line = Line(PACS, peer_at(port), "NODE", limits)
    ask_commitment(line, TRANSACTION, acknowledged(result), take_report=taker.take, is_answered=taker.is_answered)


@pytest.mark.parametrize("when", ["after", "before"])
def test_the_report_comes_after_or_before_the_response(archive: Archive, result: tuple[Path, Path], when: str) -> None:
    archive.answers.commits_when = when  # type: ignore[assignment]
    taker = Taker()
    _ask(archive.port, result, taker)
    assert taker.reports == [(TRANSACTION, 2, 0)]
    assert archive.wait_for(lambda here: here.commitment_statuses == [0x0000], limit_s=5)


def test_our_answer_is_what_the_taker_says(archive: Archive, result: tuple[Path, Path]) -> None:
    _ask(archive.port, result, Taker(0x0115))
    assert archive.wait_for(lambda here: here.commitment_statuses == [0x0115], limit_s=5)


def test_an_association_is_not_released_before_its_report_is_answered(archive: Archive, result: tuple[Path, Path]) -> None:
    """What a report says is durable before it is answered: who looks in between sees an answer, and has nothing to wait for any more."""
    taker = Taker(0x0115)
    seen = threading.Event()

    def take(report: N_EVENT_REPORT, transfer_syntax_uid: str) -> int:
        status = taker.take(report, transfer_syntax_uid)
        assert seen.wait(5)
        archive.wait_for(lambda here: here.commitment_statuses != [], limit_s=0.5)  # as long as a machine takes that is busy
        return status

    def is_answered() -> bool:
        if taker.is_answered():
            seen.set()
        return taker.is_answered()

    ask_commitment(
        Line(PACS, peer_at(archive.port), "NODE", LIMITS), TRANSACTION, acknowledged(result), take_report=take, is_answered=is_answered
    )
    assert archive.wait_for(lambda here: here.commitment_statuses == [0x0115], limit_s=5)


def test_no_report_is_waited_for_only_so_long(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.commits_when = "never"
    start, taker = monotonic(), Taker()
    _ask(archive.port, result, taker, LIMITS.model_copy(update={"proof_wait_s": 0.5}))
    assert (taker.reports, archive.asked) == ([], 1)
    assert 0.5 <= monotonic() - start < 4


def test_waiting_ends_where_the_report_came_elsewhere(archive: Archive, result: tuple[Path, Path]) -> None:
    archive.answers.commits_when = "never"
    taker, start = Taker(), monotonic()
    line = Line(PACS, peer_at(archive.port), "NODE", LIMITS)
    ask_commitment(line, TRANSACTION, acknowledged(result), take_report=taker.take, is_answered=lambda: archive.asked == 1)
    assert monotonic() - start < 4


@pytest.mark.parametrize("status", [0x0110, 0x0124, 0x0211, 0x0213])
def test_a_refused_request_is_an_error(archive: Archive, result: tuple[Path, Path], status: int) -> None:
    archive.answers.action_status = status
    with pytest.raises(StatusRefused) as caught:
        _ask(archive.port, result, Taker())
    assert caught.value.status == status


def test_a_peer_without_commitment_says_so(result: tuple[Path, Path]) -> None:
    with Listener(Verification) as port, pytest.raises(NoCommitment):
        _ask(port, result, Taker())


def test_a_peer_that_hangs_up_or_is_not_there_is_unreachable(result: tuple[Path, Path]) -> None:
    def abort(event: evt.Event) -> tuple[int, None]:
        event.assoc.abort()
        return 0x0000, None

    start = monotonic()
    with Listener(StorageCommitmentPushModel, (evt.EVT_N_ACTION, abort)) as port, pytest.raises(PeerUnreachable):
        _ask(port, result, Taker())
    with pytest.raises(PeerUnreachable):
        _ask(find_free_port(), result, Taker())
    assert monotonic() - start < 4


def test_a_report_that_cannot_be_recorded_is_not_answered_with_success(archive: Archive, result: tuple[Path, Path]) -> None:
    def fail(_: N_EVENT_REPORT, __: str) -> int:
        raise BrokenPipeError

    line = Line(PACS, peer_at(archive.port), "NODE", LIMITS.model_copy(update={"proof_wait_s": 0.5}))
    ask_commitment(line, TRANSACTION, acknowledged(result), take_report=fail, is_answered=lambda: False)
    assert archive.wait_for(lambda here: here.commitment_statuses == [0x0110], limit_s=5)
