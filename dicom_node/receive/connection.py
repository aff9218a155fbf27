"""One TCP connection: bounded in what it reads and how long it waits, and cleaned up after whatever ended it."""

import contextlib
import socket
import sys
from socketserver import BaseServer
from typing import Any

from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from dicom_node.clock import Clock
from dicom_node.log import RoleName, log_broken

_BLOCK_BYTES = 65_536
_DRAIN_BLOCKS = 64


class BoundedSocket(AssociationSocket):
    """A socket that gives no PDU beyond a size, waits for none longer than a time, and reads nothing after its end.

    pynetdicom believes a length of four bytes (an HTTP request announces 1.4 GB) and waits for the rest of a PDU for ever.
    """

    def __init__(self, assoc: Any, client_socket: socket.socket, *, largest_pdu_bytes: int, timeout_s: float, clock: Clock) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self.largest_pdu_bytes, self.timeout_s, self._clock = largest_pdu_bytes, timeout_s, clock
        self._unread = bytearray()
        self.was_cut_short = False  # a PDU began to come, and its rest did not: the peer had more to send
        client_socket.settimeout(timeout_s)  # one read, one write

    def take_unread(self) -> bytearray:
        """What was read from the connection and given back."""
        unread, self._unread = self._unread, bytearray()
        return unread

    def give_back(self, unread: bytes | memoryview) -> None:
        """Take the connection back from who read it in another way, with what is still to be read of it."""
        self._unread = bytearray(unread)
        if self.socket is not None:
            with contextlib.suppress(OSError):  # closed meanwhile
                self.socket.settimeout(self.timeout_s)

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly so many bytes, or fewer where the connection ended; none, and an abort, where it breaks a limit."""
        if nr_bytes > self.largest_pdu_bytes or self.socket is None:
            return self._give_up()
        received, self._unread = self._unread[:nr_bytes], self._unread[nr_bytes:]
        end = self._clock.monotonic() + self.timeout_s
        while len(received) < nr_bytes:
            try:
                block = self.socket.recv(min(nr_bytes - len(received), _BLOCK_BYTES))
            except TimeoutError:
                self.was_cut_short = True
                return self._give_up()
            if not block:
                break
            received += block
            if len(received) < nr_bytes and self._clock.monotonic() > end:
                self.was_cut_short = True
                return self._give_up()
        return received

    @property
    def ready(self) -> bool:
        """Whether there is something to read. After an abort or release nothing is: what still comes is thrown away."""
        if self.assoc.dul.state_machine.current_state == "Sta13" and self.socket is not None:
            self._drain(self.socket)
            return False
        return bool(self._unread) or bool(super().ready)

    def _drain(self, connection: socket.socket) -> None:
        """Bytes left unread at closing would make TCP reset the connection, and the peer lose our A-ABORT or A-ASSOCIATE-RJ."""
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0)
            for _ in range(_DRAIN_BLOCKS):
                if not connection.recv(_BLOCK_BYTES):
                    break

    def _give_up(self) -> bytearray:
        self.event_queue.put("Evt19")  # an invalid PDU: A-ABORT (PS3.8 9.2, AA-1 or AA-8)
        return bytearray()  # pynetdicom takes it for a closed connection, which it is after the abort


class Connection(RequestHandler):
    """From accepting a connection to its last trace: the thread that accepted it waits for the association's end."""

    server: "Acceptor"

    def handle(self) -> None:
        association = self._create_association()
        intake = self.server.receiver.take_charge(association)
        line = BoundedSocket(association, self.request, **self.server.limits)
        association.dul.socket = line  # which announces the connection (Evt5)
        try:
            association.start()
            association.join()
        finally:
            self.request.close()  # the library leaves it open where the peer has gone first
            self.server.receiver.let_go(association, intake, was_cut_short=line.was_cut_short)


class Acceptor(ThreadedAssociationServer):
    """The listening socket."""

    daemon_threads = True  # a thread waits for its association; stopping waits for associations by itself, with a limit
    request_queue_size = 64
    receiver: Any
    limits: dict[str, Any]
    connections: int

    def service_actions(self) -> None:
        """Not the library's, which collects garbage here, for 10 ms each time: Python does that by itself, and rarer."""

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 40 ms for each message with DCMTK on the other side
        return request, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Connections that have not said who they are cost threads too: beyond a number they are closed at once."""
        return len(self.active_associations) < self.connections

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """The library would print the exception, with values, to standard error."""
        error = sys.exc_info()[1]
        if error is not None:
            log_broken(RoleName.RECEIVER, error)

    def stop_listening(self) -> None:
        """Take no connection any more. Not the library's `shutdown`: it expects a server that its AE started."""
        BaseServer.shutdown(self)
        self.server_close()
