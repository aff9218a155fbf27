"""Ports for servers that must be told theirs: each process has a block of its own, so that test runs beside each other never meet.

A port that was found free and is used later may be somebody else's by then: another run's that looked in the same moment, or that of a
connection that the kernel opened from it. So these lie below the range that the kernel takes ports from, in blocks; a process keeps its
block by an abstract socket of that number (unix(7)), which the kernel takes back when the process ends, however it ends.
"""

import itertools
import socket
import threading
from collections.abc import Iterator
from functools import cache

_FIRST, _BLOCK, _BLOCKS = 20_000, 200, 60  # to 32,000; the kernel's begin at 32,768 (ip_local_port_range)
_TURN = threading.Lock()


def find_free_port() -> int:
    """A loopback port that nobody listens on, and that no other process gets from here; after some two hundred they come again."""
    for _ in range(_BLOCK):
        with _TURN:
            port = next(_ports())
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what a connection left there is no hindrance
            try:
                probe.bind(("127.0.0.1", port))
                probe.listen()
            except OSError:
                continue
        return port
    raise AssertionError("no port of this process' block is free")


@cache
def _ports() -> Iterator[int]:
    first, _ = _block()
    return itertools.cycle(range(first, first + _BLOCK))


@cache
def _block() -> tuple[int, socket.socket]:
    """The first port of a block that no other process has, and what keeps it."""
    for first in range(_FIRST, _FIRST + _BLOCK * _BLOCKS, _BLOCK):
        held = socket.socket(socket.AF_UNIX)
        try:
            held.bind(f"\0dicom-node-test-ports-{first}")
        except OSError:
            held.close()
            continue
        return first, held
    raise AssertionError(f"{_BLOCKS} processes of tests hold all ports")
