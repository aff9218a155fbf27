"""TLS at the receiver: who comes to it, who does not, and that nobody has to wait for who says nothing. What is sent over it stands in the
other files, whose tests run with TLS and without."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest

from dicom_node.errors import TLSFault
from dicom_node.receive.server import _STRANGERS
from tests.peers.certificates import Authority, caller_context
from tests.peers.sender import CT_IMAGE, RawAssociation, connect, encode_associate_request, encode_store_request, pdata
from tests.peers.waiting import wait_until

from .receiving import CONTEXTS, PEERS, Running, Security, make_data_set, receiving

pytestmark = pytest.mark.usefixtures("way")

ONE_PEER = {"modality": PEERS["modality"]}  # so that its address says who calls


@pytest.fixture
def trusted(security: Security) -> ssl.SSLContext:
    return caller_context(security.authority.file, security.modality)


def store_one(running: Running, tls: ssl.SSLContext) -> None:
    with running.associate(tls=tls) as association:
        assert association.store(make_data_set(), CT_IMAGE, "2.25.7").status == 0
        association.release()


def faults(running: Running) -> list[tuple[object, object]]:
    pairs = zip(running.events.names, running.events.fields, strict=True)
    return [(fields["peer"], fields["fault"]) for name, fields in pairs if name == "HandshakeFailed"]


# -- nobody waits for who says nothing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\0\x01"], ids=["nothing", "half a greeting"])
def test_a_caller_that_says_nothing_keeps_nobody_out_and_is_closed(
    tmp_path: Path, security: Security, trusted: ssl.SSLContext, said: bytes
) -> None:
    with receiving(tmp_path, peers=ONE_PEER, tls=security.section, network_timeout_s=1.0) as running, ExitStack() as stack:
        silent = [stack.enter_context(connect(running.port, timeout_s=10.0)) for _ in range(5)]
        for connection in silent:
            connection.sendall(said)
        start = monotonic()
        store_one(running, trusted)
        assert monotonic() - start < 0.9  # before the first of them is closed
        assert [connection.recv(1) for connection in silent] == [b""] * 5
        wait_until(lambda: not running.receiver._server.strangers, limit_s=5, what="the ends of their threads")
        assert faults(running) == ([("modality", TLSFault.BROKEN_OFF)] * 5 if said else [])


def test_callers_amid_a_handshake_count_among_the_connections(tmp_path: Path, security: Security, trusted: ssl.SSLContext) -> None:
    with receiving(tmp_path, tls=security.section, associations=1) as running, ExitStack() as stack:
        silent = [stack.enter_context(connect(running.port)) for _ in range(1 + _STRANGERS)]
        server = running.receiver._server
        wait_until(lambda: len(server.strangers) == len(silent), limit_s=10, what="they are not accepted")
        with connect(running.port) as one_more:
            assert one_more.recv(1) == b""
        silent.pop().close()
        wait_until(lambda: len(server.strangers) == len(silent), limit_s=10, what="its place is not free again")
        store_one(running, trusted)


def test_stopping_waits_for_no_handshake(tmp_path: Path, security: Security) -> None:
    with receiving(tmp_path, tls=security.section) as running, connect(running.port) as silent:
        server = running.receiver._server
        wait_until(lambda: server.strangers, limit_s=5, what="it is not accepted")
        running.receiver.stop(grace_s=2.0)
        silent.settimeout(1.0)
        assert silent.recv(1) == b""


# -- who comes to TLS --------------------------------------------------------------------------------------------------


def test_without_an_authority_for_them_callers_need_no_certificate(tmp_path: Path, security: Security) -> None:
    section = {**security.section, "client_ca": None}
    with receiving(tmp_path, tls=section) as running:
        store_one(running, caller_context(security.authority.file))
        assert list(running.stored()) == ["2.25.7"]


def test_a_caller_s_own_certificate_may_stand_for_who_signed_it(tmp_path: Path, security: Security, trusted: ssl.SSLContext) -> None:
    with receiving(tmp_path, peers=ONE_PEER, tls={**security.section, "client_ca": security.modality.certificate}) as running:
        store_one(running, trusted)
        other = security.authority.sign("other")
        with pytest.raises(OSError):  # noqa: PT011  (an alert, or a reset, as the moment has it)
            running.associate(tls=caller_context(security.authority.file, other))
        wait_until(lambda: faults(running), limit_s=5, what="the event")
        assert faults(running) == [("modality", TLSFault.THEIR_CERTIFICATE)]


def none_shown(security: Security, folder: Path) -> ssl.SSLContext:
    return caller_context(security.authority.file)


def of_another_authority(security: Security, folder: Path) -> ssl.SSLContext:
    return caller_context(security.authority.file, Authority(folder, "others").sign("stranger"))


def expired(security: Security, folder: Path) -> ssl.SSLContext:
    return caller_context(security.authority.file, security.authority.sign("expired", days=(-20, -10)))


def does_not_trust_us(security: Security, folder: Path) -> ssl.SSLContext:
    return caller_context(Authority(folder, "others").file, security.modality)


def version_1_1(security: Security, folder: Path) -> ssl.SSLContext:
    context = caller_context(security.authority.file, security.modality)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return context


def without_authenticated_encryption(security: Security, folder: Path) -> ssl.SSLContext:
    context = caller_context(security.authority.file, security.modality)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA")
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # versions 1.0 and 1.1 are what is tried
@pytest.mark.parametrize(
    ("caller", "fault"),
    [
        (none_shown, TLSFault.THEIR_CERTIFICATE),
        (of_another_authority, TLSFault.THEIR_CERTIFICATE),
        (expired, TLSFault.THEIR_CERTIFICATE),
        (does_not_trust_us, TLSFault.OUR_CERTIFICATE),
        (version_1_1, TLSFault.NOTHING_COMMON),
        (without_authenticated_encryption, TLSFault.NOTHING_COMMON),
    ],
)
def test_who_may_not_come_to_tls_is_named_by_its_address_and_its_fault(
    tmp_path: Path, security: Security, caller: Callable[[Security, Path], ssl.SSLContext], fault: TLSFault
) -> None:
    with receiving(tmp_path / "node", peers=ONE_PEER, tls=security.section) as running:
        with pytest.raises(Exception, match=r"(?i)alert|certificate|closed|reset|broken"):
            running.associate(tls=caller(security, tmp_path))
        wait_until(lambda: faults(running), limit_s=5, what="the event")
        assert faults(running) == [("modality", fault)]
        assert running.events.names == ["HandshakeFailed"]


@pytest.mark.parametrize("greeting", [encode_associate_request(CONTEXTS), b"GET / HTTP/1.1\r\nHost: node\r\n\r\n"], ids=["DICOM", "HTTP"])
def test_a_caller_without_tls_is_closed(tmp_path: Path, security: Security, trusted: ssl.SSLContext, greeting: bytes) -> None:
    with receiving(tmp_path, peers=ONE_PEER, tls=security.section) as running:
        with connect(running.port, timeout_s=5.0) as connection:
            connection.sendall(greeting)
            while connection.recv(4096):  # ends by the node's closing, not by a reset
                pass
        wait_until(lambda: faults(running), limit_s=5, what="the event")
        assert faults(running) == [("modality", TLSFault.NO_TLS)]
        store_one(running, trusted)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_both_versions_of_tls_are_spoken_and_answers_leave_at_once(
    tmp_path: Path, security: Security, trusted: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    trusted.minimum_version = trusted.maximum_version = version
    with receiving(tmp_path, tls=security.section) as running, running.associate(tls=trusted) as association:
        assert association.store(make_data_set(), CT_IMAGE, "2.25.7").status == 0
        (theirs,) = running.receiver._server.active_associations
        assert theirs.dul.socket.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        association.release()


# -- what is TLS's own is not ours -------------------------------------------------------------------------------------


def test_the_end_is_said_to_the_peer(tmp_path: Path, security: Security, trusted: ssl.SSLContext) -> None:
    """Without close_notify a peer cannot know whether somebody has cut the line (RFC 8446 6.1)."""
    with receiving(tmp_path, tls=security.section) as running, running.associate(tls=trusted) as association:
        connection = association.connection
        assert isinstance(connection, ssl.SSLSocket)
        connection.suppress_ragged_eofs = False
        connection.sendall(b"\5\0\0\0\0\4\0\0\0\0")  # A-RELEASE-RQ
        assert association.read_pdu()[0] == 6
        assert connection.recv(1) == b""  # and no SSLEOFError


def test_half_a_record_holds_nobody_up(tmp_path: Path, security: Security, trusted: ssl.SSLContext) -> None:
    """`select` sees it; who began to read a PDU for that would read until the network time-out."""
    with receiving(tmp_path, tls=security.section) as running, BareTLS(running.port, trusted) as caller:
        caller.send(encode_associate_request(CONTEXTS))
        kind, length = struct.unpack(">BxI", caller.read(6))
        assert kind == 2  # A-ASSOCIATE-AC
        assert len(caller.read(length)) == length
        record = caller.encrypt(pdata(1, 3, b"\0" * 500))
        caller.connection.sendall(record[:100])
        threading.Event().wait(0.3)  # whoever would read has begun to
        start = monotonic()
        running.receiver.stop(grace_s=0.0)
        assert monotonic() - start < 3.0
        assert caller.read(1) == b"\7"  # A-ABORT


class BareTLS:
    """A caller that has TLS's records in its hand before they leave."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.connection = connect(port)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="127.0.0.1")
        self._run(self._tls.do_handshake)

    def __enter__(self) -> "BareTLS":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def encrypt(self, content: bytes) -> bytes:
        self._tls.write(content)
        return self._out.read()

    def send(self, content: bytes) -> None:
        self.connection.sendall(self.encrypt(content))

    def read(self, count: int) -> bytes:
        return bytes(self._run(lambda: self._tls.read(count)))

    def _run(self, step: Callable[[], object]) -> object:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self.connection.sendall(self._out.read())
                block = self.connection.recv(65_536)
                assert block, "closed"
                self._in.write(block)
            else:
                self.connection.sendall(self._out.read())
                return done


def test_requests_in_records_of_a_few_bytes_arrive_whole(tmp_path: Path, security: Security, trusted: ssl.SSLContext) -> None:
    data_set = make_data_set(pixels=bytes(range(256)) * 8)
    with receiving(tmp_path, tls=security.section) as running, running.associate(tls=trusted) as association:
        for content in split(association, data_set):
            association.connection.sendall(content)
        assert association.read_answer().status == 0
        association.release()
        assert running.stored() == {"2.25.7": data_set}


def split(association: RawAssociation, data_set: bytes) -> list[bytes]:
    message = association.encode_message(1, encode_store_request(CT_IMAGE, "2.25.7", 1), data_set)
    return [message[at : at + 7] for at in range(0, len(message), 7)]
