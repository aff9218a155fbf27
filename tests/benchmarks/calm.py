"""What has just started still imports: a measurement begins when it is done with that."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from tests.peers.node import find_group
from tests.peers.waiting import wait_until

_TICKS = os.sysconf("SC_CLK_TCK")
_CALM_S, _BUSY = 1.0, 0.12  # seconds, and CPU seconds in them: what a node uses that has nothing to do, and a bit more


def cpu_s(groups: Sequence[int]) -> float:
    """What all processes of some groups have used, with those that they waited for (storescp has one for each association)."""
    used = 0
    for pid in (pid for group in groups for pid in find_group(group)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile: its parent has its time, or will have
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            used += sum(map(int, fields[11:15]))
    return used / _TICKS


def wait_until_calm(groups: Sequence[int]) -> None:
    """Wait until they use next to no CPU time any more."""
    since = [(time.monotonic(), cpu_s(groups))]

    def is_calm() -> bool:
        now, used = time.monotonic(), cpu_s(groups)
        if now - since[0][0] < _CALM_S:
            return False
        was_calm = used - since[0][1] < _BUSY * (now - since[0][0])
        since[0] = (now, used)
        return was_calm

    wait_until(is_calm, limit_s=60, what="what has been started is still at work")
