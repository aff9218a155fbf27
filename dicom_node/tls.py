"""TLS as PS3.15 B.12 has it (BCP 195): what a side needs, from PEM files, and what became of a handshake, as values.

Nothing is taken from the system or the environment: neither its certificate authorities, which a hospital's are not among, nor
SSLKEYLOGFILE, which would write the keys of connections into a file.
"""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from dicom_node.errors import TLSFault

# Of TLS 1.2 those with forward secrecy and authenticated encryption (RFC 9325 4.2); those of TLS 1.3 are all so.
_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
_RECORD_BYTES = 16_384  # the content of a record, at most (RFC 8446 5.1)
_HANDSHAKE = b"\x16"  # what a TLS connection begins with (RFC 8446 5.1)


class TLSSocket(ssl.SSLSocket):
    """A connection that gives and takes nothing outside TLS.

    The original forgets TLS in the moment in which it is shut down, and what another thread sends or reads just then goes or comes in
    the clear: pynetdicom shuts down in the thread that aborts, while that of the connection may be amid a message.
    """

    failure: OSError | None = None  # why its handshake failed; pynetdicom, which connects it, keeps that to itself

    def shutdown(self, how: int) -> None:
        socket.socket.shutdown(self, how)

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError as error:
            self.failure = error
            raise


def make_acceptor_context(*, certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """For who is called. With `client_ca` callers must show a certificate signed by one of those in that file, or one of them.

    Raises OSError, of which ssl.SSLError is one, where a file is not what it should be; `find_faults` says which, and why.
    """
    context = _make_context(ssl.PROTOCOL_TLS_SERVER)
    _show(context, certificate, key)
    if client_ca is not None:
        context.load_verify_locations(cafile=client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    # No sender takes a session up again, and tickets that one has left unread would have TCP reset the connection at its end.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def make_requestor_context(*, ca: Path, certificate: Path | None, key: Path | None, is_name_checked: bool) -> ssl.SSLContext:
    """For who calls: the other side must show a certificate signed by one of those in `ca`, or one of them. Raises OSError, as above."""
    context = _make_context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = is_name_checked
    context.load_verify_locations(cafile=ca)
    if certificate is not None and key is not None:
        _show(context, certificate, key)
    return context


def find_faults(*, authority: Path | None, certificate: Path | None, key: Path | None) -> Iterator[tuple[str, str]]:
    """What is wrong with the files, if anything: `authority`, `certificate` or `key`, and what it should be."""
    for name, file in (("authority", authority), ("certificate", certificate)):
        if file is not None:
            fault = _find_unreadable(file) or _find_no_certificate(file)
            if fault:
                yield name, fault
    if certificate is not None and key is not None:
        fault = _find_unreadable(key) or ("" if _find_no_certificate(certificate) else _find_wrong_key(certificate, key))
        if fault:
            yield "key", fault


def read_validity(certificate: Path) -> tuple[datetime, datetime]:
    """From when to when the first certificate of a file is valid (RFC 5280 4.1.2.5). Raises OSError; ValueError where there is none."""
    text = certificate.read_text(encoding="ascii", errors="replace")
    start = text.index(ssl.PEM_HEADER)
    end = text.index(ssl.PEM_FOOTER, start) + len(ssl.PEM_FOOTER)
    ((_, signed),) = _parse_der(ssl.PEM_cert_to_DER_cert(text[start:end]))
    (_, content), *_ = _parse_der(signed)
    # without the version, which is optional: serial number, algorithm, issuer, validity
    _, _, _, validity, *_ = (value for tag, value in _parse_der(content) if tag != _VERSION)
    begins, ends = (_parse_time(tag, value) for tag, value in _parse_der(validity))
    return begins, ends


def is_handshake(first: bytes) -> bool:
    """Whether a connection that begins so speaks TLS."""
    return first == _HANDSHAKE


def read_at_hand(connection: TLSSocket) -> bytes | None:
    """What has come and can be read without waiting: b"" where the other side has ended, None where there is nothing. Raises OSError.

    `select` cannot say: it sees records of TLS's own and halves of records, and sees nothing of what has been decrypted already.
    """
    timeout_s = connection.gettimeout()
    connection.settimeout(0)
    try:
        return connection.recv(_RECORD_BYTES)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None
    finally:
        connection.settimeout(timeout_s)


def fault_of(error: OSError) -> TLSFault:
    """What was wrong in a handshake, or with the first that was read after it: in TLS 1.3 a caller's certificate is judged then."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TLSFault.THEIR_CERTIFICATE
    reason = getattr(error, "reason", None)  # OpenSSL's name for it
    return _FAULTS.get(reason, TLSFault.BROKEN_OFF) if isinstance(reason, str) else TLSFault.BROKEN_OFF


_FAULTS = {
    **dict.fromkeys(("CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"), TLSFault.THEIR_CERTIFICATE),
    **dict.fromkeys(
        (
            "SSLV3_ALERT_BAD_CERTIFICATE",
            "SSLV3_ALERT_CERTIFICATE_EXPIRED",
            "SSLV3_ALERT_CERTIFICATE_REVOKED",
            "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
            "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
            "TLSV1_ALERT_ACCESS_DENIED",
            "TLSV1_ALERT_UNKNOWN_CA",
            "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        ),
        TLSFault.OUR_CERTIFICATE,
    ),
    **dict.fromkeys(
        (
            "NO_PROTOCOLS_AVAILABLE",
            "NO_SHARED_CIPHER",
            "NO_SHARED_GROUPS",
            "NO_SUITABLE_KEY_SHARE",
            "NO_SUITABLE_SIGNATURE_ALGORITHM",
            "SSLV3_ALERT_HANDSHAKE_FAILURE",
            "TLSV1_ALERT_INSUFFICIENT_SECURITY",
            "TLSV1_ALERT_PROTOCOL_VERSION",
            "UNSUPPORTED_PROTOCOL",
            "VERSION_TOO_LOW",
            "WRONG_SSL_VERSION",
        ),
        TLSFault.NOTHING_COMMON,
    ),
    **dict.fromkeys(("HTTP_REQUEST", "WRONG_VERSION_NUMBER"), TLSFault.NO_TLS),
}


def _make_context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.sslsocket_class = TLSSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a peer's own certificate may stand in the place of who signed it
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    context.load_cert_chain(certificate, key, password=lambda: b"")  # else OpenSSL asks at the terminal for that of a key that has one


def _find_unreadable(file: Path) -> str:
    try:
        file.read_bytes()
    except OSError as cause:
        return f"a file that can be read ({cause.strerror})"
    return ""


def _find_no_certificate(file: Path) -> str:
    try:
        _make_context(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
        read_validity(file)
    except (OSError, ValueError):
        return "a file with a certificate in PEM form"
    return ""


def _find_wrong_key(certificate: Path, key: Path) -> str:
    try:
        _show(_make_context(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    except ssl.SSLError as cause:
        if cause.reason == "KEY_VALUES_MISMATCH":
            return "the private key of the certificate beside it; this is that of another one"
        return f"a private key in PEM form, without a password, of a strength that OpenSSL takes ({cause.reason})"
    except (OSError, ValueError):
        return "a private key in PEM form, without a password"
    return ""


# -- just enough of DER (X.690) to find two dates: Python's ssl reads them of a certificate that somebody else shows, and of no other ------

_VERSION, _UTC_TIME = 0xA0, 0x17


def _parse_der(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element."""
    at = 0
    while at + 2 <= len(encoded):
        tag, length, at = encoded[at], encoded[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(encoded[at : at + size], "big"), at + size
        yield tag, encoded[at : at + length]
        at += length


def _parse_time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # two digits, which are those of 1950 to 2049
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
