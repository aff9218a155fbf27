"""TLS from files: what is wrong with them is told by file, and a connection never leaves TLS."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.errors import TLSFault
from dicom_node.tls import (
    TLSSocket,
    fault_of,
    find_faults,
    make_acceptor_context,
    make_requestor_context,
    read_at_hand,
    read_validity,
)
from tests.peers.certificates import Authority, Pair, lock_key
from tests.places import REPOSITORY


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    return authority.sign("node")


def faults(own: Pair, *, authority: Path | None = None, certificate: Path | None = None, key: Path | None = None) -> list[tuple[str, str]]:
    return list(find_faults(authority=authority, certificate=certificate or own.certificate, key=key or own.key))


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_that_fit_are_no_fault(authority: Authority, own: Pair) -> None:
    assert faults(own, authority=authority.file) == []
    assert list(find_faults(authority=authority.file, certificate=None, key=None)) == []


def test_each_file_that_is_not_there_is_told(own: Pair, tmp_path: Path) -> None:
    none = tmp_path / "none"
    found = faults(own, authority=none, certificate=none, key=none)
    assert found == [(name, "a file that can be read (No such file or directory)") for name in ("authority", "certificate", "key")]


def test_a_file_without_a_certificate_is_told(own: Pair, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    wanted = "a file with a certificate in PEM form"
    assert faults(own, certificate=tmp_path / "text") == [("certificate", wanted)]
    assert faults(own, authority=own.key) == [("authority", wanted)]


def test_the_key_of_another_certificate_is_told(own: Pair, authority: Authority) -> None:
    ((name, fault),) = faults(own, key=authority.sign("other").key)
    assert (name, "of another one" in fault) == ("key", True)


@pytest.mark.parametrize("kind", ["locked", "a certificate", "text"])
def test_a_key_that_cannot_be_used_is_told_and_nobody_is_asked_for_its_password(own: Pair, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "key"
    if kind == "locked":
        lock_key(own, file)
    else:
        file.write_bytes(own.certificate.read_bytes() if kind == "a certificate" else b"text")
    ((name, fault),) = faults(own, key=file)
    assert (name, "without a password" in fault) == ("key", True)


@pytest.mark.parametrize("days", [(-1, 365), (-20, -10), (10, 20), (-1, 365 * 40)], ids=["now", "over", "to come", "beyond 2049"])
def test_a_certificate_s_dates_are_read(authority: Authority, days: tuple[float, float]) -> None:
    begins, ends = read_validity(authority.sign("dated", days=days).certificate)
    now = datetime.now(UTC)
    for found, number in zip((begins, ends), days, strict=True):
        assert abs(found - (now + timedelta(days=number))) < timedelta(minutes=1)


def test_the_first_of_several_certificates_is_the_own_one(authority: Authority, tmp_path: Path) -> None:
    pair = authority.sign("short", days=(-1, 5))
    chain = tmp_path / "chain.crt"
    chain.write_bytes(b"a text before\n" + pair.certificate.read_bytes() + authority.file.read_bytes())
    assert read_validity(chain) == read_validity(pair.certificate)


def test_the_commands_of_the_documentation_make_what_the_node_takes(tmp_path: Path) -> None:
    section = (REPOSITORY / "docs" / "operation.md").read_text(encoding="utf-8").split("\n## TLS\n")[1]
    commands = section.split("```sh\n")[1].split("```")[0]
    subprocess.run(["sh", "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    node, sender = (Pair(tmp_path / f"{name}.crt", tmp_path / f"{name}.key") for name in ("node", "sender"))
    assert faults(node, authority=sender.certificate) == []
    ours, theirs = socket.socketpair()
    acceptor = make_acceptor_context(certificate=node.certificate, key=node.key, client_ca=sender.certificate)
    requestor = make_requestor_context(ca=node.certificate, certificate=sender.certificate, key=sender.key, is_name_checked=True)
    with acceptor.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False) as called:
        thread = threading.Thread(target=called.do_handshake)
        thread.start()
        with requestor.wrap_socket(ours, server_hostname="localhost") as calling:
            thread.join(timeout=10)
            calling.sendall(b"hello")
            assert called.recv(10) == b"hello"


# -- connections -------------------------------------------------------------------------------------------------------


@contextmanager
def connected(authority: Authority, own: Pair) -> Iterator[tuple[TLSSocket, TLSSocket]]:
    """Both ends of a connection: who calls, and who is called."""
    ours, theirs = socket.socketpair()
    acceptor = make_acceptor_context(certificate=own.certificate, key=own.key, client_ca=None)
    requestor = make_requestor_context(ca=authority.file, certificate=None, key=None, is_name_checked=False)
    called = acceptor.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=called.do_handshake)
    thread.start()
    calling = requestor.wrap_socket(ours)
    thread.join(timeout=10)
    assert isinstance(calling, TLSSocket)
    assert isinstance(called, TLSSocket)
    with calling, called:
        yield calling, called


def test_what_is_sent_while_another_thread_shuts_down_stays_within_tls(authority: Authority, own: Pair) -> None:
    """Python's own socket would send it in the clear."""
    with connected(authority, own) as (calling, called):
        calling.shutdown(socket.SHUT_RD)  # so that sending is still possible
        calling.sendall(b"Phantom^Only")
        assert called.recv(100) == b"Phantom^Only"


def test_what_is_at_hand_is_read_without_waiting(authority: Authority, own: Pair) -> None:
    with connected(authority, own) as (calling, called):
        called.settimeout(7.0)
        assert read_at_hand(called) is None
        calling.sendall(b"x" * 20_000)  # two records
        found = b""
        while len(found) < 20_000:
            found += read_at_hand(called) or b""
        assert read_at_hand(called) is None
        calling.close()
        assert read_at_hand(called) == b""
        assert called.gettimeout() == 7.0


def test_no_key_of_a_connection_is_written_down(authority: Authority, own: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with connected(authority, own):
        assert not (tmp_path / "keys").exists()


def test_what_is_no_fault_of_tls_counts_as_broken_off() -> None:
    assert fault_of(TimeoutError()) is TLSFault.BROKEN_OFF
    assert fault_of(ConnectionResetError()) is TLSFault.BROKEN_OFF
    assert fault_of(ssl.SSLError(1, "[SSL] a reason of a later version")) is TLSFault.BROKEN_OFF
