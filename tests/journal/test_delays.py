"""Several machines on one PostgreSQL: how long a job waits is the server's business, as the machines' clocks differ."""

import time
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.journal.engine import status_table
from tests.peers.waiting import wait_until

from .conftest import Book, HandClock

HOUR_S = 3600.0


def delays(book: Book) -> dict[str, tuple[str, float]]:
    """Per job its status, and how many seconds it has to wait from now on by the journal's clock."""
    now = book.now()
    with book.engine.begin() as connection:
        table = status_table(connection)
        rows = connection.execute(sa.select(table.c.workflow_uuid, table.c.status, table.c.delay_until_epoch_ms)).all()
    return {row.workflow_uuid: (row.status, row.delay_until_epoch_ms / 1000.0 - now) for row in rows}


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("wrong_s", [HOUR_S, -HOUR_S])
def test_a_machine_whose_clock_is_wrong_delays_as_long_as_it_should(book: Book, monkeypatch: pytest.MonkeyPatch, wrong_s: float) -> None:
    wrong = SimpleNamespace(time=lambda: time.time() + wrong_s)  # the clock of this machine, as the engine's library reads it
    monkeypatch.setattr("dbos._enqueue_options.time", wrong)
    with book.engine.begin() as connection:
        book.client.enqueue_look(connection, journal.Look("1.2", "1.2.3", 0, 0), 30.0)
    ((status, wait_s),) = delays(book).values()
    assert status == "DELAYED"
    assert wait_s == pytest.approx(30.0, abs=10.0)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_job_whose_delay_is_over_by_the_servers_clock_starts(book: Book) -> None:
    soon, late = journal.Look("1.2", "1.2.3", 0, 0), journal.Look("1.2", "1.2.4", 0, 0)
    with book.engine.begin() as connection:
        book.client.enqueue_look(connection, soon, 0.05)
        book.client.enqueue_look(connection, late, 60.0)

    def release() -> bool:
        with book.engine.begin() as connection:
            journal.release_due(connection)
        return delays(book)["look-1.2-1.2.3-0-0"][0] == "ENQUEUED"

    wait_until(release, limit_s=10.0, what="it is still delayed")
    assert delays(book)["look-1.2-1.2.4-0-0"][0] == "DELAYED"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_clock_that_was_set_while_no_worker_was_there_is_followed_by_the_next(book: Book) -> None:
    """The receiver gave a delay by the clock as it was; without this, an hour back would be an hour to wait."""
    clock = SetClock(time.time())
    with book.engine.begin() as connection:
        assert journal.follow_clock(connection, clock) == 0.0  # as the node starts
        book.client.enqueue_look(connection, journal.Look("1.2", "1.2.3", 0, 0), 30.0)
    clock.set_s = -HOUR_S
    with book.engine.begin() as connection:
        assert journal.follow_clock(connection, clock) == pytest.approx(-HOUR_S, abs=1.0)
        assert journal.follow_clock(connection, clock) == pytest.approx(0.0, abs=1.0)
        until_ms = connection.execute(sa.select(status_table(connection).c.delay_until_epoch_ms)).scalar_one()
    assert until_ms / 1000.0 - clock.now() == pytest.approx(30.0, abs=5.0)
    clock.set_s = HOUR_S
    with book.engine.begin() as connection:
        assert journal.follow_clock(connection, clock) == pytest.approx(2 * HOUR_S, abs=1.0)
        assert connection.execute(sa.select(status_table(connection).c.delay_until_epoch_ms)).scalar_one() == until_ms


@dataclass
class SetClock(HandClock):
    """A machine's clock that is `set_s` away from its steady one."""

    set_s: float = 0.0

    def now(self) -> float:
        return self.time + self.set_s
