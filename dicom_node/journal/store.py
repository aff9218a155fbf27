"""The database: one engine for our rows and the durable engine's, and the way from one schema to the next."""

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from dbos import DBOS
from sqlalchemy.dialects import postgresql, sqlite

from dicom_node.clock import Clock, SystemClock
from dicom_node.place.folder import flush_folder

from .alive import KEEPALIVE
from .tables import boots, is_open, series

# SQLITE_CORRUPT and SQLITE_NOTADB, without what further bits say.
_DAMAGE = (11, 26)

# The server, too, finds out within some ten seconds that a machine is gone which never said so, and lets go of its locks.
_POSTGRESQL = {
    "connect_timeout": 10,
    **KEEPALIVE,
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000",
}

SqlEngine = sa.Engine  # the database, as other parts hand it on
SqlError = sa.exc.SQLAlchemyError
Connection = sa.Connection  # a transaction of the journal's, as other parts hand it on


def find_sqlite_problem(url: str) -> str | None:
    """What is wrong with this machine's SQLite, for a person; None where nothing is, or where another database is used.

    From Python 3.12 on the engine asks SQLite for fractions of seconds, which came with 3.42.
    """
    if not url.startswith("sqlite") or sys.version_info < (3, 12):
        return None
    connection = sqlite3.connect(":memory:")
    try:
        knows_fractions = connection.execute("select unixepoch('subsec')").fetchone()[0] is not None
    except sqlite3.OperationalError:
        knows_fractions = False
    finally:
        connection.close()
    return None if knows_fractions else f"SQLite {sqlite3.sqlite_version}: allowed: 3.42 or newer with this Python, or PostgreSQL"


def open_engine(url: str, on_damage: Callable[[], None] | None = None) -> sa.Engine:
    """The engine for a URL, `sqlite:///file` or `postgresql+psycopg://...`; `on_damage` is called where SQLite finds its file damaged.

    SQLite: write-ahead log, flushed to the disk at every commit (receipts are acknowledged on its word), and every
    transaction takes the write lock at its beginning, so that what it read is still true when it writes.
    """
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True, pool_size=20, max_overflow=20, pool_use_lifo=True, connect_args=_POSTGRESQL)
    # Few are kept, last in, first out: each fills a cache of its own, and another one is opened within a millisecond.
    engine = sa.create_engine(url, pool_size=4, max_overflow=16, pool_use_lifo=True)

    @sa.event.listens_for(engine, "handle_error")
    def watch(context: sa.engine.ExceptionContext) -> None:
        if on_damage is not None and is_damage(context.original_exception):
            on_damage()

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        # The cache is a connection's own: at SQLite's 2 MB a process with twenty of them grows for hours until all are full.
        for pragma in ("busy_timeout=30000", "foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL", "cache_size=-512"):
            connection.execute("PRAGMA " + pragma)

    return engine


def _wait_for_turn(connection: sa.Connection) -> None:
    """Hold the right to migrate until the connection is closed. Asked again and again: a statement that waits would be a transaction
    that the engine's migrations wait for (CREATE INDEX CONCURRENTLY waits for all that are older)."""
    clock = SystemClock()
    while not connection.execute(sa.text("select pg_try_advisory_lock(7236421)")).scalar_one():
        clock.wait(0.2)


def is_damage(error: BaseException | None) -> bool:
    """Whether an error of SQLite's says that the file is damaged, or no database."""
    return isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


_READ_ONLY = "25006"  # of PostgreSQL: a standby, or one that has just been made one


def is_unavailable(error: BaseException) -> bool:
    """Whether an error says that the database takes nothing from anybody now: it is full, locked, away, or read-only for a while."""
    if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError | sa.exc.TimeoutError):
        return True
    return getattr(getattr(error, "orig", None), "sqlstate", None) == _READ_ONLY


def is_damaged(url: str, *, largest_bytes: int | None = None) -> bool:
    """Whether SQLite's file is damaged; one that is larger is not looked through, as that reads all of it."""
    file = find_file(url)
    if file is None or not file.exists() or (largest_bytes is not None and file.stat().st_size > largest_bytes):
        return False
    connection = sqlite3.connect(file)
    try:
        return bool(connection.execute("pragma quick_check(1)").fetchone() != ("ok",))
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return True
    finally:
        connection.close()


def holds_nothing(url: str) -> bool:
    """Whether SQLite's file is not there, or knows of no series: whoever asked for the status meanwhile has made an empty one."""
    file = find_file(url)
    if file is None:
        return False
    if not file.exists():
        return True
    with contextlib.closing(sqlite3.connect(file)) as connection:
        try:
            return connection.execute("select 1 from node_series limit 1").fetchone() is None
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return True
            raise


def set_aside(url: str, mark: str) -> None:
    """Move SQLite's files out of the way, under names that end with `mark`, for whoever wants to look at them."""
    file = find_file(url)
    assert file is not None
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
        path = file.with_name(name)
        if path.exists():
            path.replace(file.with_name(f"{name}.{mark}"))


def make_beside(url: str) -> str:
    """The URL of a new file beside SQLite's, for a journal that is made again; what an earlier try left there is removed."""
    file = find_file(url)
    assert file is not None
    beside = file.with_name(f"{file.name}.rebuilt")
    for left in beside.parent.glob(f"{beside.name}*"):
        left.unlink()
    return f"sqlite:///{beside}"


def put_in_place(url: str, made: str) -> None:
    """Let a journal that was made beside it take the place of SQLite's file: whole, or not at all."""
    file, beside = find_file(url), find_file(made)
    assert file is not None
    assert beside is not None
    connection = sqlite3.connect(beside)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()  # the last one takes the write-ahead log with it
    beside.replace(file)
    flush_folder(file.parent)


def find_file(url: str) -> Path | None:
    """SQLite's file; None for another database."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def migrate(url: str) -> None:
    """Bring the database to the newest schema, ours and the engine's. One process at a time does it, the others wait.

    Every step only adds: programs of the version before go on working on the newer schema.
    """
    engine = open_engine(url)
    with engine.connect() as turn:
        if engine.dialect.name == "postgresql":
            _wait_for_turn(turn.execution_options(isolation_level="AUTOCOMMIT"))
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver begins none for DDL: half a migration would stay
            configuration = _configuration()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
        DBOS.migrate(url.replace("postgresql+psycopg://", "postgresql://"))
        turn.invalidate()
    engine.dispose()
    file = find_file(url)
    if file is not None:  # SQLite flushes the folder for its journal, but not for a database that it has just made
        flush_folder(file.parent)


def answers(engine: sa.Engine) -> bool:
    """Whether the database can be reached now; SQLite's file is always there, and what is wrong with it is another question."""
    if engine.dialect.name == "sqlite":
        return True
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))
    except sa.exc.OperationalError:
        return False
    return True


def is_current(engine: sa.Engine) -> bool:
    """Whether the database has the schema that this program needs, or a newer one."""
    known = [script.revision for script in ScriptDirectory.from_config(_configuration()).walk_revisions()]  # the newest first
    with engine.begin() as connection:
        if not sa.inspect(connection).has_table("node_schema"):
            return False
        found = connection.execute(sa.text("select version_num from node_schema")).scalar_one_or_none()
    return found == known[0] or found not in (None, *known)


def begin_writing(connection: sa.Connection) -> None:
    """Let nobody else write from here to the end of the transaction, where that is SQLite's.

    Its driver begins a transaction with the first statement that writes: what is read before may not be true any more by then. On
    PostgreSQL rows are locked where they are read.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(boots.update().where(sa.false()).values(boot=boots.c.boot))


def unless_there(connection: sa.Connection | sa.Engine, table: sa.Table) -> Any:
    """An insert that does nothing where a row of the same key is there, also one that another transaction is about to commit."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def insert_unless_there(connection: sa.Connection, table: sa.Table, row: dict[str, object]) -> bool:
    """Insert a row unless one of its key is there; whether it was inserted."""
    done = connection.execute(unless_there(connection, table), row, execution_options={"preserve_rowcount": True})
    return bool(done.rowcount == 1)


class Prepared:
    """A statement that is written out once, for what is run for every image: the library takes 0.1 ms to write it, the database a tenth.

    Its values are texts, numbers and bools, which every driver takes as they are. `columns` are those that an insert fills.
    """

    def __init__(self, engine: sa.Engine, statement: Any, columns: Sequence[str] | None = None) -> None:
        compiled = statement.compile(dialect=engine.dialect, column_keys=columns)
        self._text, self._order = str(compiled), compiled.positiontup
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def run(self, connection: sa.Connection, values: dict[str, object]) -> int:
        """The number of rows that it touched."""
        named = {**self._constants, **values}
        parameters = named if self._order is None else tuple(named[name] for name in self._order)
        return int(connection.exec_driver_sql(self._text, parameters).rowcount)


def now(connection: sa.Connection, clock: Clock) -> float:
    """The time that decisions are made by, in seconds since the epoch.

    PostgreSQL: the server's, one for all machines. SQLite: the time since this boot, which no setting of the clock changes,
    added to the time of the boot as the journal first saw it.
    """
    if connection.dialect.name == "postgresql":
        return float(connection.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one())
    boot, seconds = clock.steady()
    known = connection.info.get("boot")
    if known is None or known[0] != boot:
        known = connection.info["boot"] = (boot, _began_at(connection, boot, clock.now() - seconds, seconds))
    return float(known[1] + seconds)


def note_clock(connection: sa.Connection, clock: Clock) -> float:
    """By how much this machine's clock was set, in seconds, since this was asked last, by whichever process; on SQLite.

    The engine's delays end by that clock. What is asked for here is compared with the time of `now`, which no setting changes.
    """
    ahead_s = clock.now() - now(connection, clock)
    before_s = connection.execute(sa.select(boots.c.clock_ahead_s)).scalars().first()
    connection.execute(boots.update().values(clock_ahead_s=ahead_s))
    return 0.0 if before_s is None else ahead_s - before_s


def _began_at(connection: sa.Connection, boot: str, began_at: float, seconds: float) -> float:
    """When a boot began; a machine whose clock was lost over a restart goes on where the journal had come to."""
    here = sa.select(boots.c.began_at).where(boots.c.boot == boot)
    known = connection.execute(here).scalar_one_or_none()
    if known is None:
        latest = connection.execute(sa.select(sa.func.max(series.c.last_seen)).where(is_open)).scalar_one()
        known = max(began_at, (latest or 0.0) - seconds)
        ahead_s = connection.execute(sa.select(boots.c.clock_ahead_s)).scalars().first()
        connection.execute(boots.delete())
        connection.execute(boots.insert().values(boot=boot, began_at=known, clock_ahead_s=ahead_s))
    return float(known)


def _configuration() -> AlembicConfig:
    configuration = AlembicConfig()
    configuration.set_main_option("script_location", str(resources.files(__package__).joinpath("migrations")))
    return configuration
