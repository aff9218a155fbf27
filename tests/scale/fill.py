"""Fills a journal with studies that are done: rows as the real code wrote them for one, under other names, put in by the bulk.

The template is one study that went the real way, its jobs run by the real engine; every table's rows are taken from there, so that a new
column or table is in the simulation without anybody thinking of it.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.journal.engine import status_table
from tests.peers.waiting import wait_until

from .names import INSTANCE_COLUMNS, Named, instance_row, name_study
from .way import Way, run_study

_TEMPLATE = 1_999_999_998
_OWN = ("node_series", "node_studies", "node_answers", "node_results", "node_deliveries", "node_commitments")
_BATCH = 500  # studies in a transaction
DAY_S = 86_400.0

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Pace:
    """How the studies come: so many a day; how long the images and the engine's finished jobs stay."""

    studies_per_day: int = 2000
    images_days: float = 7.0
    jobs_days: float = 2.0

    @property
    def interval_s(self) -> float:
        return DAY_S / self.studies_per_day


@dataclass(frozen=True)
class Template:
    """The rows of one study by table, and the columns' names; the engine's own tables apart."""

    named: Named
    at: float
    own: dict[str, tuple[tuple[str, ...], list[Row]]]
    engine: dict[str, tuple[tuple[str, ...], list[Row]]]


def make_template(way: Way, instances: int) -> Template:
    """Send one study the whole way, let the engine run its jobs, and take its rows out again."""
    named = name_study(_TEMPLATE)
    run_study(way, named, instances)
    _run_jobs(way)
    own, jobs = {}, {}
    with way.engine.begin() as connection:
        for table in _tables(connection):
            columns = tuple(column.name for column in table.columns)
            rows = [tuple(row) for row in connection.execute(sa.select(table)) if any(named.study in str(value) for value in row)]
            rows += [tuple(row) for row in connection.execute(sa.select(table)) if tuple(row) not in rows and _is_of(named, row)]
            if rows and table.name in _OWN:
                own[table.name] = (columns, rows)
            elif rows and not table.name.startswith("node_"):
                jobs[table.name] = (columns, rows)
    return Template(named, way.clock.now(), own, jobs)


def _is_of(named: Named, row: Iterable[object]) -> bool:
    return any(named.result_key in str(value) for value in row)


def _tables(connection: sa.Connection) -> list[sa.Table]:
    schema = sa.MetaData()
    schema.reflect(connection)
    if connection.dialect.name == "postgresql":
        schema.reflect(connection, schema="dbos")
    return list(schema.sorted_tables)


def _run_jobs(way: Way) -> None:
    """The jobs that were enqueued on the way, by the real engine, with as many steps as the pipeline has."""

    def study(job: journal.StudyJob, step: journal.Step) -> None:
        for _ in range(4):
            step(lambda: job.study_instance_uid)

    with way.engine.begin() as connection:
        table = status_table(connection)
        connection.execute(table.update().values(status="ENQUEUED", delay_until_epoch_ms=None, completed_at=None))
    handlers = journal.Handlers(look=lambda _: None, study=study, deliver=lambda _: None, prove=lambda _: None)
    engine = journal.Engine(way.engine, way.kept, handlers, name="template")
    engine.start()
    wait_until(lambda: _all_done(way), limit_s=60, what="the engine does not end the template's jobs")
    engine.stop()


def _all_done(way: Way) -> bool:
    with way.engine.begin() as connection:
        return set(connection.execute(sa.select(status_table(connection).c.status)).scalars()) == {"SUCCESS"}


# -- other names ------------------------------------------------------------------------------------------------------------


def _tokens(named: Named) -> tuple[str, ...]:
    """What tells the rows of one study from those of another; none is part of one that stands before it."""
    parts = (*named.series, named.study, named.result_key, *named.made, named.key)
    files = (f"{named.result_key[:40]}.dcm", f"{named.result_key[24:]}.dcm")
    return (*files, f"{named.made[2][:60]}.1", *parts)


_TIMES = ("first_seen", "last_seen", "done_at", "made_at", "sent_at", "confirmed_at", "asked_at", "answered_at")


def renamer(template: Template, columns: Sequence[str], row: Row) -> Callable[[Named, Sequence[str], float], Row]:
    """A function that makes the same row for another study, whose tokens are given, at another time (seconds later)."""
    old = _tokens(template.named)
    changed: list[tuple[int, tuple[int, ...]]] = []
    for place, value in enumerate(row):
        if isinstance(value, str) and (found := tuple(number for number, token in enumerate(old) if token in value)):
            changed.append((place, found))
    moved = tuple(place for place, name in enumerate(columns) if name in _TIMES and row[place] is not None)

    def rename(named: Named, new: Sequence[str], later_s: float) -> Row:
        made = list(row)
        for place, found in changed:
            text = row[place]
            for number in found:
                text = text.replace(old[number], new[number])
            made[place] = text
        for place in moved:
            made[place] = row[place] + later_s
        return tuple(made)

    return rename


# -- into the database --------------------------------------------------------------------------------------------------------


@dataclass
class Loader:
    """Rows by the bulk: SQLite without flushing (it is flushed at the end), PostgreSQL by COPY. Indexes stay in place."""

    url: str
    connection: Any
    is_sqlite: bool

    def load(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        names = ", ".join(f'"{name}"' for name in columns)
        if self.is_sqlite:
            marks = ", ".join("?" * len(columns))
            self.connection.executemany(f"insert into {table} ({names}) values ({marks})", rows)
            return
        with self.connection.cursor() as cursor, cursor.copy(f"copy {table} ({names}) from stdin") as copy:
            for row in rows:
                copy.write_row(row)

    def run(self, statement: str) -> None:
        self.connection.execute(statement)

    def commit(self) -> None:
        self.connection.commit()


@contextlib.contextmanager
def open_loader(url: str) -> Iterator[Loader]:
    file = journal.find_file(url)
    if file is not None:
        connection = sqlite3.connect(file, timeout=60)
        for pragma in ("synchronous=OFF", "cache_size=-1500000", "temp_store=MEMORY"):
            connection.execute(f"pragma {pragma}")
        yield Loader(url, connection, is_sqlite=True)
        connection.commit()
        connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        with file.open("rb") as filled:
            os.fsync(filled.fileno())  # else the first receipts after it would wait for all of it
        return
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as opened:
        yield Loader(url, opened, is_sqlite=False)
        opened.commit()
        opened.autocommit = True
        opened.execute("vacuum analyze")  # autovacuum does so by itself, in more time than the bulk leaves it


@dataclass
class Filler:
    """Puts studies into a journal, in the order in which they came; `filled` is how many there are."""

    template: Template
    pace: Pace
    instances: int  # of a study
    now: float
    total: int
    filled: int = 0

    def fill(self, url: str, until: int) -> None:
        """Add studies up to a number, forget what retention would have removed, of images and of the engine's jobs."""
        with open_loader(url) as loader:
            for start in range(self.filled, until, _BATCH):
                self._add(loader, range(start, min(start + _BATCH, until)))
                loader.commit()
            self._retain(loader, until)
            self._add_jobs(loader, until)
        self.filled = until

    def fill_jobs(self, url: str, until: int) -> None:
        """The finished jobs alone."""
        with open_loader(url) as loader:
            self._add_jobs(loader, until)

    def received_at(self, number: int) -> float:
        return self.now - (self.total - number) * self.pace.interval_s

    def _add(self, loader: Loader, numbers: range) -> None:
        named = [name_study(number) for number in numbers]
        rows = (instance_row(study, index, self.received_at(study.number), None) for study in named for index in range(self.instances))
        loader.load("node_instances", INSTANCE_COLUMNS, rows)
        for table, (columns, kept) in self.template.own.items():
            loader.load(table, columns, self._renamed(columns, kept, named))

    def _renamed(self, columns: Sequence[str], rows: Sequence[Row], named: Sequence[Named]) -> Iterator[Row]:
        renamers = [renamer(self.template, columns, row) for row in rows]
        for study in named:
            tokens, later_s = _tokens(study), self.received_at(study.number) - self.template.at
            for rename in renamers:
                yield rename(study, tokens, later_s)

    def _retain(self, loader: Loader, until: int) -> None:
        """Of studies older than a week at this moment only rows are left."""
        before = self.received_at(until) - self.pace.images_days * DAY_S
        old = f"(select study_instance_uid from node_studies where images_removed_at is null and done_at < {before})"
        loader.run(f"update node_instances set removing_at = received_at, removed_at = received_at where study_instance_uid in {old}")
        loader.run(f"update node_studies set images_removed_at = done_at where images_removed_at is null and done_at < {before}")
        loader.commit()

    def _add_jobs(self, loader: Loader, until: int) -> None:
        """The finished jobs of the last two days, and no others but those that were there before the filling began."""
        kept = min(until, round(self.pace.studies_per_day * self.pace.jobs_days))
        schema = "" if loader.is_sqlite else "dbos."
        forget = [name_study(number) for number in range(max(0, self.filled - kept), min(self.filled, until - kept))]
        first = max(self.filled, until - kept)
        named = [name_study(number) for number in range(first, until)]
        for table, (columns, rows) in self.template.engine.items():
            loader.load(f"{schema}{table}", columns, self._renamed(columns, rows, named))
        _forget(loader, f"{schema}workflow_status", forget)
        loader.commit()


def _forget(loader: Loader, table: str, named: Sequence[Named]) -> None:
    """Their steps go with them (ON DELETE CASCADE)."""
    if loader.is_sqlite:
        loader.run("pragma foreign_keys = on")
    mark = "?" if loader.is_sqlite else "%s"
    ids = [
        (identity,)
        for one in named
        for identity in (
            *(f"look-{one.study}-{uid}-0-0" for uid in one.series),
            f"study-{one.study}-1",
            f"deliver-{one.result_key}-pacs-0-0",
            f"prove-{one.result_key}-pacs-0-0",
        )
    ]
    if not ids:
        return
    loader.connection.cursor().executemany(f"delete from {table} where workflow_uuid = {mark}", ids)
