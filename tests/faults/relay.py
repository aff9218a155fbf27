"""A TCP relay: a balancer in front of the receivers, a line to the PACS that can be cut in the middle of a PDU."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

Place = tuple[str, int]

_BLOCK_BYTES = 65_536
_CONNECT_S = 1.0


class Relay:
    """Hands each connection to the next target that takes it. `cut_after` breaks the next connection after so many bytes."""

    def __init__(self, targets: Sequence[Place], *, host: str = "127.0.0.1") -> None:
        self.targets = list(targets)
        self._turn = itertools.count()
        self._cuts: list[int] = []
        self.were_cut = 0
        self._server = socket.create_server((host, 0), backlog=64)
        self.port = int(self._server.getsockname()[1])
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in tuple(self._open):
            _close(connection)

    def cut_after(self, size_bytes: int) -> None:
        """The next connection ends, both ways, when so many bytes have come from its caller."""
        self._cuts.append(size_bytes)

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        target = self._connect()
        if target is None:
            _close(caller)
            return
        self._open |= {caller, target}
        limit = self._cuts.pop(0) if self._cuts else None
        back = threading.Thread(target=_pump, args=(target, caller, None), daemon=True)
        back.start()
        if _pump(caller, target, limit):
            self.were_cut += 1
            _close(caller)
            _close(target)
        back.join()
        for connection in (caller, target):
            self._open.discard(connection)
            _close(connection)

    def _connect(self) -> socket.socket | None:
        first = next(self._turn)
        for number in range(len(self.targets)):
            try:
                connection = socket.create_connection(self.targets[(first + number) % len(self.targets)], timeout=_CONNECT_S)
            except OSError:
                continue
            connection.settimeout(None)
            return connection
        return None


def _pump(source: socket.socket, target: socket.socket, limit: int | None) -> bool:
    """Pass bytes on until the end; whether the limit cut it off."""
    passed = 0
    try:
        while block := source.recv(_BLOCK_BYTES if limit is None else min(_BLOCK_BYTES, limit - passed)):
            target.sendall(block)
            passed += len(block)
            if limit is not None and passed >= limit:
                return True
        target.shutdown(socket.SHUT_WR)
    except OSError:
        _close(target)
    return False


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
