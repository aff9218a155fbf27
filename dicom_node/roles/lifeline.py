"""What ties processes together: a child ends with its parent, and a slot belongs to one process at a time."""

import ctypes
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicom_node.clock import Clock

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent ends, however that ends (Linux, prctl(2))."""
    if hasattr(os, "fork") and os.uname().sysname == "Linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before the call above
        os._exit(1)


@contextmanager
def hold_slot(file: Path, clock: Clock, *, limit_s: float) -> Iterator[bool]:
    """Hold a slot's lock until the block ends; False where another process held it for the whole time.

    The kernel lets go of it when the process ends: a slot that was killed is free at once.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    start = clock.monotonic()
    try:
        while not (held := _try_lock(descriptor)) and clock.monotonic() - start < limit_s:
            clock.wait(0.05)
        yield held
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; the program ends in order when it sees it."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
