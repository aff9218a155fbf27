"""DICOM objects that the node made, and their way to a destination."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Role(StrEnum):
    """What an object is for; part of the name that its UID is derived from, and of its series number (new ones at the end)."""

    SEGMENTATION = "segmentation"
    REPORT = "report"
    REGIONS = "regions"  # a report whose findings are outlines on single images
    CAPTURE = "capture"
    PAGE = "page"
    KEY_IMAGES = "key-images"
    OUTLINES = "outlines"
    REJECTION = "rejection"  # says of earlier objects that they are not to be used any more
    CONTOURS = "contours"
    SCORES = "scores"


class ObjectKind(StrEnum):
    """In which form an object is written, as the configuration names it (`encode.kinds` has the SOP class of each)."""

    SEGMENTATION = "segmentation"
    LABEL_MAP = "labelmap"
    REPORT_3D = "report-3d"
    REPORT_COMPREHENSIVE = "report-comprehensive"
    REPORT_ENHANCED = "report-enhanced"
    REPORT_TEXT = "report-text"
    MAMMOGRAPHY_CAD = "mammography-cad"
    REGIONS = "regions"
    CAPTURE = "capture"
    PAGE = "page"
    KEY_IMAGES = "key-images"
    OUTLINES = "outlines"
    CONTOURS = "contours"
    SCORES = "scores"
    REJECTION = "rejection"  # never configured: it is made of what was sent


@dataclass(frozen=True, slots=True)
class ReportRef:
    """An object that was made earlier and sent to a destination, as a report or a rejection note names it."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class DicomObject:
    """A whole Part 10 file, in memory, made from one result: the same result and profile give the same bytes."""

    role: Role
    kind: ObjectKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    content: bytes


class DeliveryState(StrEnum):
    """Where one object stands on its way to one destination."""

    QUEUED = "queued"
    SENT = "sent"  # acknowledged with 0x0000 or a warning; final where the destination is not asked for a proof
    CONFIRMED = "confirmed"  # committed by the destination, or found there
    REFUSED = "refused"  # a status, or a reason in the commitment, that says: never
    GIVEN_UP = "given-up"  # tried as often as configured, or cancelled by a person
    REPLACED = "replaced"  # never sent: the destination does not take its class, or that of what it names, and gets others instead


class Proof(StrEnum):
    """How a destination shows that it holds what it acknowledged."""

    COMMITMENT = "commitment"  # storage commitment (PS3.4 annex J)
    FIND = "find"  # C-FIND at IMAGE level
    NONE = "none"  # it is not asked: the acknowledgement is all there is
    MISSING = "missing"  # it was asked as often as configured and did not say: a person has to look


class Provider(StrEnum):
    """What runs the networks: an execution provider of ONNX Runtime."""

    CPU = "cpu"
    OPENVINO = "openvino"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class Priority(IntEnum):
    """Whose jobs go first: the lower number."""

    STAT = 10
    ROUTINE = 20
    RESEARCH = 30


class StorePriority(StrEnum):
    """Priority of a C-STORE request (0000,0700), PS3.7 9.3.1.1."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @staticmethod
    def of(number: int | None) -> "StorePriority":
        """The priority of the command's number; medium where it is absent or none of the three."""
        return {1: StorePriority.HIGH, 2: StorePriority.LOW}.get(number or 0, StorePriority.MEDIUM)

    def more_urgent(self, other: "StorePriority") -> "StorePriority":
        """The more urgent of two."""
        order = tuple(StorePriority)
        return min(self, other, key=order.index)
