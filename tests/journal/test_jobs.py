"""What a person sees of the work, and does to it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.journal.engine import status_table
from dicom_node.journal.forgotten import WORN_OUT
from dicom_node.journal.tables import deliveries, instances, results, studies
from dicom_node.values import DeliveryState, Priority, Proof, Role, derive_key
from dicom_node.values.records import DeliveryRecord
from tests.peers.waiting import wait_until

from .conftest import Book, receipt
from .plans import read_by_index
from .test_forgotten import KEY, complete_a_study
from .test_two_writers import is_waiting

STUDY = f"study/{derive_key('1.2').text}"
SENDING = f"send/{KEY[:16]}/pacs"
JOB = journal.DeliveryJob(KEY, "pacs", 0)


def start_sending(book: Book) -> None:
    """A done study with a result of two objects on its way to a destination."""
    complete_a_study(book)
    columns = "key, study_instance_uid, series_instance_uid, volume, package, version, number, findings, kept, made_at"
    waiting = tuple(
        journal.Waiting(number, role, "1.2.840.10008.5.1.4.1.1.88.34", f"2.25.{number}", "2.25.9", "f.dcm")
        for number, role in enumerate((Role.SEGMENTATION, Role.REPORT))
    )
    with book.engine.begin() as connection:
        insert = f"insert into node_results ({columns}) values (:key, '1.2', '1.2.3', 0, 'p', '1', 0, 1, 'k', 0)"
        connection.execute(sa.text(insert), {"key": KEY})
        journal.start_delivery(connection, book.client, DeliveryRecord(KEY, "pacs", waiting))
        journal.close_study(connection, "1.2", 1, 1000.0)


def outcome(book: Book, state: DeliveryState, status: int | None = None, *, proof: Proof | None = None, error: str | None = None) -> None:
    with book.engine.begin() as connection:
        for number in (0, 1):
            journal.write_outcome(connection, JOB, number, state, status, error, now=1000.0, proof=proof)


def jobs(book: Book, *, dead: bool = False) -> list[tuple[str, str]]:
    with book.engine.begin() as connection:
        return [(row.name, row.state.value) for row in journal.read_jobs(connection, 50, journal.DEAD if dead else None)]


def find(book: Book, name: str) -> journal.JobRow:
    with book.engine.begin() as connection:
        row = journal.find_job(connection, name)
    assert row is not None
    return row


def act(book: Book, name: str, action: str) -> bool:
    done = {"retry": journal.retry_job, "cancel": journal.cancel_job}[action]
    row = find(book, name)
    with book.engine.begin() as connection:
        return done(connection, book.client, row, "cli:ann", 2000.0) is journal.Done.YES


def rerun(book: Book) -> journal.Done:
    with book.engine.begin() as connection:
        return journal.rerun_study(connection, book.client, "1.2", "cli:ann", 2000.0)


def write_jobs(book: Book, kind: str, **values: object) -> None:
    """Change the engine's rows of a kind of job, as it would when they run or end."""
    with book.engine.begin() as connection:
        table = status_table(connection)
        connection.execute(table.update().where(table.c.name == kind).values(**values))


def states(book: Book) -> list[tuple[str, str | None, str | None]]:
    with book.engine.begin() as connection:
        asked = sa.select(deliveries.c.state, deliveries.c.proof, deliveries.c.error).order_by(deliveries.c.number)
        return [tuple(row) for row in connection.execute(asked)]


def is_done(book: Book) -> bool:
    with book.engine.begin() as connection:
        return connection.execute(sa.text("select done_at from node_studies")).scalar_one() is not None


def test_an_open_series_a_working_study_and_a_delivery_are_jobs(book: Book) -> None:
    assert jobs(book) == []
    book.receipts.commit(receipt(1))
    assert jobs(book) == [(f"look/{derive_key('1.2.3').text}", "waiting")]


def test_a_study_waits_runs_and_is_done(book: Book) -> None:
    complete_a_study(book)
    assert jobs(book) == [(STUDY, "waiting")]
    write_jobs(book, "work", status="PENDING")
    assert jobs(book) == [(STUDY, "running")]
    with book.engine.begin() as connection:
        journal.close_study(connection, "1.2", 1, 1000.0)
    assert jobs(book) == []
    assert find(book, STUDY).state is journal.JobState.DONE
    assert find(book, "study/1.2").name == STUDY  # its UID is a name too


def test_a_delivery_that_waits_is_one_job_and_is_hastened_by_a_retry(book: Book) -> None:
    start_sending(book)
    assert jobs(book) == [(SENDING, "waiting")]
    with book.engine.begin() as connection:
        connection.execute(status_table(connection).delete())
        book.client.enqueue_delivery(connection, JOB, priority=journal.find_priority(connection, KEY), delay_s=3600.0)
    assert act(book, SENDING, "retry")
    with book.engine.begin() as connection:
        table = status_table(connection)
        assert connection.execute(sa.select(table.c.delay_until_epoch_ms)).scalar_one() == 0


def test_a_refused_delivery_is_dead_and_sent_again_under_the_same_uids(book: Book) -> None:
    start_sending(book)
    outcome(book, DeliveryState.REFUSED, 0xC000)
    write_jobs(book, "deliver", status="SUCCESS")
    assert jobs(book, dead=True) == jobs(book) == [(SENDING, "refused")]
    assert not is_done(book)
    assert act(book, SENDING, "retry")
    assert [state for state, _, _ in states(book)] == ["queued", "queued"]
    assert f"deliver-{KEY}-pacs-2000-0" in book.jobs("deliver")
    with book.engine.begin() as connection:
        uids = connection.execute(sa.select(deliveries.c.sop_instance_uid).order_by(deliveries.c.number)).scalars().all()
        (action,) = journal.read_actions(connection, SENDING)
    assert uids == ["2.25.0", "2.25.1"]
    assert (action.actor, action.action) == ("cli:ann", "retry")


def test_an_unconfirmed_delivery_is_dead_and_asked_for_again(book: Book) -> None:
    start_sending(book)
    outcome(book, DeliveryState.SENT, 0, proof=Proof.MISSING, error="NotConfirmed")
    write_jobs(book, "deliver", status="SUCCESS")
    assert jobs(book, dead=True) == [(SENDING, "unconfirmed")]
    assert act(book, SENDING, "retry")
    assert states(book) == [("sent", None, None)] * 2
    assert book.jobs("prove") == [f"prove-{KEY}-pacs-2000-0"]


@pytest.mark.parametrize("state", [DeliveryState.QUEUED, DeliveryState.REFUSED, DeliveryState.GIVEN_UP])
@pytest.mark.parametrize("late", [DeliveryState.QUEUED, DeliveryState.REFUSED, DeliveryState.GIVEN_UP, DeliveryState.SENT])
def test_a_cancelled_delivery_is_over_and_its_study_done(book: Book, state: DeliveryState, late: DeliveryState) -> None:
    """Also where a try that ran meanwhile says afterwards that it failed; where it says that it sent the object, that is so."""
    start_sending(book)
    outcome(book, state, 0xC000)
    assert act(book, SENDING, "cancel")
    assert jobs(book) == []
    assert is_done(book)
    outcome(book, late, None, error=None if late is DeliveryState.SENT else "PeerUnreachable")
    expected = ("sent", "none") if late is DeliveryState.SENT else ("given-up", None)
    assert states(book) == [(*expected, "CancelledByOperator")] * 2
    assert is_done(book)
    assert find(book, SENDING).state is journal.JobState.CANCELLED
    with book.engine.begin() as connection:
        assert journal.find_unproven(connection, journal.ProofJob(KEY, "pacs", 0)) == ()
        assert journal.take_up_forgotten(connection, book.client, 3000.0) == 0
        assert journal.send_again(connection, book.client, "1.2", 3000.0) == 0  # a replay does not undo it; a retry does
    assert act(book, SENDING, "retry")
    assert not is_done(book)


def test_what_has_a_job_gets_no_second_one_by_a_retry(book: Book) -> None:
    """Two at once would send the same objects at the same time."""
    start_sending(book)
    outcome(book, DeliveryState.REFUSED, 0xC000)
    write_jobs(book, "deliver", status="PENDING")
    assert act(book, SENDING, "retry")
    assert book.jobs("deliver") == [f"deliver-{KEY}-pacs-0-0"]
    assert jobs(book) == [(SENDING, "running")]
    assert not act(book, SENDING, "retry")


def test_a_delivery_whose_job_was_lost_gets_one_by_a_retry(book: Book) -> None:
    start_sending(book)
    write_jobs(book, "deliver", status="ERROR")
    assert act(book, SENDING, "retry")
    assert f"deliver-{KEY}-pacs-2000-0" in book.jobs("deliver")


@pytest.mark.parametrize("late", [DeliveryState.SENT, DeliveryState.QUEUED, DeliveryState.REFUSED])
def test_what_was_accepted_unproven_stays_so_unless_it_is_confirmed(book: Book, late: DeliveryState) -> None:
    start_sending(book)
    outcome(book, DeliveryState.SENT, 0)
    assert act(book, SENDING, "cancel")
    job = journal.ProofJob(KEY, "pacs", 0)
    with book.engine.begin() as connection:
        for number in (0, 1):
            assert not journal.write_proof(connection, job, number, late, "NotConfirmed", now=1.0, proof=None)
    assert states(book) == [("sent", "missing", "CancelledByOperator")] * 2
    assert is_done(book)
    with book.engine.begin() as connection:
        assert journal.write_proof(connection, job, 0, DeliveryState.CONFIRMED, None, now=1.0, proof=Proof.FIND)
    assert states(book)[0] == ("confirmed", "find", None)


def test_a_cancel_that_comes_across_the_outcome_of_a_try_is_the_last_word(book: Book) -> None:
    """The worker's transaction holds the rows: the cancellation waits for it, and ends the next try that it has queued."""
    if book.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    start_sending(book)
    write_jobs(book, "deliver", status="PENDING")
    row = find(book, SENDING)

    def cancel() -> journal.Done:
        with book.engine.begin() as connection:
            return journal.cancel_job(connection, book.client, row, "cli:ann", 2000.0)

    with ThreadPoolExecutor(1) as thread, book.engine.begin() as worker:
        for number in (0, 1):
            journal.write_outcome(worker, JOB, number, DeliveryState.QUEUED, None, "PeerUnreachable", now=1.0)
        waiting = thread.submit(cancel)
        wait_until(lambda: is_waiting(book), limit_s=60, what="the cancellation does not wait")
        book.client.enqueue_delivery(worker, journal.DeliveryJob(KEY, "pacs", attempt=1), Priority.ROUTINE, delay_s=3600.0)
        worker.commit()
        assert waiting.result(60) is journal.Done.YES
    assert states(book) == [("given-up", None, "CancelledByOperator")] * 2
    with book.engine.begin() as connection:
        table = status_table(connection)
        asked = sa.select(table.c.status).where(table.c.workflow_uuid == f"deliver-{KEY}-pacs-0-1")
        assert connection.execute(asked).scalar_one() == "CANCELLED"


def test_what_was_sent_and_is_cancelled_is_asked_for_no_more(book: Book) -> None:
    start_sending(book)
    outcome(book, DeliveryState.SENT, 0)
    assert jobs(book) == [(SENDING, "asking")]
    assert act(book, SENDING, "cancel")
    assert jobs(book) == []
    assert is_done(book)


def test_a_failed_study_is_dead_and_judged_again_or_accepted(book: Book) -> None:
    complete_a_study(book)
    with book.engine.begin() as connection:
        journal.close_study(connection, "1.2", 1, 1000.0, "ZeroDivisionError")
    assert jobs(book, dead=True) == [(STUDY, "failed")]
    assert act(book, STUDY, "retry")
    assert jobs(book) == [(STUDY, "waiting")]
    assert book.jobs("work") == ["study-1.2-1", "study-1.2-2"]
    assert act(book, STUDY, "cancel")
    assert jobs(book) == []
    assert is_done(book)
    with book.engine.begin() as connection:
        table = status_table(connection)
        asked = sa.select(table.c.status).where(table.c.workflow_uuid == "study-1.2-2")
        assert connection.execute(asked).scalar_one() == "CANCELLED"


def test_a_study_that_wore_out_its_worker_is_shown_so_and_judged_again_by_a_retry_alone(book: Book) -> None:
    complete_a_study(book)
    with book.engine.begin() as connection:
        journal.close_study(connection, "1.2", 1, 1000.0, WORN_OUT)
    assert jobs(book, dead=True) == [(STUDY, "worn-out")]
    with book.engine.begin() as connection:
        assert journal.take_up_forgotten(connection, book.client, 3000.0) == 0
    assert act(book, STUDY, "retry")
    assert "study-1.2-2" in book.jobs("work")


def test_a_study_that_is_cancelled_while_it_runs_is_closed_and_stays_so(book: Book) -> None:
    complete_a_study(book)
    write_jobs(book, "work", status="PENDING")
    assert act(book, STUDY, "cancel")
    with book.engine.begin() as connection:
        assert journal.is_closed(connection, "1.2", 1)  # asked by the job before it makes anything of its result
        journal.close_study(connection, "1.2", 1, 1000.0, "ZeroDivisionError")
    assert find(book, STUDY).state is journal.JobState.CANCELLED
    assert is_done(book)
    book.receipts.commit(receipt(2))  # a late image is judged all the same
    assert not is_done(book)


def test_a_rerun_judges_a_study_anew_and_is_recorded(book: Book) -> None:
    start_sending(book)
    outcome(book, DeliveryState.CONFIRMED, 0)
    assert is_done(book)
    assert rerun(book) is journal.Done.YES
    assert not is_done(book)
    assert "study-1.2-2" in book.jobs("work")
    with book.engine.begin() as connection:
        (action,) = journal.read_actions(connection, STUDY)
    assert (action.actor, action.action, action.at) == ("cli:ann", "rerun", 2000.0)


def test_a_study_with_an_open_series_or_without_all_its_images_is_not_run_again(book: Book) -> None:
    """What is left of a series would be analysed as if it were all of it."""
    book.receipts.commit(receipt(1))
    assert rerun(book) is journal.Done.IS_OPEN
    book.receipts.commit(receipt(2))
    complete_a_study(book)
    with book.engine.begin() as connection:
        journal.close_study(connection, "1.2", 1, 1000.0, "ZeroDivisionError")
        connection.execute(instances.update().where(instances.c.sop_instance_uid == "1.2.3.1").values(removing_at=5.0))
    assert rerun(book) is journal.Done.NO_IMAGES
    assert not act(book, STUDY, "retry")
    assert act(book, STUDY, "cancel")


@pytest.mark.parametrize(
    "name", ["", "study", "study/", "study/none", "send/", "send/zz/pacs", f"send/{KEY[:16]}/other", "look/none", "x/y"]
)
def test_a_name_of_nothing_is_nothing(book: Book, name: str) -> None:
    start_sending(book)
    with book.engine.begin() as connection:
        assert journal.find_job(connection, name) is None


def test_the_beginning_of_a_key_is_enough_while_it_is_one_key_s(book: Book) -> None:
    start_sending(book)
    assert find(book, "send/ab/pacs").name == SENDING
    with book.engine.begin() as connection:
        row = connection.execute(sa.select(results)).one()._asdict()
        connection.execute(results.insert().values(**{**row, "key": "ab" * 31 + "ff"}))
        assert journal.find_job(connection, "send/ab/pacs") is None


def test_a_list_is_ordered_by_who_needs_a_person_then_by_urgency_and_cut(book: Book) -> None:
    start_sending(book)
    outcome(book, DeliveryState.REFUSED, 0xC000)
    for number, level in enumerate((Priority.RESEARCH, Priority.STAT)):
        with book.engine.begin() as connection:
            new = {"study_instance_uid": f"1.9.{number}", "generation": 1, "closed": 0, "first_seen": 5.0, "priority": int(level)}
            connection.execute(studies.insert().values(**new))
    names = [name for name, _ in jobs(book)]
    assert names == [SENDING, *(f"study/{derive_key(f'1.9.{number}').text}" for number in (1, 0))]
    with book.engine.begin() as connection:
        assert [row.name for row in journal.read_jobs(connection, 2)] == names[:2]
        waiting = journal.read_jobs(connection, 1, (journal.JobState.WAITING,))
    assert [row.name for row in waiting] == names[1:2]


def test_a_list_reads_nothing_of_what_is_done(book: Book) -> None:
    """Each question goes by an index that holds only what is asked for."""
    start_sending(book)
    with read_by_index(book.engine, least=6):
        jobs(book)
    with read_by_index(book.engine, least=6):
        find(book, SENDING)
        find(book, STUDY)
