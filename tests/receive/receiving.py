"""What the tests of receiving share: a running receiver over a real spool, receipts that are written to a file, small objects."""

import json
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicom_node.clock import SystemClock
from dicom_node.config import Config, NodeFile, Peer, ReceiverSection
from dicom_node.receive import Floors, Receiver
from dicom_node.spool import Spool
from dicom_node.values import AETitle, CommitmentReport, DeliveryState, PeerName, Receipt, TakenReport
from dicom_node.values.receipts import Known
from tests.peers.certificates import Authority, Pair, caller_context
from tests.peers.sender import CT_IMAGE, EXPLICIT_LITTLE, IMPLICIT_LITTLE, VERIFICATION, RawAssociation, connect


@dataclass(frozen=True)
class Security:
    """Who signed, and the certificates of both sides."""

    authority: Authority
    node: Pair
    modality: Pair

    @property
    def section(self) -> dict[str, object]:
        """[receiver.tls]"""
        return {"certificate": self.node.certificate, "key": self.node.key, "client_ca": self.authority.file}


is_fast = True  # which way the receivers take; `way` in conftest.py sets it
security: Security | None = None  # whether they use TLS, and with what; `line` sets it

CONTEXTS = ((CT_IMAGE, (EXPLICIT_LITTLE,)), (VERIFICATION, (IMPLICIT_LITTLE,)))


class FileReceipts:
    """Receipts as lines of a file: a whole implementation, as slow as a line and a flush."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a")
        self._lock = threading.Lock()
        self.known: dict[str, str] = {}
        self.receipts: list[Receipt] = []
        self.conflicts: list[Receipt] = []
        self.ended: list[str] = []
        self.broken: list[str] = []
        self.refusals: list[tuple[str, int, str]] = []
        self.started: list[str] = []

    def commit(self, receipt: Receipt) -> Known:
        with self._lock:
            first = self.known.setdefault(receipt.instance.sop_instance_uid, receipt.instance.digest)
            self._file.write(json.dumps([receipt.instance.sop_instance_uid, receipt.instance.digest]) + "\n")
            self._file.flush()
            if first != receipt.instance.digest:
                self.conflicts.append(receipt)
                return Known.CONFLICT
            if any(other.instance == receipt.instance for other in self.receipts):
                return Known.SAME
            self.receipts.append(receipt)
            return Known.NEW

    def association_ended(self, association: str, *, is_broken: bool) -> None:
        self.ended.append(association)
        if is_broken:
            self.broken.append(association)

    def receiver_started(self, prefix: str) -> None:
        self.started.append(prefix)

    def refused(self, calling: str, status: int, comment: str) -> None:
        self.refusals.append((calling, status, comment))

    def close(self) -> None:
        self._file.close()


class KnownTransactions:
    """Transactions that were asked of a peer, by their UID: a whole implementation, in memory. Reports are kept."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}  # the peer's name
        self.reports: list[CommitmentReport] = []
        self.breaks = False
        self.gate = threading.Event()  # clear: whoever reports has to wait
        self.gate.set()

    def report(self, report: CommitmentReport, peers: tuple[PeerName, ...]) -> TakenReport | None:
        self.gate.wait(10.0)
        if self.breaks:
            raise OSError
        peer = self.asked.get(report.transaction_uid)
        if peer is None or PeerName(peer) not in peers:
            return None
        self.reports.append(report)
        return TakenReport("k" * 64, PeerName(peer), tuple((one.sop_instance_uid, DeliveryState.CONFIRMED) for one in report.holdings))


class Events(logging.Handler):
    """The node's own log events."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.fields: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.names.append(record.getMessage())
        self.fields.append(record.__dict__["fields"])


@dataclass
class Running:
    """A receiver with what it writes into."""

    receiver: Receiver
    port: int
    spool_folder: Path
    spool: Spool
    receipts: FileReceipts
    events: Events
    commitments: "KnownTransactions"
    floors: Floors

    def associate(self, contexts: object = CONTEXTS, **options: object) -> RawAssociation:
        return RawAssociation(self.port, contexts, **{"tls": self._tls(), **options})  # type: ignore[arg-type]

    def connect(self, timeout_s: float = 20.0) -> socket.socket:
        return connect(self.port, timeout_s=timeout_s, tls=self._tls())

    @staticmethod
    def _tls() -> ssl.SSLContext | None:
        return caller_context(security.authority.file, security.modality) if security is not None else None

    def stored(self) -> dict[str, bytes]:
        """The bytes of each data set in the spool, by SOP Instance UID; what was set aside is under its digest."""
        found: dict[str, bytes] = {}
        for receipt in self.spool.list():
            with self.spool.open(receipt.instance) as file:
                uid = receipt.instance.sop_instance_uid
                found[receipt.instance.digest if uid in found else uid] = file.read()
        return found

    def parts(self) -> list[Path]:
        """Files that are neither whole nor removed."""
        return [path for path in self.spool_folder.rglob("*") if path.is_file() and path.suffix != ".dcm"]


PEERS = {
    "pacs": Peer(ae_title="PACS", host="127.0.0.1", port=104, may=("receive",), proof="commitment", commits_as=("PACS_SC",)),
    "modality": Peer(ae_title="MODALITY", host="127.0.0.1", port=104, may=("send",)),
    "viewer": Peer(ae_title="VIEWER", host="127.0.0.1", port=104, may=("receive",)),
}


@contextmanager
def receiving(folder: Path, *, peers: Mapping[str, Peer] = PEERS, waiting: int = 0, **section: object) -> Iterator[Running]:
    """A running receiver on a free loopback port; options are those of the configuration's section, `waiting` studies are open."""
    folder.mkdir(exist_ok=True)
    options = {"host": "127.0.0.1", "port": 0, "network_timeout_s": 20.0, "fast": is_fast, **section}
    if security is not None:
        options.setdefault("tls", security.section)
    config = Config(
        file=folder / "node.toml",
        node=NodeFile(ae_title="NODE", data=folder, models=(), receiver=ReceiverSection.model_validate(options)),
        peers=dict(peers),
        data=folder,
        models=(),
        database="",
    )
    spool, receipts, events = Spool(config.spool), FileReceipts(folder / "receipts"), Events()
    logger = logging.getLogger("dicom_node")
    logger.addHandler(events)
    logger.setLevel(logging.INFO)
    known = KnownTransactions()
    floors = Floors(config.node.receiver, spool, (folder,), lambda limit: min(waiting, limit))
    receiver = Receiver(config, spool, receipts, SystemClock(), commitments=known, floors=floors)
    try:
        yield Running(receiver, receiver.start(), config.spool, spool, receipts, events, known, floors)
    finally:
        receiver.stop(grace_s=2.0)
        receipts.close()
        logger.removeHandler(events)


def make_data_set(
    sop_instance_uid: str | None = "2.25.7",
    *,
    sop_class_uid: str | None = CT_IMAGE,
    series_instance_uid: str = "2.25.3",
    study_instance_uid: str = "2.25.2",
    pixels: bytes = b"\1\2" * 16,
    more: tuple[tuple[int, int, bytes, bytes], ...] = (),
) -> bytes:
    """A CT image of 4 x 4 pixels, explicit VR little endian; `more` are (group, element, VR, value), which replace or add."""
    elements = {
        (0x0008, 0x0016): (b"UI", (sop_class_uid or "").encode()),
        (0x0008, 0x0018): (b"UI", (sop_instance_uid or "").encode()),
        (0x0008, 0x0060): (b"CS", b"CT"),
        (0x0010, 0x0010): (b"PN", b"Phantom^Only"),
        (0x0010, 0x0020): (b"LO", b"P-1"),
        (0x0020, 0x000D): (b"UI", study_instance_uid.encode()),
        (0x0020, 0x000E): (b"UI", series_instance_uid.encode()),
        (0x0020, 0x0013): (b"IS", b"4"),
        (0x0020, 0x0032): (b"DS", b"-1\\2\\3.5"),
        (0x0020, 0x0037): (b"DS", b"1\\0\\0\\0\\1\\0"),
        (0x0028, 0x0002): (b"US", struct.pack("<H", 1)),
        (0x0028, 0x0004): (b"CS", b"MONOCHROME2"),
        (0x0028, 0x0010): (b"US", struct.pack("<H", 4)),
        (0x0028, 0x0011): (b"US", struct.pack("<H", 4)),
        (0x0028, 0x0030): (b"DS", b"0.7\\0.8"),
        (0x0028, 0x0100): (b"US", struct.pack("<H", 16)),
        (0x0028, 0x0101): (b"US", struct.pack("<H", 12)),
        (0x0028, 0x0103): (b"US", struct.pack("<H", 1)),
        (0x0028, 0x1052): (b"DS", b"0"),
        (0x0028, 0x1053): (b"DS", b"1"),
        (0x7FE0, 0x0010): (b"OW", pixels),
    }
    if sop_class_uid is None:
        del elements[0x0008, 0x0016]
    if sop_instance_uid is None:
        del elements[0x0008, 0x0018]
    elements.update({(group, number): (vr, value) for group, number, vr, value in more})
    return b"".join(encode_element(group, number, vr, value) for (group, number), (vr, value) in sorted(elements.items()))


def encode_element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """Explicit VR little endian, padded to an even length."""
    value += (b"\0" if vr in (b"UI", b"OB", b"UN") else b" ") * (len(value) % 2)
    is_long = vr in (b"OB", b"OW", b"UN", b"SQ", b"UT")
    return struct.pack("<HH2s", group, number, vr) + struct.pack("<2xI" if is_long else "<H", len(value)) + value


CALLING, CALLED = AETitle("MODALITY"), AETitle("NODE")
