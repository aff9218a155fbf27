"""A sender at the level of PDUs: every byte as it is wanted, also what no library would send.

`RawAssociation` negotiates, sends whole messages or single fragments, and reads answers; it knows nothing of the node.
Source: PS3.8 9.3 (PDUs), PS3.7 9.3.1 and E.1 (C-STORE, command elements).
"""

import socket
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"

A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA, A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 2, 3, 4, 5, 6, 7
COMMAND, DATA = 1, 0
LAST = 2

Context = tuple[str, Sequence[str]]  # abstract syntax, proposed transfer syntaxes


class Rejected(Exception):
    """A-ASSOCIATE-RJ: result, source, reason."""

    def __init__(self, result: int, source: int, reason: int) -> None:
        super().__init__(f"{result}, {source}, {reason}")
        self.codes = (result, source, reason)


class Aborted(Exception):
    """A-ABORT, or the connection closed without one (`by_pdu` False)."""

    def __init__(self, *, by_pdu: bool) -> None:
        super().__init__("A-ABORT" if by_pdu else "closed")
        self.by_pdu = by_pdu


@dataclass(frozen=True)
class Answer:
    """A response's command set, as far as tests ask for it."""

    status: int
    message_id: int
    sop_instance_uid: str
    comment: str


class RawAssociation:
    """One association as a requestor. Context IDs are 1, 3, 5 ... in the order of `contexts`."""

    def __init__(
        self,
        port: int,
        contexts: Sequence[Context],
        *,
        calling: str = "MODALITY",
        called: str = "NODE",
        pdu_bytes: int = 16_384,
        window: tuple[int, int] | None = None,
        timeout_s: float = 20.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connection = connect(port, timeout_s=timeout_s, tls=tls)
        self.pdu_bytes = pdu_bytes
        self.items: dict[int, bytes] = {}  # of the acceptor's user information, by item type
        self.accepted: dict[int, str] = {}  # transfer syntax by context ID
        self.answered: dict[int, int] = {}  # result by context ID
        self._proposed = {index * 2 + 1: abstract for index, (abstract, _) in enumerate(contexts)}
        try:
            self.connection.sendall(encode_associate_request(contexts, calling=calling, called=called, window=window))
            kind, body = self.read_pdu()
            if kind == A_ASSOCIATE_RJ:
                raise Rejected(*body[1:4])
            assert kind == A_ASSOCIATE_AC, kind
        except BaseException:
            self.connection.close()
            raise
        self._read_acceptance(body)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.connection.close()

    def context_for(self, sop_class_uid: str, transfer_syntax_uid: str | None = None) -> int | None:
        """The ID of an accepted context, or None."""
        return next(
            (
                context_id
                for context_id, syntax in self.accepted.items()
                if self._proposed[context_id] == sop_class_uid and transfer_syntax_uid in (None, syntax)
            ),
            None,
        )

    def store(
        self, content: bytes, sop_class_uid: str, sop_instance_uid: str, *, message_id: int = 1, context_id: int = 1, priority: int = 0
    ) -> Answer:
        """One C-STORE with exactly these bytes as data set, and its answer. Priority: 0 medium, 1 high, 2 low."""
        command = encode_store_request(sop_class_uid, sop_instance_uid, message_id, priority)
        self.connection.sendall(self.encode_message(context_id, command, content))
        return self.read_answer()

    def echo(self, *, message_id: int = 1, context_id: int = 1) -> Answer:
        elements = ((0x0002, _uid(VERIFICATION)), (0x0100, _us(0x0030)), (0x0110, _us(message_id)), (0x0800, _us(0x0101)))
        self.connection.sendall(self.encode_message(context_id, encode_command(elements), b""))
        return self.read_answer()

    def encode_message(self, context_id: int, command: bytes, content: bytes) -> bytes:
        """A whole message as P-DATA PDUs of one fragment each."""
        fragments = [pdata(context_id, COMMAND | LAST, command)]
        step = self.pdu_bytes - 6
        for start in range(0, len(content), step):
            is_last = start + step >= len(content)
            fragments.append(pdata(context_id, DATA | (LAST if is_last else 0), content[start : start + step]))
        return b"".join(fragments)

    def read_answer(self) -> Answer:
        """The next response; Aborted where there comes none."""
        kind, body = self.read_pdu()
        assert kind == P_DATA, kind
        elements = parse_command(body[6:])
        return Answer(
            status=struct.unpack("<H", elements[0x0900])[0],
            message_id=struct.unpack("<H", elements[0x0120])[0],
            sop_instance_uid=elements.get(0x1000, b"").decode().strip("\0 "),
            comment=elements.get(0x0902, b"").decode().strip("\0 "),
        )

    def read_pdu(self) -> tuple[int, bytes]:
        """Type and body of the next PDU."""
        kind, length = struct.unpack(">BxI", self._read(6))
        body = self._read(length)
        if kind == A_ABORT:
            raise Aborted(by_pdu=True)
        return kind, body

    def flood(self, block: bytes, count: int) -> None:
        """Send a block again and again: Aborted where the other side ends it, AssertionError where it takes everything."""
        try:
            for _ in range(count):
                self.connection.sendall(block)
        except (ConnectionError, ssl.SSLError) as cause:
            raise Aborted(by_pdu=False) from cause
        raise AssertionError(f"took {count * len(block)} bytes")

    def release(self) -> None:
        self.connection.sendall(struct.pack(">BxI4x", A_RELEASE_RQ, 4))
        kind, _ = self.read_pdu()
        assert kind == A_RELEASE_RP, kind
        self.connection.close()

    def abort(self) -> None:
        self.connection.sendall(struct.pack(">BxI4x", A_ABORT, 4))
        self.connection.close()

    def _read(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            try:
                block = self.connection.recv(count - len(received))
            except ConnectionError as cause:
                raise Aborted(by_pdu=False) from cause
            if not block:
                raise Aborted(by_pdu=False)
            received += block
        return received

    def _read_acceptance(self, body: bytes) -> None:
        for kind, value in _items(body[68:]):
            if kind == 0x21:
                self.answered[value[0]] = value[2]
                if value[2] == 0:
                    (_, syntax), *_ = _items(value[4:])
                    self.accepted[value[0]] = syntax.decode().strip("\0")
            elif kind == 0x50:
                self.items = dict(_items(value))


def connect(port: int, *, timeout_s: float = 20.0, tls: ssl.SSLContext | None = None) -> socket.socket:
    """A connection to a loopback port that sends at once, over TLS where a context for it is given."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return connection
    try:
        return tls.wrap_socket(connection, server_hostname="127.0.0.1")
    except OSError:
        connection.close()
        raise


def encode_associate_request(
    contexts: Sequence[Context], *, calling: str = "MODALITY", called: str = "NODE", window: tuple[int, int] | None = None
) -> bytes:
    """A-ASSOCIATE-RQ; titles are padded to 16 characters, not checked."""
    body = struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
    body += _item(0x10, APPLICATION_CONTEXT.encode())
    for index, (abstract, syntaxes) in enumerate(contexts):
        proposed = _item(0x30, abstract.encode()) + b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes)
        body += _item(0x20, struct.pack(">B3x", index * 2 + 1) + proposed)
    user = _item(0x51, struct.pack(">I", 16_384)) + _item(0x52, b"2.25.1")
    if window is not None:
        user += _item(0x53, struct.pack(">HH", *window))
    body += _item(0x50, user)
    return struct.pack(">BxI", 1, len(body)) + body


def encode_store_request(sop_class_uid: str, sop_instance_uid: str, message_id: int, priority: int = 0) -> bytes:
    return encode_command(
        (
            (0x0002, _uid(sop_class_uid)),
            (0x0100, _us(0x0001)),
            (0x0110, _us(message_id)),
            (0x0700, _us(priority)),
            (0x0800, _us(0x0001)),
            (0x1000, _uid(sop_instance_uid)),
        )
    )


def encode_command(elements: Sequence[tuple[int, bytes]]) -> bytes:
    """A command set, implicit VR little endian, with its group length (PS3.7 6.3.1)."""
    group = b"".join(struct.pack("<HHI", 0, number, len(value)) + value for number, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(group)) + group


def parse_command(encoded: bytes) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(encoded):
        number, length = struct.unpack_from("<2xHI", encoded, at)
        elements[number] = encoded[at + 8 : at + 8 + length]
        at += 8 + length
    return elements


def pdata(context_id: int, header: int, content: bytes) -> bytes:
    """A P-DATA-TF PDU with one fragment."""
    return wrap_pdata(fragment(context_id, header, content))


def fragment(context_id: int, header: int, content: bytes) -> bytes:
    """A presentation data value item."""
    return struct.pack(">IBB", len(content) + 2, context_id, header) + content


def wrap_pdata(fragments: bytes) -> bytes:
    return struct.pack(">BxI", P_DATA, len(fragments)) + fragments


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _items(encoded: bytes) -> list[tuple[int, bytes]]:
    items: list[tuple[int, bytes]] = []
    at = 0
    while at + 4 <= len(encoded):
        kind, length = struct.unpack_from(">BxH", encoded, at)
        items.append((kind, encoded[at + 4 : at + 4 + length]))
        at += 4 + length
    return items


def _uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def _us(value: int) -> bytes:
    return struct.pack("<H", value)
