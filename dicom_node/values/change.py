"""What has become of findings since an earlier study of the same patient."""

from dataclasses import dataclass
from enum import StrEnum

from .geometry import Affine
from .objects import ReportRef


class ChangeCategory(StrEnum):
    """What can be said of one finding; the values are the names of sentences in `texts/` behind `change-`."""

    NEW = "new"  # the prior scan shows its place, and the algorithm marked nothing there
    UNCHANGED = "unchanged"  # within the error of the measurement
    GROWN = "grown"
    SHRUNK = "shrunk"
    GONE = "gone"  # of the prior's: this scan shows its place, and the algorithm marks nothing there
    NOT_COMPARED = "not-compared"  # the other scan does not show its place, or the two could not be laid over each other well enough


class RegistrationMethod(StrEnum):
    """What a registration was found by."""

    BODY_MAP = "body-map"  # surfaces of the lungs, or of what else the two body maps hold
    FINDINGS = "findings"  # pairs of findings that agree
    COORDINATES = "coordinates"  # nothing agreed: the patient's coordinates were taken as they are


@dataclass(frozen=True, slots=True)
class Registration:
    """Where places of the prior scan lie in the current one.

    `current_from_prior` maps LPS millimetres (x, y, z, 1) to LPS millimetres. `error_mm` is how far off a place may be, as estimated
    from what did not fit (about nine of ten are nearer); `support` counts surface points or findings that it rests on.
    """

    method: RegistrationMethod
    current_from_prior: Affine
    error_mm: float
    support: int


class SearchEnd(StrEnum):
    """How a search for a prior came to its end."""

    UNWANTED = "unwanted"  # no package follows what it finds in the series, or nobody could say whose it is
    NONE = "none"  # no PACS knows an earlier study of the person with images of the kind
    HERE = "here"  # the newest one has been analysed here already
    FETCHED = "fetched"  # it was sent to the node, and analysed
    UNSUITABLE = "unsuitable"  # what was sent to the node led to no result
    LATE = "late"  # the limit came first; what still comes is there for the next time
    FAILED = "failed"  # the PACS did not answer, or refused: `error` says how


@dataclass(frozen=True, slots=True)
class PriorRef:
    """The result that another one was compared with: of which study and series, from which day (DA), by which version of the package,
    the report of it that was sent, and the images (SOP class, SOP instance) that it was made from."""

    study_instance_uid: str
    series_instance_uid: str
    study_date: str
    result_key: str
    report: ReportRef | None = None
    version: str = ""
    images: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What has become of one finding; what there is nothing to say of is None.

    `prior_number` is that of the prior's finding, `distance_mm` how far from it this one lies once the scans are laid over each
    other. Volumes are of the masks. `limit_percent`: a change below it is taken for the error of the measurement.
    """

    category: ChangeCategory
    prior_number: int | None = None
    distance_mm: float | None = None
    volume_mm3: float | None = None
    prior_volume_mm3: float | None = None
    volume_change_percent: float | None = None
    limit_percent: float | None = None
    long_axis_change_mm: float | None = None
    doubling_time_days: int | None = None

    @property
    def volume_change_mm3(self) -> float | None:
        """Current less prior."""
        if self.volume_mm3 is None or self.prior_volume_mm3 is None:
            return None
        return round(self.volume_mm3 - self.prior_volume_mm3, 1)


@dataclass(frozen=True, slots=True)
class PriorFinding:
    """A finding of the prior that has no counterpart, by the names it had there: gone, or not compared."""

    number: int
    tracking_identifier: str
    tracking_uid: str
    change: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    """A result against an earlier one. The change of each finding stands on the finding; here is what holds for all.

    `days` lie between the studies; `limit_mm` is the longest distance at which two findings were taken for one, and `is_certain` says
    whether the scans fit well enough to say anything of single findings: where they do not, none is matched, new or gone.
    """

    prior: PriorRef
    days: int
    registration: Registration
    limit_mm: float
    is_certain: bool
    unmatched: tuple[PriorFinding, ...]
