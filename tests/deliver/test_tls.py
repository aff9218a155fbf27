"""Results over TLS: they go to the peer that was meant, and to no other; what is wrong is told to the administrator."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node.config import DeliverSection, Peer, PeerTLS
from dicom_node.deliver import Outcome, ask_echo, send
from dicom_node.errors import (
    Again,
    CertificateUntrusted,
    OwnCertificateUntrusted,
    PeerError,
    PeerUnreachable,
    TLSFailed,
    TLSFault,
    TLSFilesUnusable,
)
from dicom_node.texts import Reader, find_languages, render_error
from dicom_node.values import PeerName
from tests.deliver.objects import LIMITS, peer_at, write_result
from tests.deliver.odd_peers import deaf_peer
from tests.peers.archive import Archive, digest_of_data_set
from tests.peers.certificates import Authority, Pair, answerer_context
from tests.peers.ports import find_free_port
from tests.peers.waiting import wait_until

PACS = PeerName("pacs")
IMPATIENT = DeliverSection(connect_timeout_s=0.5, response_timeout_s=5.0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def theirs(authority: Authority) -> Pair:
    return authority.sign("pacs")


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Pair:
    return authority.sign("node")


@pytest.fixture
def result(tmp_path: Path) -> tuple[Path, Path]:
    return write_result(tmp_path / "result", size=300)


def peer_over(port: int, authority: Authority, own: Pair | None = None, **more: Any) -> Peer:
    shown = {} if own is None else {"certificate": own.certificate, "key": own.key}
    return peer_at(port).model_copy(update={"tls": PeerTLS.model_validate({"ca": authority.file, **shown, **more})})


def ask(peer: Peer, limits: DeliverSection = LIMITS) -> None:
    ask_echo(PACS, peer, "NODE", limits)


def refusal(peer: Peer, limits: DeliverSection = LIMITS) -> PeerError:
    """The error of a peer that comes to no TLS: it may be tried again, and says so to the administrator in both languages."""
    with pytest.raises(PeerError) as raised:
        ask(peer, limits)
    assert raised.value.again is Again.LATER
    assert all("pacs" in render_error(raised.value, Reader.ADMINISTRATOR, language) for language in find_languages())
    return raised.value


# -- it works ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("is_mutual", [True, False], ids=["mutual", "one-sided"])
def test_objects_arrive_byte_for_byte(
    tmp_path: Path, result: tuple[Path, Path], authority: Authority, theirs: Pair, ours: Pair, version: ssl.TLSVersion, is_mutual: bool
) -> None:
    context = answerer_context(theirs, authority.file if is_mutual else None)
    context.minimum_version = context.maximum_version = version
    with Archive(tmp_path / "archive", tls=context) as archive:
        peer = peer_over(archive.port, authority, ours if is_mutual else None)
        sent = send(result, destination=PACS, peer=peer, our_title="NODE", limits=LIMITS).sent
        assert [one.outcome for one in sent] == [Outcome.DONE] * 2
        assert [stored.digest for stored in archive.record] == [digest_of_data_set(file) for file in result]


def test_a_session_ticket_is_no_answer(authority: Authority, theirs: Pair) -> None:
    """A peer that shakes hands, sends tickets and says nothing more costs the time of a request: who takes tickets for the beginning of an
    answer reads for as long as a response may take."""
    context = answerer_context(theirs)
    assert context.num_tickets > 0
    with silent_peer(context) as port:
        start = monotonic()
        assert refusal(peer_over(port, authority), IMPATIENT) == PeerUnreachable(PACS)
        assert monotonic() - start < IMPATIENT.response_timeout_s / 2


@contextmanager
def silent_peer(context: ssl.SSLContext) -> Iterator[int]:
    """The port of a peer that shakes hands once and says nothing."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True):
                over.wait(30)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        thread.join(timeout=10)


@contextmanager
def storescp(program: str, folder: Path, own: Pair, authority: Path) -> Iterator[int]:
    """The port of DCMTK's storescp over TLS, which wants a certificate of who calls."""
    folder.mkdir()
    port = find_free_port()
    command = [program, "+tls", str(own.key), str(own.certificate), "+cf", str(authority), "-aet", "PACS", "-od", str(folder), str(port)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: is_open(port), limit_s=10, what="storescp does not listen")
        yield port
    finally:
        process.kill()
        process.communicate()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_dcmtk_takes_results(
    tmp_path: Path, result: tuple[Path, Path], authority: Authority, theirs: Pair, ours: Pair, dcmtk: Callable[[str], str]
) -> None:
    with storescp(dcmtk("storescp"), tmp_path / "received", theirs, authority.file) as port:
        sent = send(result, destination=PACS, peer=peer_over(port, authority, ours), our_title="NODE", limits=LIMITS).sent
        assert [one.outcome for one in sent] == [Outcome.DONE] * 2
        stranger = Authority(tmp_path / "others").sign("node")
        assert isinstance(refusal(peer_over(port, authority, stranger)), OwnCertificateUntrusted)
    received = {str(dcmread(file).SOPInstanceUID) for file in (tmp_path / "received").iterdir()}
    assert received == {str(dcmread(file).SOPInstanceUID) for file in result}


# -- it does not -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "days", "server_name", "code"),
    [
        (("127.0.0.1",), (-1, 365), None, 0),
        (("pacs.example",), (-1, 365), "pacs.example", 0),
        (("pacs.example",), (-1, 365), "pacs.example.", 0),
        (("pacs.example",), (-1, 365), "any", 0),
        (("pacs.example",), (-1, 365), None, 64),
        (("pacs.example",), (-1, 365), "other.example", 62),
        (("127.0.0.1",), (-20, -10), None, 10),
        (("127.0.0.1",), (10, 20), "any", 9),
    ],
)
def test_a_certificate_must_be_valid_and_made_for_the_peer(
    tmp_path: Path, authority: Authority, hosts: tuple[str, ...], days: tuple[float, float], server_name: str | None, code: int
) -> None:
    shown = authority.sign("odd", hosts=hosts, days=days)
    with Archive(tmp_path / "archive", tls=answerer_context(shown)) as archive:
        peer = peer_over(archive.port, authority, server_name=server_name)
        if code == 0:
            ask(peer)
        else:
            assert refusal(peer) == CertificateUntrusted(PACS, code)


def test_a_certificate_must_be_of_the_authority(tmp_path: Path, authority: Authority, theirs: Pair) -> None:
    with Archive(tmp_path / "archive", tls=answerer_context(theirs)) as archive:
        error = refusal(peer_over(archive.port, Authority(tmp_path / "others")))
        assert isinstance(error, CertificateUntrusted)
        assert 18 <= error.code <= 21
        assert isinstance(refusal(peer_over(archive.port, authority, ca=authority.sign("other").certificate)), CertificateUntrusted)
        ask(peer_over(archive.port, authority, ca=theirs.certificate))  # its own certificate is enough


def test_a_peer_that_wants_a_certificate_says_so(tmp_path: Path, authority: Authority, theirs: Pair) -> None:
    context = answerer_context(theirs, authority.file)
    with Archive(tmp_path / "archive", tls=context) as archive:
        assert refusal(peer_over(archive.port, authority)) == OwnCertificateUntrusted(PACS)
        stranger = Authority(tmp_path / "others").sign("node")
        assert refusal(peer_over(archive.port, authority, stranger)) == OwnCertificateUntrusted(PACS)
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # which has no word of its own for that
        assert refusal(peer_over(archive.port, authority)) == TLSFailed(PACS, TLSFault.NOTHING_COMMON)


def test_a_peer_without_tls_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    with Archive(tmp_path / "archive") as archive:
        error = refusal(peer_over(archive.port, authority))
        assert isinstance(error, TLSFailed)
        assert error.fault in (TLSFault.NO_TLS, TLSFault.BROKEN_OFF)


def test_a_peer_with_tls_alone_is_no_plain_one(tmp_path: Path, theirs: Pair) -> None:
    with Archive(tmp_path / "archive", tls=answerer_context(theirs)) as archive:
        assert refusal(peer_at(archive.port)) == PeerUnreachable(PACS)


def test_a_peer_that_never_shakes_hands_costs_seconds(authority: Authority) -> None:
    with deaf_peer() as port:
        start = monotonic()
        assert refusal(peer_over(port, authority), IMPATIENT) == TLSFailed(PACS, TLSFault.BROKEN_OFF)
        assert monotonic() - start < 5


def test_a_peer_that_is_not_there_is_unreachable(authority: Authority) -> None:
    assert refusal(peer_over(find_free_port(), authority)) == PeerUnreachable(PACS)


def test_files_that_are_gone_are_our_fault(tmp_path: Path, authority: Authority) -> None:
    assert refusal(peer_over(104, authority, ca=tmp_path / "gone")) == TLSFilesUnusable(PACS)
