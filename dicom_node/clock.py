"""Time, injected. Nothing else in the node asks the machine for the time or waits for it to pass."""

import os
import threading
import time
from functools import cache
from pathlib import Path
from typing import Protocol

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Where a part that needs the time gets it from."""

    def now(self) -> float:
        """Seconds since the epoch, UTC. May jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds since some start; never goes back. For durations and time limits."""

    def steady(self) -> tuple[str, float]:
        """This boot of the machine, and the seconds since it: the same for all processes, whatever the clock is set to."""

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait until the time is over or `stop` is set; True where it was set."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def steady(self) -> tuple[str, float]:
        boot = _read_boot()
        if boot is None:  # not Linux: every start of the program counts as a boot
            return str(os.getpid()), time.monotonic()
        return boot, time.clock_gettime(time.CLOCK_BOOTTIME)

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        return (stop or threading.Event()).wait(seconds)


@cache  # no process outlives its boot, and each receipt asks
def _read_boot() -> str | None:
    return _BOOT.read_text().strip() if _BOOT.exists() else None
