"""The journal as a role opens it: waited for, under a name that belongs to one process at a time, and left at once where it is damaged."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from dicom_node import journal
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.log import JournalAway, log

# What a role ends with where the journal is damaged; its parent then makes it anew.
DAMAGED = 74

_NAME_LIMIT_S = 20.0
_ASK_S = 1.0


def open_journal(config: Config) -> journal.SqlEngine:
    """The journal's engine in a role: where SQLite finds its file damaged, the process ends at once, as nothing it says can be trusted."""
    return journal.open_engine(config.database, on_damage=end_damaged)


def end_damaged() -> NoReturn:
    """End, and let the parent make the journal anew."""
    os._exit(DAMAGED)


def wait_for_journal(engine: journal.SqlEngine, clock: Clock, stop: threading.Event) -> bool:
    """Come back when the database answers; False where the program is to stop before."""
    is_said = False
    while not journal.answers(engine):
        if not is_said:
            log(JournalAway())
            is_said = True
        if clock.wait(_ASK_S, stop):
            return False
    return True


@contextmanager
def hold_name(config: Config, engine: journal.SqlEngine, role: str, clock: Clock) -> Iterator[journal.Holder | None]:
    """Hold the name of a role until the block ends; None where another process keeps it.

    With SQLite, which is one machine, the name is the role's, and this waits a while for an earlier process to end: what that left
    open is taken up under the same name. With PostgreSQL it is a name that is never used again, and others take up what is left.
    """
    is_shared = journal.find_file(config.database) is None
    name = f"{socket.gethostname()}-{role}-{os.getpid()}-{clock.now():.3f}" if is_shared else role
    start = clock.monotonic()
    while True:
        with journal.hold_name(engine, config.data, name) as holder:
            if holder is not None or clock.monotonic() - start >= _NAME_LIMIT_S:
                yield holder
                return
        clock.wait(0.05)
