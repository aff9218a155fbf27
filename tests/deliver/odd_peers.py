"""Peers that misbehave on the wire: one that never answers, one that stops reading, one that writes rubbish where nobody should look."""

import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Iterator

from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE


@contextlib.contextmanager
def deaf_peer() -> Iterator[int]:
    """The port of a peer whose machine takes the connection and whose program never does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield listener.getsockname()[1]


@contextlib.contextmanager
def full_peer() -> Iterator[int]:
    """The port of a peer that swallows connection requests: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def talkative_peer(answer: Callable[[C_STORE, Callable[..., None]], int]) -> Iterator[int]:
    """The port of a peer that says more than it is asked.

    `answer` gives the status of the answer to a C-STORE, and may call `say(status, message_id=..., sop_instance_uid=...)` before: an
    answer to that request where nothing else is given.
    """

    def store(event: evt.Event) -> int:
        def say(status: int, *, message_id: int | None = None, sop_instance_uid: str | None = None) -> None:
            said = C_STORE()
            said.MessageIDBeingRespondedTo = event.request.MessageID if message_id is None else message_id
            said.AffectedSOPClassUID = event.request.AffectedSOPClassUID
            said.AffectedSOPInstanceUID = sop_instance_uid or event.request.AffectedSOPInstanceUID
            said.Status = status
            event.assoc.dimse.send_msg(said, event.context.context_id)

        return answer(event.request, say)

    entity = AE(ae_title="PACS")
    for sop_class in (SegmentationStorage, Comprehensive3DSRStorage):
        entity.add_supported_context(sop_class)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        entity.shutdown()


@contextlib.contextmanager
def relay(
    port: int, *, titles: bytes | None = None, read_bytes: int | None = None, cut_bytes: int | None = None, pause_s: float = 0.0
) -> Iterator[int]:
    """The port of a relay to a peer.

    `titles` replaces the 32 reserved bytes of A-ASSOCIATE-AC (bytes 11 to 42). After `read_bytes` from the requestor nothing more
    is read; after `cut_bytes` both connections are closed. It waits `pause_s` after each 16 KiB and holds little itself.
    """
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        copy_there = functools.partial(_copy_there, read_bytes=read_bytes, cut_bytes=cut_bytes, pause_s=pause_s, stop=stop)
        thread = threading.Thread(target=_serve, args=(listener, port, titles, copy_there, stop))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            stop.set()
            thread.join()


def _serve(
    listener: socket.socket,
    port: int,
    titles: bytes | None,
    copy_there: Callable[[socket.socket, socket.socket], None],
    stop: threading.Event,
) -> None:
    while not stop.is_set():
        try:
            near, _ = listener.accept()
        except TimeoutError:
            continue
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            back = threading.Thread(target=_copy_back, args=(far, near, titles, stop))
            back.start()
            copy_there(near, far)
            for end in (near, far):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()


def _copy_there(
    near: socket.socket, far: socket.socket, *, read_bytes: int | None, cut_bytes: int | None, pause_s: float, stop: threading.Event
) -> None:
    near.settimeout(0.1)
    copied = 0
    while not stop.is_set():
        if read_bytes is not None and copied >= read_bytes:
            stop.wait()
            return
        if cut_bytes is not None and copied >= cut_bytes:
            return
        try:
            content = near.recv(16384)
        except TimeoutError:
            continue
        except OSError:
            return
        if not content:
            return
        copied += len(content)
        far.sendall(content)
        stop.wait(pause_s)


def _copy_back(far: socket.socket, near: socket.socket, titles: bytes | None, stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        first = far.recv(65536)
        if titles is not None and first[:1] == b"\x02":
            first = first[:10] + titles + first[42:]
        near.sendall(first)
        while content := far.recv(65536):
            near.sendall(content)
