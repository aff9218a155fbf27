"""DICOM objects that the node made, and their way to a destination."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What an object is for; part of the name that its UID is derived from."""

    SEGMENTATION = "segmentation"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class ReportRef:
    """A report that was made earlier and sent to a destination, as another report names it."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class DicomObject:
    """A whole Part 10 file, in memory, made from one result: the same result and profile give the same bytes."""

    role: Role
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    content: bytes


class DeliveryState(StrEnum):
    """Where one object stands on its way to one destination."""

    QUEUED = "queued"
    SENT = "sent"  # acknowledged with 0x0000 or a warning
    REFUSED = "refused"  # a status that says: never
    GIVEN_UP = "given-up"  # tried as often as configured
