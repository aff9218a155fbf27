"""What came out: the one value from which all DICOM objects are made."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from .change import Change, Comparison, PriorRef
from .geometry import Affine, Geometry
from .instance import CodedConcept
from .objects import ReportRef
from .reasons import Reason


class Laterality(StrEnum):
    """Side of the body, as the patient has it."""

    LEFT = "L"
    RIGHT = "R"


@dataclass(frozen=True, slots=True)
class PackageRef:
    """Which model: name and version as its manifest says, the digest of all its files, and the Device UID derived from them.

    `product` says whether the maker declares it PRODUCT; else its results are RESEARCH. What an `is_shadow` one gives is sent to nobody.
    """

    name: str
    version: str
    digest: str
    device_uid: str
    title: str
    manufacturer: str
    product: bool
    is_shadow: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A region of the source grid: the True voxels of `voxels`, whose first voxel lies at index `origin` (slice, row, column).

    `voxels` is bool, (slices, rows, columns), as small as the region allows, read-only.
    """

    origin: tuple[int, int, int]
    voxels: npt.NDArray[np.bool_]

    @property
    def largest_slice(self) -> int:
        """The slice of the grid on which the region has most pixels; the middle one of several."""
        areas = np.count_nonzero(self.voxels, axis=(1, 2))
        best = np.flatnonzero(areas == areas.max())
        return int(self.origin[0] + best[len(best) // 2])

    def on_slice(self, index: int) -> npt.NDArray[np.bool_]:
        """The region's pixels on a slice of the grid, (rows, columns) from the origin on; all False where it is not on that slice."""
        own = index - self.origin[0]
        return self.voxels[own] if 0 <= own < len(self.voxels) else np.zeros(self.voxels.shape[1:], dtype=bool)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured value with its UCUM unit; `value` is already rounded to `digits` decimals, on purpose."""

    concept: CodedConcept
    value: float
    unit: CodedConcept
    digits: int
    derivation: CodedConcept | None = None
    method: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the model marks, with its mask on the source grid.

    `number` counts from 1 and is the Segment Number; `tracking_uid` is derived from the result's key. `centre_lps` is the
    centroid in millimetres. A `score` lies between 0 and 1 and is no probability unless the package says so. `change` is set where
    the result was compared with an earlier one.
    """

    number: int
    tracking_identifier: str
    tracking_uid: str
    label: str
    category: CodedConcept
    type: CodedConcept
    site: CodedConcept | None
    laterality: Laterality | None
    mask: Mask
    centre_lps: tuple[float, float, float]
    measurements: tuple[Measurement, ...]
    score: float | None
    colour_rgb: tuple[int, int, int]
    change: Change | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BodyMap:
    """A coarse label map (right 1, left 2) of what tells the sides of the body, such as the lungs: a later scan is laid over it.

    `labels` is uint8, (slices, rows, columns), read-only; `lps_from_index` maps its (slice, row, column, 1) to LPS millimetres.
    """

    labels: npt.NDArray[np.uint8]
    lps_from_index: Affine


class Reservation(StrEnum):
    """What a reader must know about a result that was made all the same."""

    COMPLETENESS_NOT_PROVEN = "completeness-not-proven"
    LOSSY_SOURCE = "lossy-source"
    FRAME_OF_REFERENCE_PER_SLICE = "frame-of-reference-per-slice"
    NO_FRAME_OF_REFERENCE = "no-frame-of-reference"
    CANDIDATES_CAPPED = "candidates-capped"


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage of the package took and gave, for `status`, the demo's table and the record of the result."""

    name: str
    kind: str
    seconds: float
    given: tuple[tuple[str, float], ...] = ()  # such as ("candidates", 312.0)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One slice of the source grid as a person would look at it, since whoever draws on it has no pixels of the source.

    `pixels` is uint8, (rows, columns), read-only: 0 up to the lower end of the window, 255 from its upper end, 0 where there is padding.
    A pixel is the mean of a square of `reduced_by` by `reduced_by` pixels of the grid; those beyond the last whole square are left out.
    `window_centre` and `window_width` are in modality units.
    """

    slice_index: int
    pixels: npt.NDArray[np.uint8]
    window_centre: float
    window_width: float
    reduced_by: int = 1


SCORE_STEPS = 65535  # a score is written as so many parts of 1


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMap:
    """The score, between 0 and 1, that the stage of this name gave each voxel that its network saw: for people who work on models.

    `scores` is uint16, (slices, rows, columns), read-only, in 65535ths. They lie on the network's own grid, as far as it lies within the
    source's, with its axes in the order and the sense of the source's; `lps_from_index` maps (slice, row, column, 1) to LPS millimetres.
    """

    stage: str
    scores: npt.NDArray[np.uint16]
    lps_from_index: Affine


@dataclass(frozen=True, slots=True)
class PatientDigests:
    """Whose study it is, by digests that only who has the site's secret can make, and its day (DA). None: absent in the header.

    `patient_digest` is of issuer and Patient ID; the others are of birth date and family name, which say whether that is plausible.
    """

    patient_digest: str
    birth_digest: str | None
    family_digest: str | None
    study_date: str


@dataclass(frozen=True, slots=True)
class ResultIdentity:
    """What a result is known by: the digest of all that decides it, and the key of the result that it replaces.

    `patient` and `prior` are None where findings are not followed over time, or cannot be. `prior_key` is that of the result that it is,
    or was, compared with; it stays when that has left.
    """

    key: str
    predecessor_key: str | None
    patient: PatientDigests | None = None
    prior: PriorRef | None = None
    prior_key: str | None = None


@dataclass(frozen=True, slots=True)
class Analysed:
    """The model ran. No findings means: it looked and found nothing of what it looks for, which is not *normal*.

    `looked_for` names what the package can find. `threshold` is the operating point that the findings passed, or None. `pictures` show
    the slices on which the first findings are largest; results that were kept by older versions have none. `body_map` is None where
    no stage tells the sides, `comparison` where there was no prior, `scores` where nobody wanted them or no stage gives any.
    """

    key: str
    study_instance_uid: str
    series_instance_uid: str
    package: PackageRef
    geometry: Geometry
    looked_for: tuple[CodedConcept, ...]
    findings: tuple[Finding, ...]
    threshold: float | None
    reservations: tuple[Reservation, ...]
    stages: tuple[Stage, ...]
    predecessor_key: str | None = None
    pictures: tuple[Picture, ...] = ()
    body_map: BodyMap | None = None
    comparison: Comparison | None = None
    scores: ScoreMap | None = None


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """A result that there was of the same before, and when it was made (seconds since the epoch)."""

    key: str
    made_at: float


@dataclass(frozen=True, slots=True)
class NotAnalysed:
    """The model gave no answer, and why. Never to be read as *nothing found*.

    `earlier` is the result that the package had given before, which stands or does not fit any more: nobody has looked.
    """

    key: str
    study_instance_uid: str
    series_instance_uid: str
    package: PackageRef | None
    reason: Reason
    stages: tuple[Stage, ...] = ()
    earlier: EarlierResult | None = None


@dataclass(frozen=True, slots=True)
class WithdrawnAt:
    """The objects of a withdrawn result that a destination holds, or may hold, as they were on their way when it was withdrawn."""

    destination: str
    objects: tuple[ReportRef, ...]


@dataclass(frozen=True, slots=True)
class Withdrawn(NotAnalysed):
    """There is no result any more: a person has withdrawn it. Told in the same forms as that there never was one, in other words.

    `reason` is a Withdrawal. `predecessor_key` is that of the result, `withdrawn_keys` those of all that are withdrawn with it: what it
    had replaced, and what said that nothing was analysed. `places`: where objects of these are.
    """

    predecessor_key: str | None = None
    withdrawn_keys: tuple[str, ...] = ()
    places: tuple[WithdrawnAt, ...] = ()

    def objects_at(self, destination: str) -> tuple[ReportRef, ...]:
        """What a destination has of it."""
        return next((place.objects for place in self.places if place.destination == destination), ())


Result = Analysed | NotAnalysed
