"""The vocabulary of the node: frozen values, no behaviour that reaches outside."""

from .geometry import Affine, Form, FrameRef, Geometry, Volume
from .holding import CommitmentReport, Held, Holding, TakenReport, held_of
from .instance import DIMENSION_KEYWORDS, CodedConcept, FrameHeaders, InstanceHeaders, InstanceRef, Receipt
from .keys import AETitle, Key, PackageName, PeerName, SourceLine, derive_digest, derive_key, derive_uid
from .objects import DeliveryState, DicomObject, ObjectKind, Priority, Proof, Provider, ReportRef, Role, StorePriority
from .reasons import Reason
from .result import (
    Analysed,
    Finding,
    Laterality,
    Mask,
    Measurement,
    NotAnalysed,
    PackageRef,
    Picture,
    Reservation,
    Result,
    ResultIdentity,
    Stage,
)
from .selection import Accepted, Answer, AssembledSeries, FailedCondition, Refused
from .series import CompletenessRule, SeriesHeaders, StoredSeries
from .tuning import Trial

__all__ = [
    "DIMENSION_KEYWORDS",
    "AETitle",
    "Accepted",
    "Affine",
    "Analysed",
    "Answer",
    "AssembledSeries",
    "CodedConcept",
    "CommitmentReport",
    "CompletenessRule",
    "DeliveryState",
    "Priority",
    "Proof",
    "Provider",
    "StorePriority",
    "DicomObject",
    "FailedCondition",
    "Finding",
    "Form",
    "FrameHeaders",
    "FrameRef",
    "Geometry",
    "Held",
    "Holding",
    "InstanceHeaders",
    "InstanceRef",
    "Key",
    "Laterality",
    "Mask",
    "Measurement",
    "ObjectKind",
    "NotAnalysed",
    "PackageName",
    "PackageRef",
    "PeerName",
    "Picture",
    "SourceLine",
    "Reason",
    "Receipt",
    "Refused",
    "ReportRef",
    "Reservation",
    "Result",
    "ResultIdentity",
    "Role",
    "SeriesHeaders",
    "Stage",
    "StoredSeries",
    "TakenReport",
    "Trial",
    "Volume",
    "derive_digest",
    "derive_key",
    "derive_uid",
    "held_of",
]
