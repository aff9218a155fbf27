"""The association policy as a table."""

import pytest

from dicom_node.config import Peer
from dicom_node.receive import Admitted, Call, Rejected, judge
from dicom_node.receive.policy import find_peer
from dicom_node.values import AETitle, PeerName

ADDRESSES = {"pacs.hospital": ("10.0.0.5", "fd00::5")}

PEERS = {
    "pacs": Peer(ae_title="PACS", host="pacs.hospital", port=104, may=("send", "receive")),
    "ct": Peer(ae_title="CT 1", host="10.0.0.9", port=104, may=("send",), addresses=("10.0.1.0/24", "10.0.0.9")),
    "viewer": Peer(ae_title="VIEWER", host="10.0.0.7", port=104, may=("receive",)),
    "roaming": Peer(ae_title="ROAMING", host="nowhere", port=104, may=("send",), addresses=("any",)),
    "archive": Peer(ae_title="ARCHIVE", host="10.0.2.1", port=104, may=("receive",), proof="commitment", commits_as=("ARCHIVE_SC", "GATE")),
    "second": Peer(ae_title="SECOND", host="10.0.2.2", port=104, may=("send", "receive"), proof="commitment", commits_as=("GATE",)),
    "gate": Peer(ae_title="GATE", host="10.0.2.1", port=104, may=("send",)),
    "unknown-host": Peer(ae_title="LOST", host="gone.hospital", port=104, may=("send",)),
}


def admitted(name: str, *, may_send: bool = True, calling: str = "", reports_for: tuple[str, ...] = ()) -> Admitted:
    title = AETitle(calling or PEERS[name].ae_title)
    return Admitted(PeerName(name), title, AETitle("NODE"), may_send, tuple(map(PeerName, reports_for)))


TABLE = [
    # calling, called, address, full, answer
    ("PACS", "NODE", "10.0.0.5", False, admitted("pacs")),
    ("PACS            ", "NODE            ", "10.0.0.5", False, admitted("pacs")),  # as the field is padded
    ("  PACS\0\0", " NODE ", "10.0.0.5", False, admitted("pacs")),  # outer spaces and nulls do not count
    ("PACS", "NODE", "fd00::5", False, admitted("pacs")),
    ("PACS", "NODE", "fd00::5%eth0", False, admitted("pacs")),
    ("PACS", "NODE", "::ffff:10.0.0.5", False, admitted("pacs")),  # IPv4 on a socket for both
    ("CT 1", "NODE", "10.0.1.77", False, admitted("ct")),  # inner spaces do count
    ("CT 1", "NODE", "10.0.0.9", False, admitted("ct")),
    ("ROAMING", "NODE", "192.0.2.1", False, admitted("roaming")),
    ("VIEWER", "NODE", "10.0.0.7", False, admitted("viewer", may_send=False)),
    # storage commitment reports: the title that was sent to, or a further one, from the addresses of the peer that reports
    ("ARCHIVE", "NODE", "10.0.2.1", False, admitted("archive", may_send=False, reports_for=("archive",))),
    ("ARCHIVE_SC", "NODE", "10.0.2.1", False, admitted("archive", may_send=False, calling="ARCHIVE_SC", reports_for=("archive",))),
    ("SECOND", "NODE", "10.0.2.2", False, admitted("second", reports_for=("second",))),
    ("GATE", "NODE", "10.0.2.1", False, admitted("gate", reports_for=("archive",))),  # a peer of its own, and a reporter
    ("GATE", "NODE", "10.0.2.2", False, admitted("second", may_send=False, calling="GATE", reports_for=("second",))),
    ("ARCHIVE_SC", "NODE", "10.0.2.2", False, Rejected(1, 1, 3)),  # a further title from a strange address
    ("SECOND_SC", "NODE", "10.0.2.2", False, Rejected(1, 1, 3)),  # a further title that is not configured
    ("ARCHIVE_SC", "NODE", "10.0.2.1", True, Rejected(2, 3, 2)),
    ("PACS", "node", "10.0.0.5", False, Rejected(1, 1, 7)),  # case counts
    ("PACS", "NODE2", "10.0.0.5", False, Rejected(1, 1, 7)),
    ("PACS", "", "10.0.0.5", False, Rejected(1, 1, 7)),
    ("pacs", "NODE", "10.0.0.5", False, Rejected(1, 1, 3)),
    ("", "NODE", "10.0.0.5", False, Rejected(1, 1, 3)),
    ("CT1", "NODE", "10.0.0.9", False, Rejected(1, 1, 3)),
    ("PA\\CS", "NODE", "10.0.0.5", False, Rejected(1, 1, 3)),
    ("PACS", "NODE", "10.0.0.6", False, Rejected(1, 1, 3)),  # a known title from a strange address
    ("CT 1", "NODE", "10.0.2.77", False, Rejected(1, 1, 3)),
    ("LOST", "NODE", "10.0.0.5", False, Rejected(1, 1, 3)),  # its host name has no address
    ("PACS", "NODE", "", False, Rejected(1, 1, 3)),
    ("PACS", "NODE", "10.0.0.5", True, Rejected(2, 3, 2)),
    ("pacs", "NODE", "10.0.0.5", True, Rejected(1, 1, 3)),  # a stranger does not learn that the node is busy
]


@pytest.mark.parametrize(("calling", "called", "address", "is_full", "answer"), TABLE)
def test_who_may_call(calling: str, called: str, address: str, is_full: bool, answer: Admitted | Rejected) -> None:
    call = Call(calling, called, address, is_full)
    assert judge(call, own_title=AETitle("NODE"), peers=PEERS, resolve=lambda host: ADDRESSES.get(host, ())) == answer


@pytest.mark.parametrize(
    ("address", "peer"),
    [("10.0.0.5", "pacs"), ("10.0.1.77", "ct"), ("10.0.2.1", None), ("192.0.2.1", None), ("", None)],
    ids=["host", "network", "two peers", "nobody", "none"],
)
def test_whose_address_it_is(address: str, peer: str | None) -> None:
    """Of whom its calls may come from anywhere, an address says nothing."""
    found = find_peer(address, peers=PEERS, resolve=lambda host: ADDRESSES.get(host, ()))
    assert found == (peer and PeerName(peer))
