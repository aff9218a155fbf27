"""The answers of all packages to one study."""

from dataclasses import dataclass

from .geometry import Geometry
from .reasons import Reason
from .series import SeriesHeaders


@dataclass(frozen=True, slots=True)
class AssembledSeries:
    """A complete series and what assembly made of it: its volumes, or the reasons why there is none; at least one entry."""

    headers: SeriesHeaders
    volumes: tuple[Geometry | Reason, ...]


@dataclass(frozen=True, slots=True)
class FailedCondition:
    """A condition of a package that a series does not meet: what was asked of which attribute, and what was there.

    `found` is a technical value (a spacing, a modality, a count), never one of the patient.
    """

    subject: str
    wanted: str
    found: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A package takes volume number `volume` (index into `AssembledSeries.volumes`) of a series.

    `rank` orders the accepted volumes of a study, the smallest is preferred; `chosen` says whether it is among the
    `series_per_study` best; `because` are the package's preferences with the values found, for people.
    """

    package: str
    series_instance_uid: str
    volume: int
    rank: tuple[float, ...]
    chosen: bool
    because: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A package does not take a volume: the conditions that failed, or the reason: there is no volume, or the package is
    out of service."""

    package: str
    series_instance_uid: str
    volume: int
    failed: tuple[FailedCondition, ...] = ()
    reason: Reason | None = None


Answer = Accepted | Refused
