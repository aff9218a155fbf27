"""Two scans of one made patient: what moved, grew, came and went is known.

The outline of the lungs is that of `tests.make.chest`. A pair is made as results, without pixels: nodules as masks on the grid of each
scan, lungs as body maps. Each mask has an error of its edge, each scan misses nodules and marks some that are none, as a model does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from dicom_node.values import Analysed, BodyMap, CodedConcept, Finding, Form, FrameRef, Geometry, Laterality, Mask, Measurement, derive_uid
from tests.encode.results import CUBIC_MM, NODULE, PACKAGE, VOLUME
from tests.make.chest import lung_depth_mm

Points = npt.NDArray[np.float64]

# Where the lungs of the phantom lie (LPS millimetres), for places of nodules and for the box of a scan.
_LOW, _HIGH = np.array([-135.0, -92.0, -120.0]), np.array([135.0, 98.0, 130.0])
_TOP_MM, _HEIGHT_MM = 110.0, 200.0  # breathing moves nothing at the top, and all of its depth at the bottom
_LONG_AXIS, _MM = CodedConcept("103339001", "SCT", "Long Axis"), CodedConcept("mm", "UCUM", "millimeter")


@dataclass(frozen=True, slots=True)
class Motion:
    """From the prior scan to the current one: a turn round the patient's middle, a shift, and a breath that differs by so much.

    `breath_mm` is how far the lungs' bottom moves down (negative: up) and the chest's front forward by a fifth of it, less and less
    towards the top.
    """

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    breath_mm: float = 0.0

    def forward(self, lps: Points) -> Points:
        """Places of the prior in the current scan."""
        return np.asarray(self._turn().apply((lps + self._breath(lps)).reshape(-1, 3)).reshape(lps.shape) + np.array(self.shift_mm))

    def backward(self, lps: Points) -> Points:
        """Places of the current scan in the prior; the breath is undone by iteration, since it changes little from place to place."""
        still = self._turn().inv().apply((lps - np.array(self.shift_mm)).reshape(-1, 3)).reshape(lps.shape)
        found = still
        for _ in range(12):
            found = still - self._breath(found)
        return np.asarray(found)

    def _turn(self) -> Rotation:
        return Rotation.from_euler("xyz", self.turn_deg, degrees=True)

    def _breath(self, lps: Points) -> Points:
        deep = np.clip((_TOP_MM - lps[..., 2]) / _HEIGHT_MM, 0.0, 1.2) ** 1.5
        moved = np.zeros_like(lps)
        moved[..., 2] = -self.breath_mm * deep
        moved[..., 1] = -0.2 * self.breath_mm * deep * np.clip((40.0 - lps[..., 1]) / 120.0, 0.0, 1.0)
        return moved


@dataclass(frozen=True, slots=True)
class Nodule:
    """A nodule as it is in both scans: its place in the prior, diameters in millimetres (None: it is not there)."""

    centre_lps: tuple[float, float, float]
    before_mm: float | None
    now_mm: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two results, and which findings are truly one: (index of the current, index of the prior, true ratio of their volumes)."""

    current: Analysed
    prior: Analysed
    same: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """How a scan is made: its grid, which part of the lungs it shows (0: all; 0.3: without the lowest 30 %), what the model does wrong."""

    spacing_mm: tuple[float, float, float] = (1.25, 0.7, 0.7)
    cut_share: float = 0.0
    edge_mm: float = 0.15  # deviation of a mask's radius
    miss_share: float = 0.1
    false_count: int = 1
    has_body_map: bool = True


def make_nodules(numbers: np.random.Generator, count: int) -> tuple[Nodule, ...]:
    """Nodules anywhere in the lungs, of 4 to 16 mm: of ten about six are in both scans, half of these changed, two new, two gone."""
    nodules = []
    for centre in find_places(numbers, count, depth_mm=5.0, apart_mm=14.0):
        before_mm = float(numbers.uniform(4.0, 16.0))
        growth = float(numbers.choice([1.0, 1.0, 1.0, 1.5, 2.5, 0.5]))  # of the volume
        fate = numbers.uniform()
        now_mm = float(before_mm * np.cbrt(growth))
        nodules.append(Nodule(centre, None if fate < 0.2 else before_mm, None if fate > 0.8 else now_mm))
    return tuple(nodules)


def find_places(numbers: np.random.Generator, count: int, depth_mm: float, apart_mm: float) -> list[tuple[float, float, float]]:
    """Places so deep in a lung, and so far apart."""
    places: list[Points] = []
    while len(places) < count:
        place = numbers.uniform(_LOW, _HIGH)
        is_deep = lung_depth_mm(*(np.array([value], dtype=np.float32) for value in place))[0] > depth_mm
        if is_deep and all(np.linalg.norm(place - other) > apart_mm for other in places):
            places.append(place)
    return [(float(x), float(y), float(z)) for x, y, z in places]


def make_pair(
    seed: int,
    motion: Motion,
    *,
    nodules: Sequence[Nodule] | None = None,
    count: int = 8,
    prior: Scan | None = None,
    current: Scan | None = None,
) -> Pair:
    """The two results of one seed; the order of the findings tells nothing."""
    numbers = np.random.default_rng(seed)
    planted = make_nodules(numbers, count) if nodules is None else nodules
    still = Motion()
    then, then_truth = _make_result(numbers, planted, [one.before_mm for one in planted], still, prior or Scan(), "prior")
    now, now_truth = _make_result(numbers, planted, [one.now_mm for one in planted], motion, current or Scan(), "current")
    same = []
    for index, nodule in enumerate(now_truth):
        if nodule is not None and nodule in then_truth:
            one = planted[nodule]
            assert one.now_mm is not None
            assert one.before_mm is not None
            same.append((index, then_truth.index(nodule), (one.now_mm / one.before_mm) ** 3))
    return Pair(now, then, tuple(same))


def _make_result(
    numbers: np.random.Generator, planted: Sequence[Nodule], diameters: Sequence[float | None], motion: Motion, scan: Scan, name: str
) -> tuple[Analysed, list[int | None]]:
    """A result, and which nodule each of its findings is; None where it is no nodule at all."""
    geometry = _make_geometry(numbers, motion, scan, name)
    places = [
        (motion.forward(np.array(one.centre_lps)), one.centre_lps, mm, index)
        for index, (one, mm) in enumerate(zip(planted, diameters, strict=True))
        if mm
    ]
    marked = [(at, home, mm, index) for at, home, mm, index in places if numbers.uniform() >= scan.miss_share]
    false = find_places(numbers, scan.false_count, depth_mm=5.0, apart_mm=14.0)
    drawn: list[tuple[Points, tuple[float, float, float], float, int | None]] = [*marked]
    drawn += [(motion.forward(np.array(home)), home, float(numbers.uniform(4.0, 8.0)), None) for home in false]
    order = numbers.permutation(len(drawn))
    findings, truth = [], []
    for at, home, mm, index in (drawn[number] for number in order):
        radius = mm / 2 + float(numbers.normal(0.0, scan.edge_mm))
        mask = draw_ball(at, radius, geometry)
        if mask is not None:
            findings.append(
                _finding(len(findings) + 1, name, mask, geometry, Laterality.RIGHT if home[0] < 0 else Laterality.LEFT, 2 * radius)
            )
            truth.append(index)
    result = Analysed(
        key=name,
        study_instance_uid=derive_uid("study", name),
        series_instance_uid=derive_uid("series", name),
        package=PACKAGE,
        geometry=geometry,
        looked_for=(NODULE,),
        findings=tuple(findings),
        threshold=None,
        reservations=(),
        stages=(),
        body_map=_make_body_map(numbers, motion, geometry) if scan.has_body_map else None,
    )
    return result, truth


def _make_geometry(numbers: np.random.Generator, motion: Motion, scan: Scan, name: str) -> Geometry:
    """An axial scan round the moved lungs, slices from the feet to the head; it begins at a place of its own."""
    corners = np.stack(np.meshgrid(*zip(_LOW, _HIGH, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)
    moved = motion.forward(corners.astype(np.float64))
    low, high = moved.min(axis=0) - 20.0 - numbers.uniform(0, 5, 3), moved.max(axis=0) + 20.0
    if scan.cut_share:
        low[2] += 20.0 + scan.cut_share * (_HIGH[2] - _LOW[2])
    slices_mm, rows_mm, columns_mm = scan.spacing_mm
    x, y, z = ((high - low) / np.array([columns_mm, rows_mm, slices_mm])).astype(int)
    return Geometry(
        form=Form.CLASSIC,
        frames=tuple(FrameRef(derive_uid(name, str(number)), 1) for number in range(z)),
        shape=(int(z), int(y), int(x)),
        spacing_mm=scan.spacing_mm,
        slice_thickness_mm=slices_mm,
        lps_from_index=(
            (0.0, 0.0, columns_mm, float(low[0])),
            (0.0, rows_mm, 0.0, float(low[1])),
            (slices_mm, 0.0, 0.0, float(low[2])),
            (0.0, 0.0, 0.0, 1.0),
        ),
        frame_of_reference_uid=derive_uid("frame", name),
    )


def draw_ball(centre: Points, radius_mm: float, geometry: Geometry) -> Mask | None:
    """The voxels of a ball, or None where the scan does not show its centre, or no voxel lies in it."""
    matrix = np.array(geometry.lps_from_index)
    index = (np.linalg.inv(matrix) @ [*centre, 1.0])[:3]
    if np.any(index < 0) or np.any(index > np.array(geometry.shape) - 1):
        return None
    reach = radius_mm / np.array(geometry.spacing_mm)
    low = np.maximum(np.floor(index - reach).astype(int), 0)
    high = np.minimum(np.ceil(index + reach).astype(int) + 1, geometry.shape)
    grid = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), axis=-1)
    voxels = np.linalg.norm((grid - index) * np.array(geometry.spacing_mm), axis=-1) <= radius_mm
    return Mask((int(low[0]), int(low[1]), int(low[2])), voxels) if voxels.any() else None


def _finding(number: int, name: str, mask: Mask, geometry: Geometry, side: Laterality, long_mm: float) -> Finding:
    matrix = np.array(geometry.lps_from_index)
    index = np.argwhere(mask.voxels).mean(axis=0) + mask.origin
    x, y, z = matrix[:3, :3] @ index + matrix[:3, 3]
    volume = float(mask.voxels.sum()) * float(np.prod(geometry.spacing_mm))
    return Finding(
        number=number,
        tracking_identifier=f"{PACKAGE.name} {number}",
        tracking_uid=derive_uid(name, "tracking", str(number)),
        label="Nodule",
        category=NODULE,
        type=NODULE,
        site=None,
        laterality=side,
        mask=mask,
        centre_lps=(float(x), float(y), float(z)),
        measurements=(Measurement(VOLUME, round(volume, 1), CUBIC_MM, 1), Measurement(_LONG_AXIS, round(long_mm, 1), _MM, 1)),
        score=None,
        colour_rgb=(255, 80, 60),
    )


def _make_body_map(numbers: np.random.Generator, motion: Motion, geometry: Geometry) -> BodyMap:
    """The lungs at every n-th voxel of the scan's grid, the surface uneven by a millimetre."""
    steps = [max(1, round(6.0 / mm)) for mm in geometry.spacing_mm]
    matrix = np.array(geometry.lps_from_index) @ np.diag([*steps, 1.0])
    shape = [-(-extent // step) for extent, step in zip(geometry.shape, steps, strict=True)]
    index = np.stack(np.meshgrid(*[np.arange(extent) for extent in shape], indexing="ij"), axis=-1)
    home = motion.backward(index @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)
    depth = lung_depth_mm(*(np.ascontiguousarray(home[..., axis]) for axis in range(3))) + numbers.normal(0, 1.0, index.shape[:3])
    labels = np.where(depth > 0, np.where(home[..., 0] < 0, 1, 2), 0).astype(np.uint8)
    return BodyMap(labels, tuple(tuple(float(value) for value in row) for row in matrix))  # type: ignore[misc]
