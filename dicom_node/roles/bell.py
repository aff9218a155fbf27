"""Bells: what makes a job ready in one process tells the workers of this machine, which would else find it when they next ask.

A worker's bell is a named pipe in the node's folder, one for each slot; what goes through it is a letter for each queue to look into. On
a folder that several machines share each has pipes of its own behind the same names. A bell that nobody hears, that is full, or that
could not be made costs the interval at which queues are asked anyway, and nothing else.
"""

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from dicom_node.journal import Queue

_PREFIX = "bell-"
_READ_BYTES = 4096  # a letter a ring: a burst is heard at once
_LETTERS = {queue.value[0].encode(): queue for queue in Queue}


def listen(folder: Path, slot: int, on_ring: Callable[[Queue], None]) -> bool:
    """Hear the bell of a worker from now to the end of the process, in a thread of its own; False where the folder takes no pipes."""
    path = folder / f"{_PREFIX}{slot}"
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        pass  # an earlier worker's
    except OSError:  # the folder takes no pipes: looks are found when they are asked for
        return False
    bell = _open(path, os.O_RDWR)  # for writing as well, so that reading waits for the next ring when a ringer has closed it
    if bell is None:
        return False
    threading.Thread(target=_hear, args=(bell, on_ring), name="bell", daemon=True).start()
    return True


def ring(folder: Path, queue: Queue, *, but: int | None = None) -> None:
    """Let the workers of this machine look into a queue now; `but` is the slot of one that knows already."""
    for path in folder.glob(f"{_PREFIX}*"):
        bell = None if path.name == f"{_PREFIX}{but}" else _open(path, os.O_WRONLY | os.O_NONBLOCK)
        if bell is not None:
            with contextlib.suppress(BlockingIOError, BrokenPipeError):  # rung often enough; or its worker has just ended
                os.write(bell, queue.value[0].encode())
            os.close(bell)


def _open(path: Path, how: int) -> int | None:
    """A bell's descriptor; None where nobody hears it, where it has gone meanwhile, or where it is none."""
    try:
        if stat.S_ISFIFO(path.lstat().st_mode):
            return os.open(path, how | os.O_NOFOLLOW)
    except OSError:  # ENXIO where nobody hears it; whatever else it was, the queues are asked in any case
        pass
    return None


def _hear(bell: int, on_ring: Callable[[Queue], None]) -> None:
    while rung := os.read(bell, _READ_BYTES):
        for letter in {rung[at : at + 1] for at in range(len(rung))} & _LETTERS.keys():
            on_ring(_LETTERS[letter])
