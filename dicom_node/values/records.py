"""What is kept beside results, so that a journal can be made again from the disk alone."""

from dataclasses import dataclass

from .objects import ObjectKind, Role
from .result import Analysed, Result, ResultIdentity, Withdrawn
from .selection import Accepted


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """The row of a result: which one it is, of what, and under which name its value is kept. `findings` None: not analysed."""

    key: str
    study_instance_uid: str
    series_instance_uid: str
    volume: int
    package: str
    version: str
    predecessor: str | None
    findings: int | None
    kept: str
    made_at: float
    patient_digest: str | None = None
    birth_digest: str | None = None
    family_digest: str | None = None
    study_date: str | None = None
    prior: str | None = None

    @staticmethod
    def of(choice: Accepted, result: Result, kept: str, made_at: float, identity: ResultIdentity | None = None) -> "ResultRecord":
        """The record of what a choice led to; with its identity it is found as the prior of a later study."""
        patient = None if identity is None else identity.patient
        return ResultRecord(
            key=result.key,
            study_instance_uid=result.study_instance_uid,
            series_instance_uid=result.series_instance_uid,
            volume=choice.volume,
            package=choice.package,
            version="" if result.package is None else result.package.version,
            predecessor=result.predecessor_key if isinstance(result, Analysed | Withdrawn) else None,
            findings=len(result.findings) if isinstance(result, Analysed) else None,
            kept=kept,
            made_at=made_at,
            patient_digest=None if patient is None else patient.patient_digest,
            birth_digest=None if patient is None else patient.birth_digest,
            family_digest=None if patient is None else patient.family_digest,
            study_date=None if patient is None else patient.study_date,
            prior=None if identity is None else identity.prior_key,
        )

    @property
    def identity(self) -> tuple[str, ...]:
        """What it is about; a later record of the same takes its place."""
        return ("result", self.key)


@dataclass(frozen=True, slots=True)
class SentObject:
    """One object of a delivery; `number` is its place in the order, `file` the name under which its bytes are kept.

    `instead_of`: in place of which kinds it is sent, since the destination does not take them, or the result cannot be written so.
    `is_replaced`: others are sent in its own.
    """

    number: int
    role: Role
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    file: str
    instead_of: tuple[ObjectKind, ...] = ()
    is_replaced: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """What of a result was made for a destination."""

    result_key: str
    destination: str
    objects: tuple[SentObject, ...]

    @property
    def identity(self) -> tuple[str, ...]:
        """What it is about; a later record of the same takes its place."""
        return ("delivery", self.result_key, self.destination)


@dataclass(frozen=True, slots=True)
class FetchedRecord:
    """The series of a study that the node had sent to itself as a prior: what is made of them alone is sent to nobody."""

    study_instance_uid: str
    series_instance_uids: tuple[str, ...]

    @property
    def identity(self) -> tuple[str, ...]:
        """What it is about; a later record of the same takes its place."""
        return ("fetched", self.study_instance_uid)


Record = ResultRecord | DeliveryRecord | FetchedRecord
