"""Is a peer there, and does it know us? C-ECHO, PS3.4 annex A."""

from pynetdicom.presentation import build_context

from dicom_node.config import DeliverSection, Peer
from dicom_node.errors import NoPresentationContext, PeerUnreachable, StatusRefused
from dicom_node.values import PeerName

from .association import Line, associate

_VERIFICATION = "1.2.840.10008.1.1"


def ask_echo(peer_name: PeerName, peer: Peer, our_title: str, limits: DeliverSection) -> None:
    """Come back where the peer answers C-ECHO with success; else raise the PeerError that says what is wrong."""
    with associate(Line(peer_name, peer, our_title, limits), [build_context(_VERIFICATION)]) as association:
        if not association.accepted_contexts:
            raise NoPresentationContext(peer_name, _VERIFICATION)
        answer = association.send_c_echo()
        if "Status" not in answer:
            raise PeerUnreachable(peer_name)
        if answer.Status != 0x0000:
            raise StatusRefused(peer_name, int(answer.Status))
