"""Associations that the node requests: opened within seconds, ended in any case, their failures as errors of ours."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ssl import SSLCertVerificationError, SSLContext, SSLError

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from dicom_node import tls
from dicom_node.config import DeliverSection, Peer
from dicom_node.errors import (
    AssociationRejected,
    CertificateUntrusted,
    OwnCertificateUntrusted,
    PeerError,
    PeerUnreachable,
    TitleUnknown,
    TLSFailed,
    TLSFault,
    TLSFilesUnusable,
)
from dicom_node.values import PeerName

from .checkpoint import guard

OUR_PDU_BYTES = 131_072
_TITLE_UNKNOWN = (3, 7)  # calling, called AE title not recognised (PS3.8 table 9-21), permanent, by the service user
SEND_BUFFER_BYTES = 262_144  # little enough that what is said to have left has nearly arrived


@dataclass(frozen=True, slots=True)
class Line:
    """Whom to call, as whom, and how long to wait."""

    destination: PeerName
    peer: Peer
    our_title: str
    limits: DeliverSection


@contextmanager
def associate(line: Line, contexts: Sequence[PresentationContext]) -> Iterator[Association]:
    """An association with the peer, released at the end, aborted where the block raises.

    Raises PeerUnreachable where no connection or no answer to the request comes within `connect_timeout_s`, or the peer aborts;
    AssociationRejected where it says no, TitleUnknown where it says that it does not know a title. Where the peer has TLS and the
    connection came to none: CertificateUntrusted, OwnCertificateUntrusted, TLSFailed, or TLSFilesUnusable before it is called at all.
    A peer that accepts no context is no error here: the block sees `accepted_contexts` empty and the association closed.
    """
    association = _request(line, contexts)
    if association.is_rejected:
        answer = association.acceptor.primitive
        assert answer is not None
        result, source, reason = answer.result or 0, answer.result_source or 0, answer.diagnostic or 0
        if (result, source) == (1, 1) and reason in _TITLE_UNKNOWN:
            raise TitleUnknown(line.destination, reason)
        raise AssociationRejected(line.destination, result, source, reason)
    # pynetdicom aborts an association without an accepted context; that is an answer, not a broken line
    if not association.is_established and not association.rejected_contexts:
        made = association.dul.socket
        raise _error_of(line.destination, made.failure if isinstance(made, _Socket) else None)
    is_whole = False
    try:
        yield association
        is_whole = True
    finally:
        if association.is_established:
            if is_whole:
                association.release()
            else:
                association.abort()


@contextmanager
def paused(association: Association) -> Iterator[None]:
    """Keep the association's own thread from taking messages meanwhile: without it, an answer may be read there and lost."""
    association._reactor_checkpoint.clear()
    try:
        yield
    finally:
        association._reactor_checkpoint.set()


def _error_of(peer: PeerName, failure: OSError | None) -> PeerError:
    """Why no association came about where the peer has not said so by an answer; `failure` is that of TLS."""
    if failure is None:
        return PeerUnreachable(peer)
    match tls.fault_of(failure):
        case TLSFault.THEIR_CERTIFICATE:
            return CertificateUntrusted(peer, failure.verify_code if isinstance(failure, SSLCertVerificationError) else 0)
        case TLSFault.OUR_CERTIFICATE:
            return OwnCertificateUntrusted(peer)
        case fault:
            return TLSFailed(peer, fault)


def _make_tls(line: Line) -> tuple[SSLContext, str] | None:
    """What pynetdicom calls TLS arguments: a context and the name that is expected. Anew for each association: certificates are renewed
    while the node runs."""
    given = line.peer.tls
    if given is None:
        return None
    is_name_checked = given.server_name != "any"
    name = (given.server_name if is_name_checked else None) or line.peer.host
    try:
        context = tls.make_requestor_context(ca=given.ca, certificate=given.certificate, key=given.key, is_name_checked=is_name_checked)
    except OSError as cause:
        raise TLSFilesUnusable(line.destination) from cause
    return context, name.removesuffix(".")  # the dot that ends a whole name is DNS's alone


def _request(line: Line, contexts: Sequence[PresentationContext]) -> Association:
    tls_args = _make_tls(line)
    entity = _Entity(line.our_title)
    entity.connection_timeout = line.limits.connect_timeout_s
    entity.acse_timeout = line.limits.connect_timeout_s  # a full backlog accepts the connection and never answers
    entity.dimse_timeout = line.limits.response_timeout_s
    entity.network_timeout = line.limits.response_timeout_s
    try:
        association = entity.associate(
            line.peer.host,
            line.peer.port,
            contexts=list(contexts),
            ae_title=line.peer.ae_title,
            max_pdu=OUR_PDU_BYTES,
            tls_args=tls_args,
        )
    except (OSError, UnicodeError) as cause:  # the host's name cannot be resolved, or is none (pacs..local)
        raise PeerUnreachable(line.destination) from cause
    return guard(association)


class _Entity(ApplicationEntity):
    """pynetdicom's requestor with our socket."""

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: tuple[SSLContext, str] | None) -> AssociationSocket:
        return _Socket(assoc, address, tls_args)


class _Socket(AssociationSocket):
    """A socket that sends at once, does not wait for ever for a peer that reads nothing, and is closed when it failed.

    With TLS it is wrapped before it is connected, not by the library, so that it can say afterwards why it failed.
    """

    def __init__(self, assoc: Association, address: AddressInformation, secure: tuple[SSLContext, str] | None) -> None:
        self._secure = secure
        self._unread = bytearray()
        self._heard: OSError | None = None
        super().__init__(assoc, address=address)
        self._made = self.socket

    @property
    def failure(self) -> OSError | None:
        """What was wrong with TLS: in the handshake, or, in TLS 1.3, said by the peer when for us it was over."""
        return (self._made.failure if isinstance(self._made, tls.TLSSocket) else None) or self._heard

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        made: socket.socket = super()._create_socket(address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if self._secure is None:
            return made
        context, server_name = self._secure
        return context.wrap_socket(made, server_hostname=server_name)

    def connect(self, primitive: T_CONNECT) -> None:
        super().connect(primitive)
        if self.socket is not None:
            self.socket.settimeout(self.assoc.network_timeout)  # connect() takes every limit away

    @property
    def ready(self) -> bool:
        """Whether there is something to read for us. A session ticket is not: who reads for that reads past every limit but the longest."""
        if self._unread or not isinstance(self.socket, tls.TLSSocket):
            return bool(self._unread) or bool(super().ready)
        if not super().ready:
            return False
        try:
            content = tls.read_at_hand(self.socket)
        except OSError as error:
            self._heard = error if isinstance(error, SSLError) else None
            self.event_queue.put("Evt17")  # the connection is closed
            return False
        self._unread += content or b""
        return content is not None

    def recv(self, nr_bytes: int) -> bytearray:
        taken, self._unread = self._unread[:nr_bytes], self._unread[nr_bytes:]
        return taken + super().recv(nr_bytes - len(taken)) if len(taken) < nr_bytes else taken

    def _shutdown_socket(self) -> None:
        held = self.socket
        if isinstance(held, tls.TLSSocket):
            with suppress(OSError, ValueError):  # it never came to TLS, or is past it
                held.settimeout(0)
                held.unwrap()  # says that we end (close_notify), and does not wait for the same from the peer
        super()._shutdown_socket()
        if held is not None:
            held.close()  # the original leaves it open where shutdown fails, as it does when nobody answered
