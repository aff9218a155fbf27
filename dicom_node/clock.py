"""Time, injected. Nothing else in the node asks the machine for the time or waits for it to pass."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Where a part that needs the time gets it from."""

    def now(self) -> float:
        """Seconds since the epoch, UTC. May jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds since some start; never goes back. For durations and time limits."""

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait until the time is over or `stop` is set; True where it was set."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event | None = None) -> bool:
        return (stop or threading.Event()).wait(seconds)
