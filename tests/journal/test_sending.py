"""What becomes of a delivery that fails: few tries or many, as is due, and a line in the log where the node tries no more."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dicom_node import deliver, errors, journal, log, pipeline
from dicom_node.config import Config, load_config
from dicom_node.journal.tables import deliveries
from dicom_node.roles.worker import _recorded
from dicom_node.sending import Sending
from dicom_node.values import AETitle, DeliveryState, Held, Holding, NotAnalysed, PeerName, Proof, SeriesHeaders, StoredSeries
from dicom_node.values.reasons import ModelFailed
from tests.deliver.objects import write_result
from tests.peers.archive import Archive

from .conftest import Book
from .test_jobs import KEY, SENDING, act, jobs, start_sending, write_jobs

PACS = PeerName("pacs")
PROCESSING_FAILURE, OUT_OF_RESOURCES, REFUSED = 0x0110, 0xA700, 0xC000


def load(folder: Path, port: int = 104, may: str = '"send", "receive"') -> Config:
    peer = f'[peers.pacs]\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {port}\nmay = [{may}]\n'
    (folder / "peers.toml").write_text(peer, encoding="utf-8")
    (folder / "m").mkdir(exist_ok=True)
    (folder / "m" / "package.toml").touch()
    (folder / "node.toml").write_text('ae_title = "NODE"\ndata = "data"\nmodels = ["m"]\n', encoding="utf-8")
    return load_config(folder / "node.toml")


def no_images(_: StoredSeries) -> SeriesHeaders:
    raise errors.ImageMissing


@pytest.fixture
def make(book: Book, tmp_path: Path) -> Callable[..., Sending]:
    """Makes what sends, with a result of two objects on its way to a destination."""
    start_sending(book)
    kept = journal.Kept(tmp_path / "kept")

    def make(**settings: Any) -> Sending:
        return Sending(load(tmp_path, **settings), book.clock, book.engine, book.client, kept, no_images)

    return make


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[log.Event]:
    """What is logged as a warning."""
    written: list[log.Event] = []
    monkeypatch.setattr("dicom_node.sending.log", written.append)
    monkeypatch.setattr("dicom_node.log.log", written.append)
    return written


def warnings(events: list[log.Event]) -> list[tuple[str, str, float]]:
    """Class, error and seconds to the next try of the deliveries that failed."""
    failed = [one for one in events if isinstance(one, log.DeliveryFailed | log.ProofMissing)]
    return [(type(one).__name__, one.error.__name__, one.next_try_s) for one in failed]


def answer(sending: Sending, attempt: int, *statuses: int | None) -> None:
    """A try at which the objects that wait are answered so."""
    job = journal.DeliveryJob(KEY, "pacs", attempt)
    waiting, sent = sending.find_waiting(job), []
    for one, status in zip(waiting, statuses, strict=True):
        outcome = deliver.Outcome.RETRY_LATER if status is None else deliver.outcome_of(status)
        sent.append(deliver.Sent(Path(one.file), one.sop_class_uid, one.sop_instance_uid, outcome, status))
    sending.write_outcomes(job, waiting, deliver.Answers(tuple(sent)))


def fail(sending: Sending, attempt: int, error: Exception) -> None:
    job = journal.DeliveryJob(KEY, "pacs", attempt)
    sending.write_failure(job, sending.find_waiting(job), error)


def states(book: Book) -> list[tuple[str, str | None]]:
    with book.engine.begin() as connection:
        asked = sa.select(deliveries.c.state, deliveries.c.error).order_by(deliveries.c.number)
        return [tuple(row) for row in connection.execute(asked)]


def test_only_answers_of_processing_failure_count_as_failures(book: Book, make: Callable[..., Sending], events: list[log.Event]) -> None:
    """Not that the peer was away, had no room, or that an object had to wait for its turn."""
    sending = make()
    for attempt in range(2):
        fail(sending, attempt, errors.PeerUnreachable(PACS))
    answer(sending, 2, OUT_OF_RESOURCES, None)
    for attempt in range(3, 5):
        answer(sending, attempt, PROCESSING_FAILURE, None)
    assert [state for state, _ in states(book)] == ["queued", "queued"]
    answer(sending, 5, PROCESSING_FAILURE, None)
    assert [state for state, _ in states(book)] == ["refused", "queued"]
    assert warnings(events)[2:] == [("DeliveryFailed", "StatusRefused", 0.0)]
    answer(sending, 6, PROCESSING_FAILURE)  # the report's first turn
    assert [state for state, _ in states(book)] == ["refused", "queued"]


def test_an_acknowledgement_begins_to_count_failures_anew(book: Book, make: Callable[..., Sending]) -> None:
    sending = make()
    for attempt in range(2):
        answer(sending, attempt, PROCESSING_FAILURE, None)
    answer(sending, 2, 0x0000, 0x0000)
    with book.engine.begin() as connection:
        connection.execute(deliveries.update().values(state="queued", proof=None))  # both are lost
    answer(sending, 0, PROCESSING_FAILURE, None)
    assert [state for state, _ in states(book)] == ["queued", "queued"]


def test_an_object_that_the_peer_holds_already_is_sent(book: Book, make: Callable[..., Sending]) -> None:
    """The worker died before it wrote down that it was acknowledged; the archive takes no duplicates."""
    answer(make(may='"receive", "count"'), 0, 0x0111, 0x0111)
    assert states(book) == [("sent", None)] * 2
    assert len(book.jobs("prove")) == 1  # and is to show it


@pytest.mark.parametrize("status", [REFUSED, 0xA900])
def test_a_refusal_for_good_is_logged_as_a_warning(make: Callable[..., Sending], events: list[log.Event], status: int) -> None:
    answer(make(), 0, status, 0x0000)
    assert warnings(events) == [("DeliveryFailed", "StatusRefused", 0.0)]


def test_the_outcome_of_a_slower_twin_is_not_logged(book: Book, make: Callable[..., Sending], events: list[log.Event]) -> None:
    sending, job = make(), journal.DeliveryJob(KEY, "pacs", 0)
    waiting = sending.find_waiting(job)
    answer(sending, 0, 0x0000, 0x0000)
    events.clear()
    refused = [deliver.Sent(Path(one.file), "1.2", "1.2", deliver.Outcome.NEVER, REFUSED) for one in waiting]
    sending.write_outcomes(job, waiting, deliver.Answers(tuple(refused)))
    assert events == []
    assert states(book) == [("sent", None)] * 2


def test_what_is_given_up_is_logged_as_a_warning(book: Book, make: Callable[..., Sending], events: list[log.Event]) -> None:
    sending = make()
    answer(sending, sending.limits.tries - 1, OUT_OF_RESOURCES, None)
    assert states(book) == [("given-up", None)] * 2
    assert warnings(events) == [("DeliveryFailed", "StatusRefused", 0.0)]


def test_a_delivery_to_nobody_is_given_up_and_logged(book: Book, make: Callable[..., Sending], events: list[log.Event]) -> None:
    sending = make(may='"send"')
    pipeline.send(journal.DeliveryJob(KEY, "pacs", 0), sending)
    assert states(book) == [("given-up", "NoSuchDestination")] * 2
    assert warnings(events) == [("DeliveryFailed", "NoSuchDestination", 0.0)]


@pytest.mark.parametrize(("held", "error"), [(Held.NEVER, "CommitmentRefused"), (Held.NO, "NotHeld")])
def test_what_a_destination_will_not_keep_is_logged(
    book: Book, make: Callable[..., Sending], events: list[log.Event], held: Held, error: str
) -> None:
    sending, job = make(may='"receive", "count"'), journal.ProofJob(KEY, "pacs", 0)
    answer(sending, 0, 0x0000, 0x0000)
    with book.engine.begin() as connection:
        connection.execute(deliveries.update().values(lost=2))
    unproven = sending.find_unproven(job)
    sending.write_proofs(job, unproven, [Holding(one.sop_instance_uid, held, Proof.COMMITMENT, 0x0122) for one in unproven])
    assert warnings(events) == [("DeliveryFailed", error, 0.0)] * 2
    assert {error for _, error in states(book)} == {error}


def test_a_proof_asked_of_nobody_is_logged(book: Book, make: Callable[..., Sending], events: list[log.Event]) -> None:
    answer(make(may='"receive", "count"'), 0, 0x0000, 0x0000)
    pipeline.prove(journal.ProofJob(KEY, "pacs", 0), make(may='"send"'))
    assert warnings(events) == [("ProofMissing", "NoSuchDestination", 0.0)]


def test_results_that_nobody_receives_are_logged(make: Callable[..., Sending], events: list[log.Event]) -> None:
    result, headers = NotAnalysed(KEY, "1.2", "1.3", None, ModelFailed(1)), SeriesHeaders("1.3", "1.2", ())
    assert len(make().destinations(AETitle("PACS"), result, headers)) == 1
    assert events == []
    assert make(may='"send"').destinations(AETitle("PACS"), result, headers) == ()
    assert events == [log.NoDestination(AETitle("PACS"))]


# -- faults of the node's own ------------------------------------------------------------------------------------------------


def test_objects_whose_file_is_gone_are_given_up_after_a_few_tries(
    book: Book, make: Callable[..., Sending], events: list[log.Event]
) -> None:
    """And a person sees them; when the file is there again, a retry sends it."""
    sending = make()
    send = _recorded(lambda job: pipeline.send(job, sending), sending.write_broken, threading.Event())
    for attempt in range(sending.limits.failure_tries):
        assert [state for state, _ in states(book)] == ["queued", "queued"]
        send(journal.DeliveryJob(KEY, "pacs", attempt))
    assert states(book) == [("given-up", "ObjectMissing")] * 2
    assert jobs(book, dead=True) == [(SENDING, "given-up")]
    assert f"deliver-{KEY}-pacs-0-2" in book.jobs("deliver")
    assert warnings(events) == [("DeliveryFailed", "ObjectMissing", delay_s) for delay_s in (5.0, 10.0, 0.0)]
    write_jobs(book, "deliver", status="SUCCESS")
    assert act(book, SENDING, "retry")
    send(journal.DeliveryJob(KEY, "pacs", 0, round=1))
    assert [state for state, _ in states(book)] == ["queued", "queued"]  # the count begins anew


def test_objects_whose_file_is_there_again_are_sent(book: Book, make: Callable[..., Sending], tmp_path: Path) -> None:
    with Archive(tmp_path / "archive") as archive:
        sending = make(port=archive.port)
        send = _recorded(lambda job: pipeline.send(job, sending), sending.write_broken, threading.Event())
        send(journal.DeliveryJob(KEY, "pacs", 0))
        names = [journal.Kept(tmp_path / "kept").write_bytes(file.read_bytes(), "dcm") for file in write_result(tmp_path / "result")]
        with book.engine.begin() as connection:
            for number, name in enumerate(names):
                connection.execute(deliveries.update().where(deliveries.c.number == number).values(file=name))
        send(journal.DeliveryJob(KEY, "pacs", 1))
    assert states(book) == [("sent", None)] * 2


@pytest.mark.parametrize(
    ("error", "is_counted"),
    [
        (ZeroDivisionError(), True),
        (PermissionError(errno.EACCES, "denied"), True),
        (OSError(errno.ENOSPC, "full"), False),
        (OSError(errno.EIO, "broken for now"), False),
        (errors.StoreFailed("away"), False),
        (sa.exc.OperationalError("", None, Exception()), False),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("kind", ["deliver", "prove"])
def test_what_may_work_later_is_tried_on_and_everything_else_is_recorded(
    book: Book, make: Callable[..., Sending], kind: str, error: Exception, is_counted: bool
) -> None:
    sending = make(may='"receive", "count"')
    job: Any = journal.DeliveryJob(KEY, "pacs", 0)
    if kind == "prove":
        answer(sending, 0, 0x0000, 0x0000)
        job = journal.ProofJob(KEY, "pacs", 0)
    before, record = states(book), sending.write_broken if kind == "deliver" else sending.write_broken_proof

    def run(_: object) -> None:
        raise error

    recorded, stop = _recorded(run, record, threading.Event()), threading.Event()
    stop.set()
    with pytest.raises(type(error)):
        _recorded(run, record, stop)(job)  # the node stops: whatever happens is no fault of the delivery
    assert states(book) == before
    if is_counted:
        recorded(job)
        assert states(book) == [(before[0][0], type(error).__name__)] * 2
        assert f"{kind}-{KEY}-pacs-0-1" in book.jobs(kind)
    else:
        with pytest.raises(type(error)):
            recorded(job)
        assert states(book) == before


def test_a_proof_that_breaks_each_time_is_left_to_a_person(book: Book, make: Callable[..., Sending]) -> None:
    sending = make(may='"receive", "count"')
    answer(sending, 0, 0x0000, 0x0000)
    sending.write_broken_proof(journal.ProofJob(KEY, "pacs", sending.limits.proof_tries - 1), ZeroDivisionError())
    with book.engine.begin() as connection:
        found = connection.execute(sa.select(deliveries.c.state, deliveries.c.proof)).all()
    assert [tuple(row) for row in found] == [(DeliveryState.SENT.value, Proof.MISSING.value)] * 2
