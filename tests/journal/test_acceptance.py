"""What a destination does not accept is known until it shows otherwise, and nothing is written that is no news."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from dicom_node import journal

from .conftest import Book

SEGMENTATION, REPORT, PDF = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.104.1"
NOT_SUPPORTED = 0x0122
DAY_S = 86400.0


def learn(
    book: Book,
    refused: dict[str, int | None] | None = None,
    accepted: tuple[str, ...] = (),
    stored: tuple[str, ...] = (),
    *,
    now: float = 1000.0,
    destination: str = "pacs",
) -> list[str]:
    """What an association has shown; gives the statements that wrote."""
    with writing(book) as statements, book.engine.begin() as connection:
        journal.write_acceptance(connection, destination, refused or {}, accepted, stored, now)
    return statements


@contextmanager
def writing(book: Book) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.split()[0] in ("INSERT", "UPDATE", "DELETE"):
            found.append(statement.split()[0])

    sa.event.listen(book.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(book.engine, "before_cursor_execute", note)


def believed(book: Book, now: float | None = 1000.0, destination: str = "pacs") -> set[str]:
    with book.engine.begin() as connection:
        return set(journal.read_refused_classes(connection, destination, now))


def test_what_is_not_accepted_is_known_until_it_is_accepted(book: Book) -> None:
    assert believed(book) == set()
    assert learn(book, {SEGMENTATION: None, PDF: None}, (REPORT,)) == ["INSERT"] * 2
    assert believed(book) == {SEGMENTATION, PDF}
    assert learn(book, {PDF: None}, (REPORT, SEGMENTATION)) == ["DELETE"]
    assert believed(book) == {PDF}


def test_what_is_known_is_not_written_again(book: Book) -> None:
    for written in (["INSERT"], [], []):
        assert learn(book, {SEGMENTATION: None}, (REPORT,), (REPORT,)) == written


def test_what_was_not_asked_about_stays_known(book: Book) -> None:
    learn(book, {SEGMENTATION: None})
    assert learn(book, {}, (REPORT,), (REPORT,)) == []
    assert believed(book) == {SEGMENTATION}


def test_each_destination_is_known_by_itself(book: Book) -> None:
    learn(book, {SEGMENTATION: None}, destination="viewer")
    assert (believed(book), believed(book, destination="viewer")) == (set(), {SEGMENTATION})
    learn(book, {}, (SEGMENTATION,))
    assert believed(book, destination="viewer") == {SEGMENTATION}


def test_a_class_that_is_accepted_and_refused_by_its_status_stays_known_for_a_day(book: Book) -> None:
    """The association alone would say each time that it is accepted, and each result would be made twice."""
    assert learn(book, {SEGMENTATION: NOT_SUPPORTED}, (SEGMENTATION, REPORT)) == ["INSERT"]
    assert learn(book, {}, (SEGMENTATION, REPORT), (REPORT,)) == []
    assert believed(book, 1000.0 + DAY_S - 1) == {SEGMENTATION}
    assert believed(book, 1000.0 + DAY_S) == set()  # it is tried again
    assert believed(book, None) == {SEGMENTATION}  # and still on record
    later = 1000.0 + DAY_S
    assert learn(book, {SEGMENTATION: NOT_SUPPORTED}, (SEGMENTATION,), now=later) == ["DELETE", "INSERT"]
    assert believed(book, later) == {SEGMENTATION}


def test_a_class_of_which_an_object_was_taken_is_accepted(book: Book) -> None:
    learn(book, {SEGMENTATION: NOT_SUPPORTED}, (SEGMENTATION,))
    assert learn(book, {}, (SEGMENTATION,), (SEGMENTATION,)) == ["DELETE"]
    assert believed(book) == set()


@pytest.mark.parametrize(("first", "second"), [(None, NOT_SUPPORTED), (NOT_SUPPORTED, None)])
def test_the_last_word_counts(book: Book, first: int | None, second: int | None) -> None:
    learn(book, {SEGMENTATION: first})
    assert learn(book, {SEGMENTATION: second}) == ["DELETE", "INSERT"]
    assert learn(book, {}, (SEGMENTATION,)) == (["DELETE"] if second is None else [])
