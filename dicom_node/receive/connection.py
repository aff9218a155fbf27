"""One TCP connection: bounded in what it reads and how long it waits, and cleaned up after whatever ended it. With TLS or without."""

import contextlib
import socket
import ssl
import sys
import threading
from socketserver import BaseServer
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from dicom_node import tls
from dicom_node.clock import Clock
from dicom_node.errors import TLSFault
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
            _drain(self.socket)
            return False
        if self._unread:
            return True
        if isinstance(self.socket, tls.TLSSocket):
            return bool(super().ready) and self._has_content(self.socket)
        return bool(super().ready)

    def _has_content(self, connection: tls.TLSSocket) -> bool:
        """Whether what came over TLS is for us: who waits for a PDU because of half a record waits as long as a sender pleases."""
        try:
            content = tls.read_at_hand(connection)
        except OSError:
            self.event_queue.put("Evt17")  # the connection is closed
            return False
        self._unread += content or b""
        return content is not None  # b"": the end, which whoever reads sees again

    def _give_up(self) -> bytearray:
        self.event_queue.put("Evt19")  # an invalid PDU: A-ABORT (PS3.8 9.2, AA-1 or AA-8)
        return bytearray()  # pynetdicom takes it for a closed connection, which it is after the abort


def _drain(connection: socket.socket) -> None:
    """Bytes left unread at closing would make TCP reset the connection, and the peer lose our A-ABORT or A-ASSOCIATE-RJ."""
    with contextlib.suppress(OSError):
        connection.settimeout(0)
        if isinstance(connection, tls.TLSSocket):
            with contextlib.suppress(OSError, ValueError):  # it never came to TLS, or is past it
                connection.unwrap()  # says that we end (close_notify), and does not wait for the same from the peer
        connection.shutdown(socket.SHUT_WR)
        for _ in range(_DRAIN_BLOCKS):
            if not socket.socket.recv(connection, _BLOCK_BYTES):  # as it comes, with TLS too: nobody looks at it
                break


class Connection(RequestHandler):
    """From accepting a connection to its last trace: the thread that was made for it waits for the association's end."""

    server: "Acceptor"

    def handle(self) -> None:
        try:
            if not isinstance(self.request, tls.TLSSocket) or self._shake_hands(self.request):
                self._serve()
        finally:
            self.request.close()  # the library leaves it open where the peer has gone first

    def _serve(self) -> None:
        association = self._create_association()
        intake = self.server.receiver.take_charge(association)
        line = BoundedSocket(association, self.request, **self.server.limits)
        association.dul.socket = line  # which announces the connection (Evt5)
        try:
            association.start()
            self.server.strangers.discard(self.request)  # counted among the associations now
            association.join()
            association.dul.join(line.timeout_s)  # its last word, such as an A-ABORT, may not have left yet
        finally:
            self.server.receiver.let_go(association, intake, was_cut_short=line.was_cut_short)

    def _shake_hands(self, connection: tls.TLSSocket) -> bool:
        """Whether TLS has come about within the time that a request has too. A caller that says nothing costs this thread alone."""
        connection.settimeout(self.server.handshake_timeout_s)
        try:
            first = socket.socket.recv(connection, 1, socket.MSG_PEEK)  # past TLS, which has not begun
        except OSError:
            return False
        if not first:
            return False  # gone without a word, as a balancer goes that asks whether the port is open
        try:
            connection.do_handshake()
        except OSError as error:
            fault = tls.fault_of(error) if tls.is_handshake(first) else TLSFault.NO_TLS
            _drain(connection)
            self.server.receiver.handshake_failed(self.remote.address, fault)  # which may ask for host names
            return False
        return True


class Acceptor(ThreadedAssociationServer):
    """The listening socket."""

    daemon_threads = True  # a thread waits for its association; stopping waits for associations by itself, with a limit
    request_queue_size = 64
    receiver: Any
    limits: dict[str, Any]
    connections: int
    tls: ssl.SSLContext | None
    handshake_timeout_s: float
    strangers: set[socket.socket]  # connections whose association has not begun

    def service_actions(self) -> None:
        """Not the library's, which collects garbage here, for 10 ms each time: Python does that by itself, and rarer."""

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 40 ms for each message with DCMTK on the other side
        if self.tls is not None:
            # Not the library's `ssl_context`, which shakes hands here: one caller that says nothing would keep all others out.
            request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Connections that have not said who they are cost threads too: beyond a number they are closed at once."""
        return len(self.active_associations) + len(self.strangers) < self.connections

    def process_request(self, request: Any, client_address: Any) -> None:
        self.strangers.add(request)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # there are no threads left
            self.strangers.discard(request)
            raise

    def shutdown_request(self, request: Any) -> None:
        """Close what nobody serves. Associations call this too, from their own thread, which is not the one that reads and sends:
        they leave it to `Connection`, as a number of a closed socket may be that of another connection a moment later."""
        if not isinstance(threading.current_thread(), Association):
            super().shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.strangers.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """The library would print the exception, with values, to standard error."""
        error = sys.exc_info()[1]
        if error is not None:
            log_broken(RoleName.RECEIVER, error)

    def stop_listening(self) -> None:
        """Take no connection any more. Not the library's `shutdown`: it expects a server that its AE started."""
        BaseServer.shutdown(self)
        self.server_close()
        for stranger in tuple(self.strangers):
            with contextlib.suppress(OSError):
                stranger.shutdown(socket.SHUT_RDWR)
