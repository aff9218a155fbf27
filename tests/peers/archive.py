"""A small archive that stands in for a PACS: C-ECHO, C-STORE, C-FIND, C-MOVE, C-GET and storage commitment.

Objects lie as Part 10 files in one folder, with the data set's bytes as they came, and leave it again with the same bytes.
Every C-STORE, stored or not, is a line in `record.jsonl` beside them, so that what is lost or doubled is counted from outside.
A test says what it answers: see `Answers`. Run alone: `python -m tests.peers.archive --folder F --peer NODE=AET:HOST:PORT`.
"""

import argparse
import collections
import hashlib
import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from pynetdicom.transport import AssociationServer

from dicom_node.deliver.checkpoint import guard

from .query import answer_query, match_all
from .waiting import wait_until

TRANSFER_SYNTAXES = tuple(dict.fromkeys((ExplicitVRLittleEndian, *AllTransferSyntaxes)))  # in order of preference; it decodes no pixel
SUCCESS, PENDING, CANCELLED, PROCESSING_FAILURE, NO_SUCH_INSTANCE = 0x0000, 0xFF00, 0xFE00, 0x0110, 0x0112

# A data set that is sent from its file goes out as it lies there (pynetdicom has no other switch for this than a global one).
_config.STORE_SEND_CHUNKED_DATASET = True


@dataclass
class Answers:
    """What a test wants the archive to answer; nothing set: an archive that does all it can.

    `stores` holds statuses per SOP class, used up in order, then 0x0000. `reject` is (result, source, reason) for every
    association. What is in `dropped` is answered with success and not kept. `is_silent`: no C-STORE is answered before the end.
    `counts` False: the optional keys with numbers of instances do not come back. `lists` False: nothing is found yet, as where
    an archive files first and lists later.

    `commits_here`: a commitment report comes on the association that asked, else on one of the archive's own, which it opens as
    `commits_as` and on which it proposes itself as provider where `commits_role` says so. `commits_when`: "after" the response,
    "before" it, "late" (when `report_late` is called) or "never". It comes `commits_times` times. `commit_failures` holds Failure
    Reasons per SOP class, used up in order, 0 for none. `action_status` is the answer to the request.
    """

    stores: dict[str, list[int]] = field(default_factory=dict)
    reject: tuple[int, int, int] | None = None
    dropped: set[str] = field(default_factory=set)
    is_silent: bool = False
    counts: bool = True
    lists: bool = True
    find_status: int = SUCCESS
    commits_here: bool = False
    commits_when: Literal["after", "before", "late", "never"] = "after"
    commits_times: int = 1
    commits_as: str = ""
    commits_role: bool = True
    commit_failures: dict[str, list[int]] = field(default_factory=dict)
    action_status: int = SUCCESS


@dataclass(frozen=True)
class Stored:
    """A C-STORE that was answered."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling: str
    status: int
    digest: str  # SHA-256 over the data set's bytes


@dataclass(frozen=True)
class Destination:
    """Where a peer of this AE title listens."""

    ae_title: str
    host: str
    port: int


class Archive:
    """The archive, running between `start` and `stop`, or as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "PACS",
        port: int = 0,
        peers: Iterable[Destination] = (),
        pdu_bytes: int = 131_072,
        classes: Sequence[str] | None = None,
        transfer_syntaxes: Sequence[str] = TRANSFER_SYNTAXES,
        commits: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.port = port
        self.peers = {peer.ae_title: peer for peer in peers}
        self.answers = Answers()
        self.record: list[Stored] = []  # every C-STORE of this run, in order
        self.largest_pdu_bytes = 0
        self.commitments: list[tuple[str, int, int]] = []  # (transaction UID, instances committed, failed)
        self.commitment_statuses: list[int | None] = []  # what was answered to each report; None where nothing was
        self._tls = tls
        self._late: list[tuple[Dataset, Destination | None]] = []
        self._headers: dict[str, Dataset] = {}
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._server: AssociationServer | None = None
        self._ae = _Entity(ae_title)
        self._ae.maximum_pdu_size = pdu_bytes
        self._ae.maximum_associations = 50
        self._ae.network_timeout = 60
        storage = classes if classes is not None else [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
        for sop_class in storage:
            self._ae.add_supported_context(sop_class, list(transfer_syntaxes), scu_role=True, scp_role=True)  # roles for C-GET
        for sop_class in _SERVICES:
            self._ae.add_supported_context(sop_class, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
        if commits:
            self._ae.add_supported_context(StorageCommitmentPushModel, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])

    # -- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> "Archive":
        """Read what lies in the folder and listen; `port` is the real one from then on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.glob("*.dcm")):
            self._index(path)
        handlers = [
            (evt.EVT_CONN_OPEN, _no_delay),
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_ESTABLISHED, _send_files_as_they_are),
            (evt.EVT_DATA_RECV, self._on_bytes),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_C_MOVE, self._on_move),
            (evt.EVT_C_GET, self._on_get),
            (evt.EVT_N_ACTION, self._on_commitment),
        ]
        server = self._ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=self._tls)
        assert server is not None
        self._server = server
        self.port = server.socket.getsockname()[1]
        return self

    def stop(self) -> None:
        self._stopping.set()
        # the library aborts what is open, and raises where a rejected caller has not closed its connection yet
        wait_until(lambda: not any(one.is_rejected for one in self._ae.active_associations), limit_s=10, what="rejected callers stay")
        self._ae.shutdown()

    def __enter__(self) -> "Archive":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add_class(self, sop_class: str) -> None:
        """Take objects of one more class, from the next association on."""
        self._ae.add_supported_context(sop_class, list(TRANSFER_SYNTAXES), scu_role=True, scp_role=True)
        assert self._server is not None
        self._server.contexts = self._ae.supported_contexts

    # -- what a test asks --------------------------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """The objects that it holds."""
        return sorted(self.folder.glob("*.dcm"))

    def stores_of(self, sop_instance_uid: str) -> list[Stored]:
        """Every C-STORE of an instance, in order."""
        return [stored for stored in self.record if stored.sop_instance_uid == sop_instance_uid]

    def wait_for(self, condition: Callable[["Archive"], bool], limit_s: float) -> bool:
        """Wait until the condition holds, looked at after every C-STORE and commitment; whether it did."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), limit_s)

    # -- what it answers ---------------------------------------------------------------------------------------------

    def _on_requested(self, event: Event) -> None:
        guard(event.assoc)  # reports of commitment go out from a thread of their own
        if self.answers.reject is not None and event.assoc.is_acceptor:
            event.assoc.acse.send_reject(*self.answers.reject)
            event.assoc.is_rejected = True
            event.assoc.kill()  # returns when the rejection has gone out

    def _on_bytes(self, event: Event) -> None:
        self.largest_pdu_bytes = max(self.largest_pdu_bytes, len(event.data) - 6)  # as PS3.8 D.1 counts

    def _on_store(self, event: Event) -> int:
        if self.answers.is_silent:
            self._stopping.wait()
        sop_class, instance = str(event.request.AffectedSOPClassUID), str(event.request.AffectedSOPInstanceUID)
        statuses = self.answers.stores.get(sop_class, [])
        status = statuses.pop(0) if statuses else SUCCESS
        is_kept = (status == SUCCESS or status >> 12 == 0xB) and sop_class not in self.answers.dropped
        if is_kept:
            _write(self.folder / f"{instance}.dcm", event.encoded_dataset())
            self._index(self.folder / f"{instance}.dcm")
        digest = hashlib.sha256(event.request.DataSet.getvalue()).hexdigest()
        self._note(Stored(instance, sop_class, str(event.context.transfer_syntax), event.assoc.requestor.ae_title, status, digest))
        return status

    def _note(self, stored: Stored) -> None:
        with self._changed:
            self.record.append(stored)
            with (self.folder / "record.jsonl").open("a") as lines:
                lines.write(json.dumps(stored.__dict__) + "\n")
            self._changed.notify_all()

    def _on_find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        if self.answers.find_status != SUCCESS:
            yield self.answers.find_status, None
            return
        if not self.answers.lists:
            return
        for answer in answer_query(event.identifier, list(self._headers.values()), ae_title=self.ae_title, counts=self.answers.counts):
            if event.is_cancelled:
                yield CANCELLED, None
                return
            yield PENDING, answer

    def _on_move(self, event: Event) -> Iterator[Any]:
        peer = self.peers.get(str(event.move_destination).strip())
        if peer is None:
            yield None, None
            return
        wanted = self._wanted(event.identifier)
        yield peer.host, peer.port, {"contexts": self._contexts(wanted)}
        yield from self._sub_operations(event, wanted)

    def _on_get(self, event: Event) -> Iterator[Any]:
        yield from self._sub_operations(event, self._wanted(event.identifier))

    def _wanted(self, identifier: Dataset) -> list[Dataset]:
        return match_all(identifier, list(self._headers.values()))

    def _sub_operations(self, event: Event, wanted: list[Dataset]) -> Iterator[Any]:
        yield len(wanted)
        for header in wanted:
            if event.is_cancelled:
                yield CANCELLED, None
                return
            yield PENDING, _Outgoing(self.folder / f"{header.SOPInstanceUID}.dcm", header)

    def _contexts(self, wanted: list[Dataset]) -> list[PresentationContext]:
        """One context per class and transfer syntax that is to be sent, so that the peer can take each as it is."""
        pairs = dict.fromkeys((str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)) for header in wanted)
        pairs.update(
            dict.fromkeys((sop_class, ImplicitVRLittleEndian) for sop_class, syntax in list(pairs) if syntax == ExplicitVRLittleEndian)
        )
        return [build_context(sop_class, syntax) for sop_class, syntax in list(pairs)[:128]]

    def _on_commitment(self, event: Event) -> tuple[int, Dataset | None]:
        """Answer at once, report afterwards (PS3.4 J.3)."""
        request, when = event.action_information, self.answers.commits_when
        requestor = event.assoc.requestor
        peer = self.peers.get(requestor.ae_title)
        if self.answers.action_status != SUCCESS:
            return self.answers.action_status, None
        if peer is None and not self.answers.commits_here:
            return PROCESSING_FAILURE, None
        if when == "before":
            self._report(request, event.assoc, peer)
        elif when == "after":
            threading.Thread(target=self._report, args=(request, event.assoc, peer), daemon=True).start()
        with self._changed:
            self._late.append((request, peer))
            self._changed.notify_all()
        return SUCCESS, None

    def report_late(self) -> None:
        """Report, on associations of its own, on everything that it was asked so far."""
        for request, peer in list(self._late):
            self._report(request, None, peer)

    @property
    def asked(self) -> int:
        """How often it was asked for commitment."""
        return len(self._late)

    def _report(self, request: Dataset, association: Association | None, peer: Destination | None) -> None:
        for _ in range(self.answers.commits_times):
            self._report_once(request, association, peer)

    def _report_once(self, request: Dataset, association: Association | None, peer: Destination | None) -> None:
        held, missing = [], []
        for item in request.ReferencedSOPSequence:
            known = self._headers.get(str(item.ReferencedSOPInstanceUID))
            reasons = self.answers.commit_failures.get(str(item.ReferencedSOPClassUID))
            reason = reasons.pop(0) if reasons else 0
            if reason:
                missing.append(_failed(item, reason))
            elif known is None:
                missing.append(_failed(item, NO_SUCH_INSTANCE))
            elif known.SOPClassUID != item.ReferencedSOPClassUID:
                missing.append(_failed(item, 0x0119))
            else:
                held.append(item)
        information = Dataset()
        information.TransactionUID = request.TransactionUID
        information.ReferencedSOPSequence = held
        if missing:
            information.FailedSOPSequence = missing
        kind = 2 if missing else 1
        status = None
        if association is None or not self.answers.commits_here:
            assert peer is not None
            roles = [build_role(StorageCommitmentPushModel, scp_role=True)] if self.answers.commits_role else []
            entity = _Entity(self.answers.commits_as or self.ae_title)
            own = entity.associate(peer.host, peer.port, [build_context(StorageCommitmentPushModel)], peer.ae_title, ext_neg=roles)
            if own.is_established:
                status = _send_report(own, information, kind)
                own.release()
        else:
            status = _send_report(association, information, kind)
        with self._changed:
            self.commitments.append((str(request.TransactionUID), len(held), len(missing)))
            self.commitment_statuses.append(status)
            self._changed.notify_all()

    def _index(self, path: Path) -> None:
        header = dcmread(path, stop_before_pixels=True)
        self._headers[str(header.SOPInstanceUID)] = header


_SERVICES = (
    Verification,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelGet,
)


class _Entity(AE):
    """Associations to others that send files as they lie on disk."""

    def __init__(self, ae_title: str) -> None:
        super().__init__(ae_title)
        self.connection_timeout = 10

    def associate(self, *args: Any, **kwargs: Any) -> Association:
        handlers = [(evt.EVT_CONN_OPEN, _no_delay), (evt.EVT_ESTABLISHED, _send_files_as_they_are)]
        return guard(super().associate(*args, **{"evt_handlers": handlers, **kwargs}))


class _Outgoing(Dataset):
    """A stand-in for an object on its way out, which knows its file; pynetdicom wants a data set."""

    def __init__(self, path: Path, header: Dataset) -> None:
        super().__init__()
        self.SOPInstanceUID = header.SOPInstanceUID
        self.path = path


def _no_delay(event: Event) -> None:
    connection = event.assoc.dul.socket.socket
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _send_files_as_they_are(event: Event) -> None:
    """C-MOVE and C-GET of pynetdicom decode and encode again; send the bytes of the file where the peer takes its transfer syntax."""
    association, send = event.assoc, event.assoc.send_c_store

    def send_c_store(dataset: Dataset, **options: Any) -> Dataset:
        if not isinstance(dataset, _Outgoing):
            return send(dataset, **options)
        try:
            return send(dataset.path, **options)
        except ValueError:  # no context for its transfer syntax: convert, which works for uncompressed ones
            return send(dcmread(dataset.path), **options)

    association.send_c_store = send_c_store


def _send_report(association: Association, information: Dataset, kind: int) -> int | None:
    answer, _ = association.send_n_event_report(information, kind, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    return int(answer.Status) if "Status" in answer else None


def _failed(item: Dataset, reason: int) -> Dataset:
    failed = Dataset()
    failed.ReferencedSOPClassUID = item.ReferencedSOPClassUID
    failed.ReferencedSOPInstanceUID = item.ReferencedSOPInstanceUID
    failed.FailureReason = reason
    return failed


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(f".{threading.get_ident()}.part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def digest_of_data_set(path: Path) -> str:
    """SHA-256 over the data set of a Part 10 file: the bytes after the meta group, whose length (0002,0000) says."""
    content = path.read_bytes()
    if content[128:132] != b"DICM":
        raise ValueError("not a Part 10 file")
    group_length = int.from_bytes(content[140:144], "little")
    return hashlib.sha256(memoryview(content)[144 + group_length :]).hexdigest()


def read_record(folder: Path) -> collections.Counter[str]:
    """How often each instance was acknowledged as stored, from the record of an archive that runs elsewhere."""
    counts: collections.Counter[str] = collections.Counter()
    for line in (folder / "record.jsonl").read_text().splitlines() if (folder / "record.jsonl").exists() else ():
        stored = json.loads(line)
        if stored["status"] == SUCCESS or stored["status"] >> 12 == 0xB:
            counts[stored["sop_instance_uid"]] += 1
    return counts


def _parse_peer(text: str) -> Destination:
    _, _, place = text.rpartition("=")
    ae_title, host, port = place.split(":")
    return Destination(ae_title, host, int(port))


def main() -> None:
    """Run until SIGTERM or SIGINT; a line of JSON says when it listens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--aet", default="PACS")
    parser.add_argument("--peer", type=_parse_peer, action="append", default=[], metavar="NAME=AET:HOST:PORT")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Archive(options.folder, ae_title=options.aet, port=options.port, peers=options.peer) as archive:
        print(json.dumps({"ae_title": archive.ae_title, "port": archive.port, "pid": os.getpid()}), flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
