"""Waiting for a condition, with a limit: what tests do instead of sleeping."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, limit_s: float, what: str | Callable[[], str], every_s: float = 0.05) -> T:
    """The first true value of the condition; AssertionError with `what` where it did not come within the limit."""
    pause = threading.Event()
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s:g} s: {what if isinstance(what, str) else what()}")
        pause.wait(every_s)
