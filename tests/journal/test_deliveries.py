"""Every way from one state of an object to the next: what a try, a proof, and a person's retry change, and what they leave alone."""

from typing import Any

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.journal.tables import deliveries
from dicom_node.values import DeliveryState, Proof

from .conftest import Book
from .test_jobs import JOB, KEY, SENDING, act, start_sending, write_jobs

NOW = 1234.0
PROOF = journal.ProofJob(KEY, "pacs", 0)

Row = tuple[str, str | None, str | None]  # state, proof, error

# Where an object may stand. `asked`: acknowledged, and its destination is asked; `plain`: nobody asks.
ROWS: dict[str, Row] = {
    "queued": ("queued", None, "PeerUnreachable"),
    "asked": ("sent", None, None),
    "plain": ("sent", "none", None),
    "missing": ("sent", "missing", "NotConfirmed"),
    "confirmed": ("confirmed", "find", None),
    "refused": ("refused", None, "CommitmentRefused"),
    "given-up": ("given-up", None, "NotHeld"),
    "cancelled": ("given-up", None, "CancelledByOperator"),
    "accepted": ("sent", "missing", "CancelledByOperator"),
}


@pytest.fixture
def sending(book: Book) -> Book:
    start_sending(book)
    return book


def put(book: Book, where: str) -> None:
    """Both objects stand there, and no job is under way."""
    state, proof, error = ROWS[where]
    with book.engine.begin() as connection:
        stands = {"state": state, "proof": proof, "error": error, "status": None}
        connection.execute(deliveries.update().values(**stands, attempts=5, failures=2, sent_at=1.0, lost=1))
    write_jobs(book, "deliver", status="SUCCESS")
    write_jobs(book, "prove", status="SUCCESS")


def read(book: Book, number: int = 0) -> Any:
    with book.engine.begin() as connection:
        return connection.execute(sa.select(deliveries).where(deliveries.c.number == number)).one()


def check(book: Book, where: str, changed: bool, expected: dict[str, Row]) -> None:
    row, other = read(book), read(book, 1)
    assert changed is (where in expected), where
    assert (row.state, row.proof, row.error) == expected.get(where, ROWS[where])
    assert (other.state, other.proof, other.error) == ROWS[where]
    if not changed:
        assert (row.attempts, row.failures, row.status, row.sent_at, row.lost) == (5, 2, None, 1.0, 1)


# What a try says, also one that ran beside another: it never takes back what is known to be there, or what a person ended.
OUTCOMES: dict[DeliveryState, dict[str, Row]] = {
    DeliveryState.SENT: {
        "queued": ("sent", None, None),
        "refused": ("sent", None, None),
        "given-up": ("sent", None, None),
        "cancelled": ("sent", "none", "CancelledByOperator"),
    },
    DeliveryState.QUEUED: {"queued": ("queued", None, "Told")},
    DeliveryState.REFUSED: {"queued": ("refused", None, "Told")},
    DeliveryState.GIVEN_UP: {"queued": ("given-up", None, "Told")},
}


@pytest.mark.parametrize("state", OUTCOMES)
def test_what_the_outcome_of_a_try_changes(sending: Book, state: DeliveryState) -> None:
    error = None if state is DeliveryState.SENT else "Told"
    for where in ROWS:
        put(sending, where)
        with sending.engine.begin() as connection:
            changed = journal.write_outcome(connection, JOB, 0, state, 0x0001, error, now=NOW, has_failed=state is DeliveryState.QUEUED)
        check(sending, where, changed, OUTCOMES[state])
        if changed:
            row = read(sending)
            assert (row.attempts, row.status, row.lost) == (6, 0x0001, 1)
            assert row.failures == {DeliveryState.SENT: 0, DeliveryState.QUEUED: 3}.get(state, 2)
            assert row.sent_at == (NOW if state is DeliveryState.SENT else 1.0)


PROOFS: dict[tuple[DeliveryState, Proof | None], dict[str, Row]] = {
    (DeliveryState.CONFIRMED, Proof.COMMITMENT): dict.fromkeys(
        ("asked", "plain", "missing", "accepted"), ("confirmed", "commitment", None)
    ),
    (DeliveryState.SENT, None): {"asked": ("sent", None, "Told")},
    (DeliveryState.SENT, Proof.MISSING): {"asked": ("sent", "missing", "Told")},
    (DeliveryState.QUEUED, None): dict.fromkeys(("asked", "plain", "missing"), ("queued", None, "Told")),
    (DeliveryState.REFUSED, None): dict.fromkeys(("asked", "plain", "missing"), ("refused", None, "Told")),
    (DeliveryState.GIVEN_UP, None): dict.fromkeys(("asked", "plain", "missing"), ("given-up", None, "Told")),
}


@pytest.mark.parametrize(("state", "proof"), PROOFS)
def test_what_a_destination_says_of_an_object_changes(sending: Book, state: DeliveryState, proof: Proof | None) -> None:
    error = None if state is DeliveryState.CONFIRMED else "Told"
    for where in ROWS:
        put(sending, where)
        with sending.engine.begin() as connection:
            changed = journal.write_proof(connection, PROOF, 0, state, error, now=NOW, proof=proof)
        check(sending, where, changed, PROOFS[state, proof])


RETRIED: dict[str, Row] = {
    **dict.fromkeys(("refused", "given-up", "cancelled"), ("queued", None, None)),
    **dict.fromkeys(("missing", "accepted"), ("sent", None, None)),
}


def test_what_a_retry_changes(sending: Book) -> None:
    """And it begins to count anew how often an object failed."""
    for where in ROWS:
        put(sending, where)
        assert act(sending, SENDING, "retry") is (where not in ("plain", "confirmed")), where
        for number in (0, 1):
            row = read(sending, number)
            assert (row.state, row.proof, row.error) == RETRIED.get(where, ROWS[where])
            assert row.failures == (0 if where in ("refused", "given-up", "cancelled") else 2)
