"""Searches for priors: one for a study, its first end stands, and what was fetched is known until a person wants it or it goes."""

from dicom_node import journal
from dicom_node.values import SearchEnd
from dicom_node.values.records import FetchedRecord
from tests.journal.conftest import Book, book, receipt, url

__all__ = ["book", "url"]  # fixtures

STUDY, PRIOR = "2.25.2", "1.2"


def begin(book: Book, series: str, *, is_wanted: bool = True) -> bool:
    with book.engine.begin() as connection:
        return journal.begin_search(connection, STUDY, series, journal.now(connection, book.clock), is_wanted=is_wanted)


def searches(book: Book) -> dict[str, SearchEnd | None]:
    with book.engine.begin() as connection:
        return {one.series_instance_uid: one.ended for one in journal.read_searches(connection, STUDY)}


def test_one_search_begins_for_a_study(book: Book) -> None:
    assert not begin(book, "2.25.3", is_wanted=False)
    assert begin(book, "2.25.4")
    assert not begin(book, "2.25.4")
    assert not begin(book, "2.25.5")
    assert searches(book) == {"2.25.3": SearchEnd.UNWANTED, "2.25.4": None, "2.25.5": SearchEnd.UNWANTED}
    with book.engine.begin() as connection:
        (search,) = journal.find_unended(connection)
        journal.end_search(connection, search, SearchEnd.LATE, "pacs")
        journal.end_search(connection, search, SearchEnd.FETCHED, "other")
        assert journal.find_unended(connection) == ()
        first, *_ = journal.read_searches(connection, STUDY)
    assert (first.ended, first.peer) == (SearchEnd.LATE, "pacs")


def test_only_what_is_not_here_counts_as_fetched(book: Book) -> None:
    book.receipts.commit(receipt(1, series="2.25.11"))
    assert begin(book, "2.25.4")
    with book.engine.begin() as connection:
        (search,) = journal.find_unended(connection)
        assert journal.note_prior(connection, search, "pacs", PRIOR, ["2.25.11"]) is None
        record = journal.note_prior(connection, search, "pacs", PRIOR, ["2.25.11", "2.25.12"])
        assert record == FetchedRecord(PRIOR, ("2.25.12",))
        assert not journal.is_fetched(connection, PRIOR)  # a series of it came by itself
        assert record.identity in journal.find_identities(connection, PRIOR)


def test_what_was_fetched_is_known_also_to_a_journal_made_again(book: Book) -> None:
    record = FetchedRecord(PRIOR, ("2.25.12", "2.25.13"))
    with book.engine.begin() as connection:
        assert not journal.is_known(connection, record)
        assert journal.enter_records(connection, [record], lambda _: None, 5.0) == 0  # type: ignore[arg-type, return-value]
        assert journal.is_known(connection, record)
    book.receipts.commit(receipt(1, series="2.25.12"))
    with book.engine.begin() as connection:
        assert journal.is_fetched(connection, PRIOR)
        assert journal.release_fetched(connection, PRIOR)
        assert not journal.is_fetched(connection, PRIOR)
        assert not journal.release_fetched(connection, PRIOR)
