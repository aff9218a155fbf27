"""A journal in a file of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.journal.engine import status_table
from dicom_node.values import AETitle, InstanceRef, Receipt
from tests.peers.postgres import Postgres


@dataclass
class HandClock:
    """Time that a test sets."""

    time: float = 1000.0
    waited: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def steady(self) -> tuple[str, float]:
        return "boot", self.time

    def wait(self, seconds: float, stop: object = None) -> bool:
        self.waited.append(seconds)
        self.time += seconds
        return False


@dataclass(frozen=True)
class Book:
    """An open journal with its parts."""

    engine: sa.Engine
    client: journal.Client
    receipts: journal.Receipts
    clock: HandClock

    def jobs(self, kind: str) -> list[str]:
        """The keys of all jobs of a kind that were ever started."""
        with self.engine.begin() as connection:
            table = status_table(connection)
            asked = sa.select(table.c.workflow_uuid).where(table.c.name == kind).order_by(table.c.workflow_uuid)
            return list(connection.execute(asked).scalars())

    def now(self) -> float:
        """The time of the journal's decisions: PostgreSQL has its own."""
        with self.engine.begin() as connection:
            return journal.now(connection, self.clock)

    def open_series(self, look: journal.Look) -> journal.OpenSeries | None:
        with self.engine.begin() as connection:
            return journal.read_open_series(connection, look)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.sqlite'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create()


@pytest.fixture
def book(url: str) -> Iterator[Book]:
    journal.migrate(url)
    engine, clock = journal.open_engine(url), HandClock()
    client = journal.Client(engine, look_delay_s=5.0)
    with journal.open_receipts(engine, client, clock) as receipts:
        yield Book(engine, client, receipts, clock)
    engine.dispose()


def receipt(number: int, *, series: str = "1.2.3", digest: str | None = None, association: str = "a:1") -> Receipt:
    instance = InstanceRef(f"1.2.3.{number}", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", digest or f"d{number}", "f", 0, 1)
    return Receipt(instance, "1.2", series, AETitle("PACS"), AETitle("NODE"), association)
