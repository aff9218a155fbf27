"""Associations that the node requests: opened within seconds, ended in any case, their failures as errors of ours."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ssl import SSLContext

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from dicom_node.config import DeliverSection, Peer
from dicom_node.errors import AssociationRejected, PeerUnreachable, TitleUnknown
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
    AssociationRejected where it says no, TitleUnknown where it says that it does not know a title. A peer that accepts no context
    is no error here: the block sees `accepted_contexts` empty and the association closed.
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
        raise PeerUnreachable(line.destination)
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


def _request(line: Line, contexts: Sequence[PresentationContext]) -> Association:
    entity = _Entity(line.our_title)
    entity.connection_timeout = line.limits.connect_timeout_s
    entity.acse_timeout = line.limits.connect_timeout_s  # a full backlog accepts the connection and never answers
    entity.dimse_timeout = line.limits.response_timeout_s
    entity.network_timeout = line.limits.response_timeout_s
    try:
        association = entity.associate(
            line.peer.host, line.peer.port, contexts=list(contexts), ae_title=line.peer.ae_title, max_pdu=OUR_PDU_BYTES
        )
    except (OSError, UnicodeError) as cause:  # the host's name cannot be resolved, or is none (pacs..local)
        raise PeerUnreachable(line.destination) from cause
    return guard(association)


class _Entity(ApplicationEntity):
    """pynetdicom's requestor with our socket."""

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: tuple[SSLContext, str] | None) -> AssociationSocket:
        made = _Socket(assoc, address=address)
        made.tls_args = tls_args
        return made


class _Socket(AssociationSocket):
    """A socket that sends at once, does not wait for ever for a peer that reads nothing, and is closed when it failed."""

    def _create_socket(self, address: AddressInformation) -> socket.socket:
        made: socket.socket = super()._create_socket(address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        return made

    def connect(self, primitive: T_CONNECT) -> None:
        super().connect(primitive)
        if self.socket is not None:
            self.socket.settimeout(self.assoc.network_timeout)  # connect() takes every limit away

    def _shutdown_socket(self) -> None:
        held = self.socket
        super()._shutdown_socket()
        if held is not None:
            held.close()  # the original leaves it open where shutdown fails, as it does when nobody answered
