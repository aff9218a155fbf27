"""An object that has arrived becomes an instance with a receipt: checked, durable, in the journal, and only then acknowledged."""

from dataclasses import dataclass
from typing import Protocol

from dicom_node.errors import (
    DataDiskFull,
    MemoryShort,
    NodeError,
    SpoolError,
    SpoolFull,
    TooManyOpenStudies,
    UnacceptableInstance,
)
from dicom_node.spool import Identity, Incoming
from dicom_node.values import AETitle, Receipt, StorePriority
from dicom_node.values.receipts import Known

# C-STORE status (PS3.4 table B.2-1, PS3.7 C). What a sender makes of them: A700 and 0110 try again, the others do not.
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
SOP_CLASS_NOT_SUPPORTED = 0x0122
OUT_OF_RESOURCES = 0xA700
CLASS_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000


class Receipts(Protocol):
    """The journal, as far as receiving needs it."""

    def commit(self, receipt: Receipt) -> Known:
        """Make a receipt durable; returns when it is."""

    def association_ended(self, association: str, *, is_broken: bool) -> None:
        """The association feeds no series any more; `is_broken` where it was cut off, so that its sender has more to send."""

    def receiver_started(self, prefix: str) -> None:
        """Associations whose name begins so are of a receiver that died."""

    def refused(self, calling: str, status: int, comment: str) -> None:
        """Count an instance that could not be filed."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends on an association; `association` is its name, unlike all others of the node."""

    association: str
    calling: AETitle
    called: AETitle
    address: str


@dataclass(slots=True)
class Arrival:
    """One C-STORE request: what its command says, and its data set on the way to the disk, or why there is none."""

    sop_class_uid: str
    sop_instance_uid: str
    abstract_syntax: str  # of the presentation context that it came on
    store_priority: StorePriority = StorePriority.MEDIUM
    moved_for: str = ""  # Move Originator (0000,1030): who asked for it by C-MOVE; empty where the sender does not say
    incoming: Incoming | None = None
    refusal: NodeError | None = None

    def refuse(self, error: NodeError) -> None:
        """What still comes is thrown away; the first refusal is the one that is answered."""
        self.drop()
        self.refusal = self.refusal or error

    def drop(self) -> None:
        if self.incoming is not None:
            self.incoming.drop()
            self.incoming = None


def give_receipt(arrival: Arrival, source: Source, receipts: Receipts) -> tuple[Receipt, Known]:
    """Check that the data set is what the command says, make it durable, and commit its receipt.

    Raises UnacceptableInstance, SpoolError, or what the journal raises; then nothing was acknowledged.
    """
    if arrival.refusal is not None:
        raise arrival.refusal
    assert arrival.incoming is not None
    if arrival.sop_class_uid != arrival.abstract_syntax:
        raise UnacceptableInstance(SOP_CLASS_NOT_SUPPORTED, "SOP class of the command is not that of its context")
    identity = arrival.incoming.read_identity()
    _compare(identity, arrival)
    instance = arrival.incoming.keep()
    receipt = Receipt(
        instance=instance,
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        calling=source.calling,
        called=source.called,
        association=source.association,
        store_priority=arrival.store_priority,
        was_there=arrival.incoming.was_there,
        is_asked_for=AETitle.parse(arrival.moved_for) == source.called if arrival.moved_for else None,
    )
    return receipt, receipts.commit(receipt)


def status_of(error: NodeError) -> tuple[int, str]:
    """Status and Error Comment (LO 64, without any value) of what went wrong."""
    match error:
        case UnacceptableInstance(status, comment):
            return status, comment[:64]
        case SpoolFull():
            return OUT_OF_RESOURCES, "disk above its high-water mark"
        case DataDiskFull():
            return OUT_OF_RESOURCES, "disk of results and journal above its high-water mark"
        case MemoryShort():
            return OUT_OF_RESOURCES, "memory above its high-water mark"
        case TooManyOpenStudies():
            return OUT_OF_RESOURCES, "too many studies wait for their analysis"
        case SpoolError():
            return OUT_OF_RESOURCES, "disk does not take the instance"
        case _:
            return PROCESSING_FAILURE, "cannot be stored now"


def _compare(identity: Identity, arrival: Arrival) -> None:
    """An instance is never filed under a guessed identity."""
    if identity.sop_class_uid != arrival.sop_class_uid:
        raise UnacceptableInstance(CLASS_MISMATCH, "SOP class of the data set is not that of the command")
    if identity.sop_instance_uid != arrival.sop_instance_uid:
        raise UnacceptableInstance(CANNOT_UNDERSTAND, "SOPInstanceUID of the data set is not that of the command")
