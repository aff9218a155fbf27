"""The few kinds of stages that a package is a list of. Data only: what each does is written in `infer/`.

A stage names itself and, where it needs one, the earlier stage it works on. Lengths are millimetres, axes are those of the
patient: `plane = "axial"` is a standard axial picture (rows to posterior, columns to the patient's left).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Extent = Annotated[int, Field(ge=1)]  # in voxels
Finite = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
# Axis codes of the patient for (slice, row, column), such as "SPL".
Orientation = Annotated[str, Field(pattern=r"^[LRAPSI]{3}$")]
ORIENTATIONS = "one letter of each pair L R, A P, S I"
AXIS_OF = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}  # the LPS axis that a code runs along; L, P and S grow with it


class Part(BaseModel):
    """Base of everything in a manifest: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def spans_the_patient(orientation: str) -> bool:
    """Whether the three axis codes are of three axes."""
    return len({AXIS_OF[letter] for letter in orientation}) == 3


class Intensity(Part):
    """Values of the volume (HU for CT) before a network: clipped, then scaled, in this order.

    `to-unit` maps the clip range to 0..1; `z-score` subtracts the mean and divides by the standard deviation of the whole
    resampled image; `affine` computes (value - subtract) / divide; `none` leaves the clipped value.
    """

    clip: tuple[float, float] | None = None
    scale: Literal["to-unit", "z-score", "affine", "none"] = "none"
    subtract: float = 0.0
    divide: Positive = 1.0


class Input(Part):
    """The grid that a network wants: axis codes of the patient for (slice, row, column), such as "SPL", and spacing in mm.

    `SPL` means: slice index grows to superior, row index to posterior, column index to the patient's left.
    `spacing_mm` None keeps the source's own spacing. `size` pads or crops (centred) to a fixed number of voxels.
    """

    orientation: Orientation = "SPL"
    spacing_mm: tuple[Positive, Positive, Positive] | None = None
    size: tuple[int, int, int] | None = None


class Skip(Part):
    """Which windows are not run: those in which every value, as the network would see it (after `intensity`), is below `below`.

    Such a window counts as one in which the network answered `outside`, one value for each of its channels before `activation`,
    everywhere; it is averaged with its neighbours as any other.
    """

    below: Finite
    outside: Annotated[tuple[Finite, ...], Field(min_length=1)]


class Window(Part):
    """A sliding window over the resampled volume; `overlap` is the fraction shared with the neighbour, per axis.

    `places` even: spread evenly, as nnU-Net does, so that no two share more than others; step: a step apart, the last one moved back
    to the end, as MONAI does. Where the step fits the volume they are the same, and as many are run either way.
    """

    size: tuple[Extent, Extent, Extent]
    overlap: Annotated[float, Field(ge=0, lt=0.95)] = 0.25
    weights: Literal["gaussian", "constant"] = "gaussian"
    places: Literal["even", "step"] = "even"
    batch: Annotated[int, Field(ge=1, le=64)] = 1
    skip: Skip | None = None


class Limits(Part):
    """What a stage may find without the package declaring itself not made for these images."""

    lowest_ml: float = 0.0
    highest_ml: float = 1e9


class NetworkSegment(Part):
    """A network over the volume gives a label map: (N, C, slices, rows, columns) in, (N, K, ...) out.

    `activation` argmax: the strongest of K channels is the label (0 is background); sigmoid: each channel is a mask of its own
    above `threshold`, label = channel + 1. `slice_wise` runs a two-dimensional network (N, C, rows, columns) on each slice.
    `keep_largest` keeps that many connected components per label; smaller than `smallest_ml` is dropped.
    """

    kind: Literal["segment"]
    by: Literal["network"]
    name: Name
    model: str
    input: Input = Input()
    intensity: Intensity = Intensity()
    window: Window | None = None
    slice_wise: bool = False
    activation: Literal["argmax", "sigmoid"] = "argmax"
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    keep_largest: int | None = None
    smallest_ml: float = 0.0
    limits: Limits | None = None


class ThresholdSegment(Part):
    """Air-filled lungs in the manner of the field: what is below `below`, not connected to the border of the picture.

    The `keep_largest` largest such regions (each at least `smallest_ml`), trachea-like thin parts opened away by nothing,
    closed by `closing_mm`, holes filled per slice. Two regions or one that joins both sides become labels 1 (patient's right)
    and 2 (left), split at the midline where they touch.
    """

    kind: Literal["segment"]
    by: Literal["threshold"]
    name: Name
    below: float
    spacing_mm: Positive = 2.0
    keep_largest: Annotated[int, Field(ge=1, le=10)] = 2
    smallest_ml: float = 100.0
    closing_mm: float = 10.0
    limits: Limits | None = None


class BlobDetect(Part):
    """Candidates: local maxima of the scale-normalised Laplacian of Gaussian inside an earlier stage's mask, and, as a second
    source, connected bright regions in the closed mask with their holes filled (`regions_above`), of a size within `region_mm`.
    """

    kind: Literal["detect"]
    by: Literal["blobs"]
    name: Name
    inside: Name
    spacing_mm: Positive = 2.0
    intensity: Intensity = Intensity()
    sigmas_mm: tuple[Positive, ...]
    least_response: float
    regions_above: float | None = None
    region_mm: tuple[Positive, Positive] = (4.0, 40.0)
    merge_mm: Positive = 5.0
    at_most: Annotated[int, Field(ge=1, le=5000)] = 1000


class HeatMapDetect(Part):
    """Candidates: local maxima above `threshold` of one output channel of a network over the volume."""

    kind: Literal["detect"]
    by: Literal["heat-map"]
    name: Name
    model: str
    inside: Name | None = None
    input: Input = Input()
    intensity: Intensity = Intensity()
    window: Window | None = None
    channel: int = 0
    activation: Literal["sigmoid", "none"] = "sigmoid"
    threshold: float
    merge_mm: Positive = 5.0
    at_most: Annotated[int, Field(ge=1, le=5000)] = 1000


class NetworkClassify(Part):
    """A network looks at a patch round each candidate and gives a logit; sigmoid((logit + bias) / temperature) is the score.

    The patch is sampled by trilinear interpolation at the candidate's centre in the patient's `plane`, (rows, columns) =
    `size` pixels of `spacing_mm`; channels are parallel planes at `channel_offsets_mm` along the plane's normal. The mean of
    the logits over `rotations` quarter turns and `average_offsets_mm` is taken. Candidates with a score of at least `threshold` pass;
    passing ones closer than `merge_mm` are one, the highest score wins.
    """

    kind: Literal["classify"]
    by: Literal["network"]
    name: Name
    model: str
    of: Name
    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    size: tuple[int, int]
    spacing_mm: tuple[Positive, Positive]
    channel_offsets_mm: tuple[float, ...] = (0.0,)
    average_offsets_mm: tuple[float, ...] = (0.0,)
    rotations: Literal[1, 2, 4] = 1
    intensity: Intensity = Intensity()
    temperature: Positive = 1.0
    bias: float = 0.0
    threshold: Annotated[float, Field(ge=0, le=1)]
    merge_mm: Positive = 8.0
    batch: Annotated[int, Field(ge=1, le=1024)] = 64


class GrowthSegment(Part):
    """The outline of each candidate: the connected region above the value half-way (`fraction`) between the candidate's own
    and its surroundings', within `radius_mm` and inside the `inside` stage's mask, on the source grid.
    """

    kind: Literal["segment"]
    by: Literal["growth"]
    name: Name
    of: Name
    inside: Name
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    radius_mm: Positive = 25.0
    smallest_mm3: float = 15.0


class Measure(Part):
    """Measurements of each region of a stage, on the source grid, in millimetres."""

    kind: Literal["measure"]
    by: Literal["mask"] = "mask"
    name: Name
    of: Name
    measurements: tuple[Literal["volume", "long-axis", "short-axis", "mean"], ...]


Stage = NetworkSegment | ThresholdSegment | BlobDetect | HeatMapDetect | NetworkClassify | GrowthSegment | Measure
