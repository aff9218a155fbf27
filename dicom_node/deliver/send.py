"""One result's objects to one destination: one association, the given order, every status read."""

import queue
import threading
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import split_dataset
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.clock import SystemClock
from dicom_node.config import DeliverSection, Peer
from dicom_node.errors import NoPresentationContext, PeerError, PeerUnreachable
from dicom_node.values import PeerName

from .association import Line, associate, paused
from .statuses import SOP_CLASS_NOT_SUPPORTED, Outcome, outcome_of

LARGEST_PDU_BYTES = 131_072  # also where the peer sets no limit (maximum length 0, PS3.8 D.1)
SMALLEST_PDU_BYTES = 8  # 6 of them are the header of a presentation data value
MOST_CONTEXTS = 128  # of an association: their numbers are odd and fit into a byte (PS3.8 9.3.2.2)
QUEUED_PDUS = 16  # handed to the network before any of them has left

_DEFLATE_LEVEL = 1  # most of a segmentation is zeros, which the fastest level finds as well
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one object. `status` is the peer's answer, None where there was none.

    `error` says why there was none: PeerUnreachable (the association broke) or NoPresentationContext (the peer does not take
    the class). Where `status` and `error` are both None it was not its turn: an object before it has to be
    tried again, or the peer does not take one of the classes.
    """

    file: Path
    sop_class_uid: str
    sop_instance_uid: str
    outcome: Outcome
    status: int | None = None
    error: PeerError | None = None

    @property
    def is_class_refused(self) -> bool:
        """Whether the peer does not take any object of this class."""
        return isinstance(self.error, NoPresentationContext) or self.status == SOP_CLASS_NOT_SUPPORTED


@dataclass(frozen=True, slots=True)
class Answers:
    """What became of each object, in the order given, and which of the proposed SOP classes the peer accepts and does not accept."""

    sent: tuple[Sent, ...]
    accepted: frozenset[str] = frozenset()
    not_accepted: frozenset[str] = frozenset()

    @property
    def refused(self) -> dict[str, int | None]:
        """The classes of objects that the peer does not take, with the status that says so, None where it accepted no context."""
        return {one.sop_class_uid: one.status for one in self.sent if one.is_class_refused}

    @property
    def stored(self) -> frozenset[str]:
        """The classes of which it took an object."""
        return frozenset(one.sop_class_uid for one in self.sent if one.outcome in (Outcome.DONE, Outcome.WARNED))


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """An object on its way: its names from the meta group, and where its data set begins."""

    file: Path
    offset: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def send(
    files: Sequence[Path],
    *,
    destination: PeerName,
    peer: Peer,
    our_title: str,
    limits: DeliverSection,
    also: Collection[str] = (),
) -> Answers:
    """Send Part 10 files in their order over one association; one `Sent` for each of them, in the same order.

    The data set's bytes go out as they lie on disk; only where a peer takes implicit VR alone is an explicit one encoded anew. A peer
    that is configured so gets them deflated, if it accepts that (PS3.5 A.5). The SOP classes of `also` are proposed beside those of the
    files, to learn whether they are accepted, as far as an association has room.

    Where the peer accepts no context for one of the files, none is sent: a report must not name a segmentation that the peer does not
    take. An object that has to be tried again, or whose class is refused by its status (0122), holds back those after it for the same
    reason; one that is refused for good for another one does not. Raises PeerUnreachable or AssociationRejected where no association
    came about: then nothing was sent. A line that breaks later is the `error` of its object, so that what was acknowledged before
    stays known.

    Source: PS3.4 annex B.
    """
    outgoing = [_read_outgoing(file) for file in files]
    sent: list[Sent] = []
    contexts = _find_contexts(outgoing, also, may_deflate=peer.deflate)
    with associate(Line(destination, peer, our_title, limits), contexts) as association:
        accepted = _find_accepted(association)
        lacking = {one.sop_class_uid for one in outgoing if _find_way(one, accepted) is None}
        flow = _Flow(association, limits.response_timeout_s)
        for number, one in enumerate(outgoing):
            if one.sop_class_uid in lacking:
                sent.append(_said_of(one, Outcome.NEVER, error=NoPresentationContext(destination, one.sop_class_uid)))
            elif lacking or any(_holds_back(earlier) for earlier in sent):
                sent.append(_said_of(one, Outcome.RETRY_LATER))
            else:
                sent.append(_send_one(one, number + 1, accepted, flow, destination))
    classes = {sop_class for sop_class, _ in accepted} - lacking
    proposed = {str(context.abstract_syntax) for context in contexts}
    return Answers(tuple(sent), frozenset(classes), frozenset(proposed - classes))


def _read_outgoing(file: Path) -> _Outgoing:
    meta, offset = split_dataset(file)
    return _Outgoing(file, offset, str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID))


def _find_contexts(outgoing: Sequence[_Outgoing], also: Collection[str], *, may_deflate: bool) -> list[PresentationContext]:
    """One context for each class and transfer syntax of the files, then what explicit VR can be converted to, then the other classes.

    They are apart, so that the peer cannot choose implicit VR where it takes the bytes as they are.
    """
    own = dict.fromkeys((one.sop_class_uid, one.transfer_syntax_uid) for one in outgoing)
    others = [ImplicitVRLittleEndian, *([DeflatedExplicitVRLittleEndian] if may_deflate else [])]
    converted = [(sop_class, str(other)) for other in others for sop_class, syntax in own if syntax == ExplicitVRLittleEndian]
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in dict.fromkeys([*own, *converted])]
    here = {sop_class for sop_class, _ in own}
    asked = [build_context(one, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]) for one in dict.fromkeys(also) if one not in here]
    return [*contexts, *asked][:MOST_CONTEXTS]


_Accepted = Mapping[tuple[str, str], int]  # the number of a context by SOP class and transfer syntax


def _find_accepted(association: Association) -> _Accepted:
    return {
        (str(context.abstract_syntax), str(context.transfer_syntax[0])): int(context.context_id or 0)
        for context in association.accepted_contexts
    }


def _find_way(one: _Outgoing, accepted: _Accepted) -> str | None:
    """The transfer syntax in which an object goes out: deflated where that was accepted, as it is, or in implicit VR; None for none."""
    is_explicit = one.transfer_syntax_uid == ExplicitVRLittleEndian
    converted = (str(DeflatedExplicitVRLittleEndian), None, str(ImplicitVRLittleEndian)) if is_explicit else (None,)
    ways = [syntax or one.transfer_syntax_uid for syntax in converted]
    return next((syntax for syntax in ways if (one.sop_class_uid, syntax) in accepted), None)


def _holds_back(earlier: Sent) -> bool:
    return earlier.outcome in (Outcome.RETRY_LATER, Outcome.RETRY_FEW) or earlier.is_class_refused


def _said_of(one: _Outgoing, outcome: Outcome, status: int | None = None, error: PeerError | None = None) -> Sent:
    return Sent(one.file, one.sop_class_uid, one.sop_instance_uid, outcome, status, error)


def _send_one(one: _Outgoing, message_id: int, accepted: _Accepted, flow: "_Flow", destination: PeerName) -> Sent:
    way = _find_way(one, accepted)
    assert way is not None  # else nothing is sent at all
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = one.sop_class_uid
    request.AffectedSOPInstanceUID = one.sop_instance_uid
    request.Priority = 2  # low, as results are not what a person waits for at the console
    if way == one.transfer_syntax_uid:
        request._dataset_path = (one.file, one.offset)
    elif way == DeflatedExplicitVRLittleEndian:
        request.DataSet = BytesIO(_deflate(one))
    else:
        request.DataSet = BytesIO(_to_implicit(one.file))
    status = flow.store(request, accepted[one.sop_class_uid, way])
    if status is None:
        return _said_of(one, Outcome.RETRY_LATER, error=PeerUnreachable(destination))
    return _said_of(one, outcome_of(status), status)


def _deflate(one: _Outgoing) -> bytes:
    """The data set after RFC 1951, padded to an even length; only what is deflated is held.

    Source: PS3.5 A.5.
    """
    deflater, parts = zlib.compressobj(_DEFLATE_LEVEL, wbits=-zlib.MAX_WBITS), list[bytes]()
    with one.file.open("rb") as file:
        file.seek(one.offset)
        while chunk := file.read(_CHUNK_BYTES):
            parts.append(deflater.compress(chunk))
    deflated = b"".join([*parts, deflater.flush()])
    return deflated + b"\0" * (len(deflated) % 2)


def _to_implicit(file: Path) -> bytes:
    dataset = dcmread(file)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


class _Flow:
    """Sends one C-STORE after the other and sees that the line moves.

    pynetdicom's own `send_c_store` puts a whole object into its queue, in one PDU where the peer sets no limit, and counts the
    time for the answer from then on: a large object on a slow line would run out of it while it is being sent. Here the limit
    holds for each step: a PDU that leaves, and then the answer.
    """

    def __init__(self, association: Association, limit_s: float) -> None:
        self._association = association
        self._limit_s = limit_s
        self._moved = threading.Condition()
        self._left = 0
        self._is_open = True
        association.bind(evt.EVT_DATA_SENT, self._on_left)
        association.bind(evt.EVT_CONN_CLOSE, self._on_left)
        association.bind(evt.EVT_ABORTED, self._on_left)

    def store(self, request: C_STORE, context_id: int) -> int | None:
        """The status of the answer, or None where none came: the association is ended then."""
        if not (self._association.is_established and self._is_open):
            return None
        with paused(self._association):
            status = self._wait_for_answer(request) if self._put(request, context_id) else None
        if status is None:
            self._association.abort()
        return status

    def _wait_for_answer(self, request: C_STORE) -> int | None:
        """The status of the answer to this request, at most `limit_s` from now; one to another request, or for another object, is passed
        over: some peers answer twice (PS3.7 9.1.1.1.2 and 9.1.1.1.4)."""
        clock = SystemClock()
        end = clock.monotonic() + self._limit_s
        while (left_s := end - clock.monotonic()) > 0:
            try:
                answer = self._association.dimse.msg_queue.get(timeout=left_s)[1]
            except queue.Empty:
                return None
            if not isinstance(answer, C_STORE) or not answer.is_valid_response or answer.Status is None:
                return None
            is_named = (answer.AffectedSOPInstanceUID or request.AffectedSOPInstanceUID) == request.AffectedSOPInstanceUID
            if answer.MessageIDBeingRespondedTo == request.MessageID and is_named:
                return int(answer.Status)
        return None

    def _put(self, request: C_STORE, context_id: int) -> bool:
        message = C_STORE_RQ()
        message.primitive_to_message(request)
        limit = self._association.acceptor.maximum_length or LARGEST_PDU_BYTES
        with self._moved:
            self._left = 0
        put = 0
        for pdata in message.encode_msg(context_id, max(SMALLEST_PDU_BYTES, min(limit, LARGEST_PDU_BYTES))):
            self._association.dul.send_pdu(pdata)
            put += 1
            if not self._wait(put - QUEUED_PDUS):
                return False
        return self._wait(put)

    def _wait(self, count: int) -> bool:
        """Wait until so many PDUs have left, at most `limit_s` for each; False where the line stands still or is closed."""
        with self._moved:
            while self._left < count:
                if not self._is_open or not self._moved.wait(self._limit_s):
                    return False
        return True

    def _on_left(self, event: evt.Event) -> None:
        with self._moved:
            if event.event == evt.EVT_DATA_SENT:
                self._left += 1
            else:
                self._is_open = False
            self._moved.notify_all()
