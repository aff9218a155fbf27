"""Searches for priors: one for a study, its first end stands, and what was fetched is known until a person wants it or it goes."""

import dataclasses
from collections.abc import Sequence

import pytest

from dicom_node import journal
from dicom_node.values import CompletenessRule, Priority, Proof, Role, SearchEnd
from dicom_node.values.records import DeliveryRecord, FetchedRecord, SentObject
from tests.journal.conftest import Book, book, receipt, url
from tests.journal.test_priors import FIRST

__all__ = ["book", "url"]  # fixtures

STUDY, PRIOR = "2.25.2", "1.2"
OURS, OTHERS, UNSAID = True, False, None  # for whom images come, as their sender says


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
    book.receipts.commit(receipt(1, series="2.25.12", association=""))  # read from the spool
    with book.engine.begin() as connection:
        assert journal.is_fetched(connection, PRIOR)
        assert journal.release_fetched(connection, PRIOR)
        assert not journal.is_fetched(connection, PRIOR)
        assert not journal.release_fetched(connection, PRIOR)
        assert journal.is_known(connection, record)  # the study is here: it was not lost


def ask(book: Book, *uids: str) -> journal.Search:
    """A search begins, and asks for series of a prior."""
    assert begin(book, "2.25.4")
    with book.engine.begin() as connection:
        (search,) = journal.find_unended(connection)
        journal.note_prior(connection, search, "pacs", PRIOR, uids)
    return search


def is_fetched(book: Book) -> bool:
    with book.engine.begin() as connection:
        return journal.is_fetched(connection, PRIOR)


def come(book: Book, ways: Sequence[bool | None]) -> None:
    """The same image comes once for each way, on an association of its own."""
    for number, way in enumerate(ways):
        book.receipts.commit(dataclasses.replace(receipt(1, series="2.25.12", association=f"a:{number}"), is_asked_for=way))


@pytest.mark.parametrize(
    ("ways", "is_kept_here"),
    [
        ([OURS], True),
        ([OURS, OURS], True),
        ([UNSAID, UNSAID], True),  # an archive that never says it
        ([OTHERS], False),
        ([OURS, OTHERS], False),
        ([OURS, UNSAID], False),  # one that says it, and routes the study by a rule at the same time
        ([UNSAID, OURS], False),
    ],
)
def test_what_comes_by_itself_while_it_is_fetched_is_not_kept_here(book: Book, ways: Sequence[bool | None], is_kept_here: bool) -> None:
    ask(book, "2.25.12")
    come(book, ways)
    assert is_fetched(book) is is_kept_here


@pytest.mark.parametrize(("way", "is_kept_here"), [(OURS, True), (OTHERS, False), (UNSAID, False)])
def test_what_comes_when_nobody_asks_for_it_any_more_came_by_itself(book: Book, way: bool | None, is_kept_here: bool) -> None:
    """A fetch that failed must not silence the study for ever; one that was cut goes on at the PACS."""
    search = ask(book, "2.25.12")
    with book.engine.begin() as connection:
        journal.end_search(connection, search, SearchEnd.FAILED, "pacs", "NodeUnknownToPeer")
    come(book, [way])
    assert is_fetched(book) is is_kept_here


def test_what_was_judged_as_fetched_is_judged_again_when_it_comes_by_itself(book: Book) -> None:
    ask(book, "2.25.12")
    come(book, [OURS])
    with book.engine.begin() as connection:
        found = journal.read_open_series(connection, journal.Look(PRIOR, "2.25.12", generation=0, number=0))
        assert found is not None
        journal.close_series(connection, book.client, found, CompletenessRule.COUNT, Priority.ROUTINE)
        journal.close_study(connection, PRIOR, 1, 0.0, None)
    come(book, [OURS])
    assert book.jobs("work") == [f"study-{PRIOR}-1"]
    come(book, [UNSAID])
    assert book.jobs("work") == [f"study-{PRIOR}-1", f"study-{PRIOR}-2"]


def test_a_search_that_was_cut_asks_again_for_what_may_be_here_in_part(book: Book) -> None:
    ask(book, "2.25.12", "2.25.13")
    come(book, [OURS])
    with book.engine.begin() as connection:
        (search,) = journal.find_unended(connection)
        record = journal.note_prior(connection, search, "pacs", PRIOR, ["2.25.12", "2.25.13"])
    assert record == FetchedRecord(PRIOR, ("2.25.12", "2.25.13"))


def test_a_study_of_which_something_was_sent_is_none_that_was_fetched(book: Book) -> None:
    """The journal is made again: the record of the fetch may have outlived its meaning."""
    record = FetchedRecord(FIRST.study_instance_uid, ("2.25.12",))
    sent = DeliveryRecord(FIRST.key, "pacs", (SentObject(0, Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", "2.25.8", "f.dcm"),))
    with book.engine.begin() as connection:
        journal.enter_records(connection, [record, FIRST, sent], lambda _: Proof.NONE, 0.0)
        assert journal.find_fetched(connection, FIRST.study_instance_uid) is None
