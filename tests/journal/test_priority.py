"""A study has the level of its most urgent series, its jobs wait under it, and what comes late can raise it and never lower it."""

import dataclasses

import sqlalchemy as sa

from dicom_node import journal
from dicom_node.journal.engine import status_table
from dicom_node.journal.tables import studies
from dicom_node.values import CompletenessRule, Priority, StorePriority

from .conftest import Book, receipt


def receive(book: Book, number: int, urgency: StorePriority, series: str = "1.2.3") -> None:
    book.receipts.commit(dataclasses.replace(receipt(number, series=series), store_priority=urgency))


def close(book: Book, generation: int, priority: Priority, series: str = "1.2.3") -> None:
    with book.engine.begin() as connection:
        found = journal.read_open_series(connection, journal.Look("1.2", series, generation, number=0))
        assert found is not None
        journal.close_series(connection, book.client, found, CompletenessRule.QUIET_TIME, priority)


def level(book: Book) -> tuple[int, dict[str, int]]:
    """The study's, and that of each of its jobs."""
    with book.engine.begin() as connection:
        table = status_table(connection)
        jobs = sa.select(table.c.workflow_uuid, table.c.priority).where(table.c.name == "work")
        of_study = connection.execute(sa.select(studies.c.priority)).scalar_one()
        return of_study, {row.workflow_uuid: row.priority for row in connection.execute(jobs)}


def sample(book: Book) -> journal.SeriesSample | None:
    with book.engine.begin() as connection:
        return journal.read_sample(connection, journal.Look("1.2", "1.2.3", 0, number=0))


def test_a_series_is_as_urgent_as_its_most_urgent_image(book: Book) -> None:
    assert sample(book) is None
    for number, (urgency, known) in enumerate([("low", "low"), ("medium", "medium"), ("low", "medium"), ("high", "high"), ("low", "high")]):
        receive(book, number, StorePriority(urgency))
        found = sample(book)
        assert found is not None
        assert (found.store_priority.value, found.calling.text) == (known, "PACS")
        assert found.instance.sop_instance_uid.startswith("1.2.3.")


def test_a_study_is_as_urgent_as_its_most_urgent_series(book: Book) -> None:
    levels = {"1.2.3": Priority.RESEARCH, "1.2.4": Priority.STAT, "1.2.5": Priority.ROUTINE}
    for number, uid in enumerate(levels):
        receive(book, number, StorePriority.MEDIUM, series=uid)
    for uid, priority in levels.items():
        close(book, 0, priority, uid)
    assert level(book) == (Priority.STAT, {"study-1.2-1": Priority.STAT})


def test_a_late_image_raises_the_level_and_does_not_lower_it(book: Book) -> None:
    receive(book, 0, StorePriority.MEDIUM)
    close(book, 0, Priority.RESEARCH)
    receive(book, 1, StorePriority.HIGH)
    close(book, 1, Priority.STAT)
    receive(book, 2, StorePriority.LOW)
    close(book, 2, Priority.RESEARCH)
    assert level(book) == (10, {"study-1.2-1": 30, "study-1.2-2": 10, "study-1.2-3": 10})
