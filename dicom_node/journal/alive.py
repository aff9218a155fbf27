"""Who lives: a process holds its name by a lock that ends with it, and others can see that it ended.

On PostgreSQL the lock is an advisory one of the database's, held by a connection of its own: it is gone when the connection is, so
that a machine that lost its power, or its way to the database, counts as dead. On SQLite, which is one machine, it is a file's lock.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

# A connection that went silent is found dead after some ten seconds (PostgreSQL's, by TCP).
# `tcp_user_timeout`: also where something is under way, which keeps TCP from asking whether the other side lives.
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}


class Holder:
    """A name that is held. `is_held` asks whether it still is."""

    def __init__(self, name: str, connection: sa.Connection | None) -> None:
        self.name, self._connection = name, connection

    def is_held(self) -> bool:
        """False where the database has let go of it: somebody else may have taken over what this process does."""
        if self._connection is None:
            return True
        try:
            self._connection.execute(sa.text("select 1"))
        except sa.exc.DBAPIError:
            return False
        return True


@contextmanager
def hold_name(engine: sa.Engine, folder: Path, name: str) -> Iterator[Holder | None]:
    """Hold a name until the block ends; None where another process holds it. `folder` is where SQLite's lock files lie."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                taken = connection.execute(sa.text("select pg_try_advisory_lock(:key)"), {"key": _key(name)}).scalar_one()
                yield Holder(name, connection) if taken else None
            finally:
                connection.invalidate()  # the lock belongs to the session, which must not go back into the pool
        return
    descriptor = _open(folder, name)
    try:
        yield Holder(name, None) if _try_lock(descriptor) else None
    finally:
        os.close(descriptor)


@contextmanager
def if_dead(connection: sa.Connection, folder: Path, name: str) -> Iterator[bool]:
    """Whether nobody holds a name; where so, nobody can begin to before the block (PostgreSQL: the transaction) ends."""
    if connection.dialect.name == "postgresql":
        yield bool(connection.execute(sa.text("select pg_try_advisory_xact_lock(:key)"), {"key": _key(name)}).scalar_one())
        return
    descriptor = _open(folder, name)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def try_turn(connection: sa.Connection, task: str) -> bool:
    """Whether this transaction has the turn for a task that one worker does at a time; SQLite's that write come one by one anyway."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(sa.text("select pg_try_advisory_xact_lock(:key)"), {"key": _key(f"turn:{task}")}).scalar_one())


def _key(name: str) -> int:
    """A number of 64 bits with a sign, as PostgreSQL wants it."""
    return int.from_bytes(hashlib.sha256(f"dicom-node:{name}".encode()).digest()[:8], "big", signed=True)


def _open(folder: Path, name: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
