"""Who may call: one question, answered before anything is negotiated."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from dicom_node.config import Peer
from dicom_node.values import AETitle, PeerName, Proof

Resolve = Callable[[str], Iterable[str]]  # the addresses of a host name; empty where it has none


@dataclass(frozen=True, slots=True)
class Call:
    """An association request. Titles as they came, `address` of the other end of the connection; `is_full`: no slot is left."""

    calling: str
    called: str
    address: str
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """A known peer. `reports_for`: peers whose storage commitment reports it may bring; beyond that and sending, only C-ECHO is left."""

    peer: PeerName
    calling: AETitle
    called: AETitle
    may_send: bool
    reports_for: tuple[PeerName, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """Result, source and reason of A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int


CALLED_TITLE_UNKNOWN = Rejected(1, 1, 7)  # permanent, service user
CALLING_TITLE_UNKNOWN = Rejected(1, 1, 3)
LOCAL_LIMIT_EXCEEDED = Rejected(2, 3, 2)  # transient, service provider (presentation)


def judge(call: Call, *, own_title: AETitle, peers: Mapping[str, Peer], resolve: Resolve) -> Admitted | Rejected:
    """Admit a call of our title by a known title from one of its addresses, while there is room.

    Outer spaces and nulls of titles do not count, case does (PS3.5 6.2, AE). A known title from a strange address is answered
    like an unknown one: PS3.8 has no other word for it. A peer that is asked for storage commitment may report it under further
    titles (`commits_as`), from its own addresses.
    """
    called, calling = AETitle.parse(call.called), AETitle.parse(call.calling)
    if called != own_title:
        return CALLED_TITLE_UNKNOWN
    if calling is None:
        return CALLING_TITLE_UNKNOWN
    own = [name for name, peer in peers.items() if peer.ae_title == calling.text and _comes_from(call.address, peer, resolve)]
    reports_for = tuple(
        PeerName(name)
        for name, peer in peers.items()
        if peer.proof_asked is Proof.COMMITMENT
        and (name in own or (calling.text in peer.commits_as and _comes_from(call.address, peer, resolve)))
    )
    if not own and not reports_for:
        return CALLING_TITLE_UNKNOWN
    if call.is_full:
        return LOCAL_LIMIT_EXCEEDED
    name = PeerName(own[0]) if own else reports_for[0]
    may_send = bool(own) and "send" in peers[own[0]].may
    return Admitted(name, calling, own_title, may_send, reports_for)


def find_peer(address: str, *, peers: Mapping[str, Peer], resolve: Resolve) -> PeerName | None:
    """Whose address it is, of a caller that has not said who it is; None where it is nobody's, or of several."""
    found = [name for name, peer in peers.items() if "any" not in peer.addresses and _comes_from(address, peer, resolve)]
    return PeerName(found[0]) if len(found) == 1 else None


def _comes_from(address: str, peer: Peer, resolve: Resolve) -> bool:
    """Whether an address is among the peer's: each an address, a network (10.1.0.0/16), a host name, or `any`."""
    allowed = peer.addresses or (peer.host,)
    if "any" in allowed:
        return True
    caller = _parse_address(address)
    return caller is not None and any(_matches(caller, entry, resolve) for entry in allowed)


def _matches(caller: "ipaddress.IPv4Address | ipaddress.IPv6Address", entry: str, resolve: Resolve) -> bool:
    try:
        return caller in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return any(_parse_address(address) == caller for address in resolve(entry))


def _parse_address(text: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    """An IPv4 caller on a socket for both kinds comes as ::ffff:a.b.c.d."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
