"""What has lost its job gets another one."""

import sqlalchemy as sa

from dicom_node import journal
from dicom_node.journal.engine import status_table
from dicom_node.journal.forgotten import WORN_OUT
from dicom_node.values import CompletenessRule, DeliveryState, Priority, Role
from dicom_node.values.records import DeliveryRecord

from .conftest import Book, receipt

LOOK = journal.Look("1.2", "1.2.3", generation=0, number=0)
KEY = "ab" * 32


def test_a_series_study_and_delivery_that_have_their_jobs_are_left_alone(book: Book) -> None:
    book.receipts.commit(receipt(1))
    start_delivery(book)
    assert take_up(book) == 0


def test_an_open_series_without_a_look_gets_one(book: Book) -> None:
    book.receipts.commit(receipt(1))
    lose_jobs(book)
    assert take_up(book) == 1
    assert len(book.jobs("look")) == 1
    assert take_up(book) == 0


def test_a_study_that_was_not_finished_is_judged_again(book: Book) -> None:
    complete_a_study(book)
    lose_jobs(book)
    assert take_up(book) == 1
    assert book.jobs("work") == ["study-1.2-2"]


def test_queued_objects_without_a_job_are_sent_by_another(book: Book) -> None:
    start_delivery(book)
    lose_jobs(book)
    assert take_up(book) == 1
    assert book.jobs("deliver") == [f"deliver-{KEY}-pacs-1000-0"]


def test_what_was_refused_is_sent_again_when_a_person_asks(book: Book) -> None:
    start_delivery(book)
    job = journal.DeliveryJob(KEY, "pacs", 0)
    with book.engine.begin() as connection:
        journal.write_outcome(connection, job, 0, DeliveryState.REFUSED, 0xC000, None, now=1.0)
        columns = "key, study_instance_uid, series_instance_uid, volume, package, version, number, findings, kept, made_at"
        insert = f"insert into node_results ({columns}) values (:key, '1.2', '1.2.3', 0, 'p', '1', 0, 1, 'k', 0)"
        connection.execute(sa.text(insert), {"key": KEY})
    with book.engine.begin() as connection:
        assert journal.find_waiting(connection, job) == ()
        assert journal.send_again(connection, book.client, "1.2", 1234.5) == 1
        assert len(journal.find_waiting(connection, job)) == 1
    assert f"deliver-{KEY}-pacs-1234-0" in book.jobs("deliver")


def complete_a_study(book: Book) -> None:
    book.receipts.commit(receipt(1))
    with book.engine.begin() as connection:
        found = journal.read_open_series(connection, LOOK)
        assert found is not None
        journal.close_series(connection, book.client, found, CompletenessRule.COUNT, Priority.ROUTINE)
    assert book.jobs("work") == ["study-1.2-1"]


def start_delivery(book: Book) -> None:
    waiting = journal.Waiting(0, Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.34", "2.25.1", "2.25.2", "f.dcm")
    with book.engine.begin() as connection:
        journal.start_delivery(connection, book.client, DeliveryRecord(KEY, "pacs", (waiting,)))


def take_up(book: Book) -> int:
    with book.engine.begin() as connection:
        return journal.take_up_forgotten(connection, book.client, book.clock.now())


def lose_jobs(book: Book) -> None:
    """As if each had failed as often as it is tried, and its record were gone."""
    with book.engine.begin() as connection:
        connection.execute(status_table(connection).delete())


def test_a_study_whose_job_was_open_each_time_the_worker_died_is_closed_as_failed(book: Book) -> None:
    """A poison job stops, is shown, and is not started again by itself."""
    complete_a_study(book)
    with book.engine.begin() as connection:
        table = status_table(connection)
        connection.execute(table.update().where(table.c.name == "work").values(status="MAX_RECOVERY_ATTEMPTS_EXCEEDED"))
    assert take_up(book) == 0
    with book.engine.begin() as connection:
        closed = connection.execute(sa.text("select closed, failure from node_studies")).one()
    assert tuple(closed) == (1, WORN_OUT)
    assert book.jobs("work") == ["study-1.2-1"]
