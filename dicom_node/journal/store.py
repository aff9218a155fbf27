"""The database: one engine for our rows and the durable engine's, and the way from one schema to the next."""

import sqlite3
import sys
from importlib import resources
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from dbos import DBOS

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


def open_engine(url: str) -> sa.Engine:
    """The engine for a URL, `sqlite:///file` or `postgresql+psycopg://...`.

    SQLite: write-ahead log, flushed to the disk at every commit (receipts are acknowledged on its word), and every
    transaction takes the write lock at its beginning, so that what it read is still true when it writes.
    """
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, pool_size=20, max_overflow=0)

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("busy_timeout=30000", "foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute("PRAGMA " + pragma)

    return engine


def migrate(url: str) -> None:
    """Bring the database to the newest schema, ours and the engine's. Run by the parent before any role starts."""
    engine = open_engine(url)
    configuration = AlembicConfig()
    configuration.set_main_option("script_location", str(resources.files(__package__).joinpath("migrations")))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("select pg_advisory_xact_lock(7236421)"))
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
    engine.dispose()
    DBOS.migrate(url.replace("postgresql+psycopg://", "postgresql://"))
