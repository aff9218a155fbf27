"""What a destination says of what it acknowledged changes the journal once, and only where it answers a question of ours."""

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.config import DeliverSection
from dicom_node.journal.tables import deliveries
from dicom_node.values import CommitmentReport, DeliveryState, Held, Holding, PeerName, Proof, Role, TakenReport, held_of
from dicom_node.values.records import DeliveryRecord

from .conftest import Book

LIMITS = DeliverSection(first_retry_s=5.0, longest_retry_s=60.0, failure_tries=3)
KEY, PACS = "k" * 64, PeerName("pacs")
JOB = journal.ProofJob(KEY, "pacs", attempt=0)


@pytest.fixture
def commitments(book: Book) -> journal.Commitments:
    """Five objects of a result, all acknowledged by the destination, and a transaction that asks for them."""
    waiting = tuple(journal.Waiting(number, Role.REPORT, "1.2", f"1.2.{number}", "1.3", "f") for number in range(5))
    with book.engine.begin() as connection:
        journal.start_delivery(connection, book.client, DeliveryRecord(KEY, "pacs", waiting))
    made = journal.Commitments(book.engine, book.client, book.clock, LIMITS)
    acknowledge(book)
    made.open("t1", JOB)
    return made


def acknowledge(book: Book) -> None:
    """Everything that waits is sent."""
    with book.engine.begin() as connection:
        job = journal.DeliveryJob(KEY, "pacs", attempt=0)
        for one in journal.find_waiting(connection, job):
            journal.write_outcome(connection, job, one.number, DeliveryState.SENT, 0, None, now=book.clock.now())


def rows(book: Book) -> dict[str, sa.Row[tuple[object, ...]]]:
    with book.engine.begin() as connection:
        return {row.sop_instance_uid: row for row in connection.execute(sa.select(deliveries))}


def states(book: Book) -> list[str]:
    return [row.state for _, row in sorted(rows(book).items())]


def report(transaction_uid: str = "t1", **reasons: int) -> CommitmentReport:
    """All five objects, committed but for those of a reason: `_3=0x0112`."""
    holdings = []
    for number in range(5):
        reason = reasons.get(f"_{number}")
        held = Held.YES if reason is None else held_of(reason)
        holdings.append(Holding(f"1.2.{number}", held, Proof.COMMITMENT, reason))
    return CommitmentReport(transaction_uid, tuple(holdings))


def test_case_d2_each_object_has_a_state_of_its_own(book: Book, commitments: journal.Commitments) -> None:
    taken = commitments.report(report(_1=0x0112, _2=0x0213, _3=0x0119, _4=0x0122), (PACS,))
    assert taken is not None
    assert (taken.result_key, taken.destination, len(taken.states)) == (KEY, PACS, 4)  # 0213 says nothing
    assert states(book) == ["confirmed", "queued", "sent", "refused", "refused"]
    found = rows(book)
    assert (found["1.2.0"].proof, found["1.2.0"].confirmed_at, found["1.2.0"].error) == ("commitment", book.clock.now(), None)
    assert (found["1.2.1"].error, found["1.2.1"].lost) == ("NotHeld", 1)
    assert (found["1.2.3"].error, found["1.2.3"].status) == ("CommitmentRefused", 0x0119)
    assert len(book.jobs("deliver")) == 2  # the first, and the one that sends the lost object again
    assert found["1.2.1"].next_try_at == book.clock.now() + 5.0


@pytest.mark.parametrize("first", [{}, {"_1": 0x0112}, {"_3": 0x0119}])
def test_the_same_report_twice_changes_nothing(book: Book, commitments: journal.Commitments, first: dict[str, int]) -> None:
    commitments.report(report(**first), (PACS,))
    before = rows(book)
    assert commitments.report(report(**first), (PACS,)) == TakenReport(KEY, PACS, ())
    assert rows(book) == before


@pytest.mark.parametrize(("transaction", "peer"), [("t2", "pacs"), ("t1", "another")])
def test_an_unknown_transaction_never_confirms_anything(book: Book, commitments: journal.Commitments, transaction: str, peer: str) -> None:
    assert commitments.report(report(transaction), (PeerName(peer),)) is None
    assert states(book) == ["sent"] * 5


def test_one_of_several_peers_may_be_meant(book: Book, commitments: journal.Commitments) -> None:
    assert commitments.report(report(), (PeerName("another"), PACS)) is not None
    assert states(book) == ["confirmed"] * 5


def test_a_report_of_an_earlier_question_is_believed(book: Book, commitments: journal.Commitments) -> None:
    commitments.open("t2", JOB)
    assert commitments.report(report("t2", _0=0x0131, _1=0x0131, _2=0x0131, _3=0x0131, _4=0x0131), (PACS,)) is not None
    assert states(book) == ["sent"] * 5
    assert (commitments.is_answered("t1"), commitments.is_answered("t2")) == (False, True)
    commitments.report(report("t1"), (PACS,))
    assert states(book) == ["confirmed"] * 5


def test_a_report_from_before_an_object_was_lost_is_not(book: Book, commitments: journal.Commitments) -> None:
    commitments.open("t2", JOB)
    commitments.report(report("t2", _0=0x0112), (PACS,))
    acknowledge(book)
    commitments.report(report("t1"), (PACS,))
    assert states(book) == ["sent", *["confirmed"] * 4]


def test_a_report_that_comes_after_the_last_question_is_believed(book: Book, commitments: journal.Commitments) -> None:
    with book.engine.begin() as connection:
        for number in range(5):
            journal.write_proof(connection, JOB, number, DeliveryState.SENT, "NotConfirmed", now=book.clock.now(), proof=Proof.MISSING)
        assert journal.find_unproven(connection, JOB) == ()
    commitments.report(report(_4=0x0110), (PACS,))
    assert states(book) == [*["confirmed"] * 4, "sent"]
    assert rows(book)["1.2.4"].proof == "missing"  # and is not asked for again by itself


def test_what_is_lost_each_time_is_given_up(book: Book, commitments: journal.Commitments) -> None:
    for number in range(LIMITS.failure_tries):
        commitments.open(f"n{number}", JOB)
        commitments.report(report(f"n{number}", _2=0x0112), (PACS,))
        book.clock.time += 60.0
        acknowledge(book)
    assert states(book) == ["confirmed", "confirmed", "given-up", "confirmed", "confirmed"]
    assert (rows(book)["1.2.2"].error, rows(book)["1.2.2"].lost) == ("NotHeld", 3)


def test_what_a_question_finds_does_not_overwrite_a_report(book: Book, commitments: journal.Commitments) -> None:
    """The worker waits for an answer while the receiver takes it."""
    with book.engine.begin() as connection:
        unproven = journal.find_unproven(connection, JOB)
    commitments.report(report(_1=0x0119), (PACS,))
    late = [Holding(one.sop_instance_uid, Held.NOT_NOW, Proof.COMMITMENT) for one in unproven]
    with book.engine.begin() as connection:
        assert commitments.write(connection, JOB, unproven, late) == {}
    assert states(book) == ["confirmed", "refused", "confirmed", "confirmed", "confirmed"]
