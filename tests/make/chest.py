"""A chest whose nodules are known: Hounsfield units at any place of the patient.

Nothing here is a real person. The thorax is drawn from smooth shapes in LPS millimetres (x to the left, y to the back, z to the
head; the origin lies in the middle of the thorax), vessels grow as trees from the hila, noise is a block that repeats. The same
seed gives the same chest on every machine.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

Array = npt.NDArray[np.float32]
Point = tuple[float, float, float]
Sample = Callable[[npt.NDArray[np.floating]], Array]

EDGE_MM = 0.7  # half width of the soft edge that stands for partial volume

AIR, FAT, MUSCLE, SOFT, BLOOD, LIVER, LUNG, AIRWAY = -1000.0, -95.0, 55.0, 35.0, 60.0, 85.0, -860.0, -990.0
CORTEX, MARROW, SKIN = 650.0, 220.0, 20.0


@dataclass(frozen=True, slots=True)
class Nodule:
    """A planted nodule: a ball whose surface is a little uneven, `diameter_mm` is its mean diameter."""

    centre_lps: Point
    diameter_mm: float
    side: str  # "left" or "right" of the patient
    hu: float


# All lie in the lungs of every seed: the seed changes vessels and noise, not the outline. The last one lies at the pleura.
PLANTED = (
    Nodule((-78.0, -28.0, 42.0), 12.0, "right", 35.0),
    Nodule((-88.0, 34.0, -30.0), 18.0, "right", 45.0),
    Nodule((74.0, 22.0, 60.0), 8.0, "left", 30.0),
    Nodule((117.0, 14.0, 5.0), 14.0, "left", 40.0),
)


def chest(seed: int = 1, nodules: Sequence[Nodule] = PLANTED) -> tuple[Sample, tuple[Nodule, ...]]:
    """The chest as a function of place, and what was planted.

    `sample` takes LPS millimetres of shape (..., 3) and gives Hounsfield units as float32 of shape (...); it is pure, and the
    value of a place does not depend on the others that are asked for.
    """
    numbers = np.random.default_rng(seed)
    vessels = _Vessels(numbers, nodules)
    noise = _Noise(numbers)

    def sample(lps: npt.NDArray[np.floating]) -> Array:
        points = np.asarray(lps, dtype=np.float32)
        x, y, z = (np.ascontiguousarray(points[..., axis]).reshape(-1) for axis in range(3))
        hu = np.empty(x.shape, dtype=np.float32)
        for start in range(0, x.size, _CHUNK):  # pieces that fit the cache
            part = slice(start, start + _CHUNK)
            hu[part] = _tissue(x[part], y[part], z[part], vessels, noise, nodules)
        return hu.reshape(points.shape[:-1])

    return sample, tuple(nodules)


_CHUNK = 1 << 17


def lung_depth_mm(x: Array, y: Array, z: Array) -> Array:
    """How deep a place lies in a lung, about, in millimetres from the pleura; negative outside."""
    side = np.where(x < 0, np.float32(-1), np.float32(1))
    cage = _cage_depth_mm(x, y, z)
    depth = np.minimum(cage, -_mediastinum_depth_mm(x, y, z))
    depth = np.minimum(depth, -_heart_depth_mm(x, y, z))
    depth = np.minimum(depth, np.hypot(x, y - 68.0) - 30.0)  # spine and what lies beside it
    return np.minimum(depth, (z - _diaphragm_z(x, y, side)) * np.float32(0.8))


def _cage_depth_mm(x: Array, y: Array, z: Array) -> Array:
    """Depth below the inner face of the ribs: a half ellipsoid on a cylinder, flattened at the back."""
    rise = np.maximum(z + 35.0, 0.0) / 162.0
    u = x / 134.0
    v = (y - 4.0) / 92.0
    q = np.sqrt(u**2 + v**2 + rise**2)
    slope = np.sqrt((u / 134.0) ** 2 + (v / 92.0) ** 2 + (rise / 162.0) ** 2) / np.maximum(q, 1e-3)
    return ((1.0 - q) / np.maximum(slope, 1.0 / 160.0)).astype(np.float32)


def _mediastinum_depth_mm(x: Array, y: Array, z: Array) -> Array:
    width = 27.0 + 6.0 * np.exp(-(((z - 5.0) / 45.0) ** 2)) + 10.0 / (1.0 + np.exp((90.0 - z) / 8.0))
    u = (x - 2.0) / width
    v = (y - 6.0) / 96.0
    q = np.sqrt(u**2 + v**2)
    slope = np.sqrt((u / width) ** 2 + (v / 96.0) ** 2) / np.maximum(q, 1e-3)
    return ((1.0 - q) / np.maximum(slope, 1.0 / 96.0)).astype(np.float32)


def _heart_depth_mm(x: Array, y: Array, z: Array) -> Array:
    """An ellipsoid whose tip points to the left, forward and down."""
    dx, dy, dz = x - 20.0, y + 24.0, z + 48.0
    along = dx * 0.74 - dy * 0.45 - dz * 0.5
    rest = np.maximum(dx**2 + dy**2 + dz**2 - along**2, 0.0)
    q = np.sqrt((along / 66.0) ** 2 + rest / 47.0**2)
    return ((1.0 - q) * 52.0).astype(np.float32)


def _diaphragm_z(x: Array, y: Array, side: Array) -> Array:
    """Height of the diaphragm: two domes, the right one higher."""
    top = np.where(side < 0, np.float32(-62.0), np.float32(-76.0))
    return top - 38.0 * ((x - side * 66.0) / 74.0) ** 2 - 46.0 * ((y + 6.0) / 84.0) ** 2


def _soft_step(depth_mm: Array, edge_mm: float = EDGE_MM) -> Array:
    """0 outside, 1 inside, in between over twice `edge_mm`."""
    t = np.clip(depth_mm * np.float32(0.5 / edge_mm) + np.float32(0.5), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _put(hu: Array, depth_mm: Array, value: Array | float, edge_mm: float = EDGE_MM) -> None:
    """Lay a tissue over what is there, where its depth is positive."""
    hu += (value - hu) * _soft_step(depth_mm, edge_mm)


def _tissue(x: Array, y: Array, z: Array, vessels: "_Vessels", noise: "_Noise", nodules: Sequence[Nodule]) -> Array:
    hu = np.full(x.shape, AIR, dtype=np.float32)
    coarse = noise.at(x, y, z, scale_mm=3.1)
    _table(hu, x, y)
    body = _body_depth_mm(x, y, z)
    inside = np.flatnonzero(body > -2 * EDGE_MM)
    if inside.size:
        px, py, pz = x[inside], y[inside], z[inside]
        hu[inside] = _body(hu[inside], px, py, pz, body[inside], coarse[inside], vessels, nodules)
    return hu + noise.at(x, y, z, scale_mm=0.9) * np.where(hu < -950, np.float32(7.0), np.float32(13.0))


def _body_depth_mm(x: Array, y: Array, z: Array) -> Array:
    """Skin: an ellipse with full flanks, narrower towards the neck, flat at the back."""
    narrow = np.float32(1.0) - 0.10 / (1.0 + np.exp((105.0 - z) / 10.0))
    u = np.abs(x / (168.0 * narrow))
    v = np.abs(np.where(y > 0, (y - 2.0) / 119.0, (y - 2.0) / 122.0))
    q = (u**2.3 + v**2.3) ** np.float32(1 / 2.3)
    return ((1.0 - q) * 125.0).astype(np.float32)


def _body(hu: Array, x: Array, y: Array, z: Array, depth: Array, coarse: Array, vessels: "_Vessels", nodules: Sequence[Nodule]) -> Array:
    cage = _cage_depth_mm(x, y, z)
    _put(hu, depth, SKIN)
    _put(hu, depth - 2.0, FAT + 6.0 * coarse)
    streaks = 0.5 + 0.5 * np.sin(x * 0.11 + y * 0.07) * np.sin(z * 0.05 + y * 0.13)  # fat between the muscles
    _put(hu, np.minimum(depth - 13.0 - 5.0 * streaks, -cage + 26.0 + 16.0 * streaks), MUSCLE + 5.0 * coarse, 1.2)
    _bones(hu, x, y, z, cage)
    _abdomen(hu, x, y, z, cage)
    _mediastinum(hu, x, y, z, cage, coarse)
    _lungs(hu, x, y, z, coarse, vessels)
    _airways(hu, x, y, z)
    for nodule in nodules:
        _put(hu, _nodule_depth_mm(nodule, x, y, z), nodule.hu + 6.0 * coarse)
    return hu


def _bones(hu: Array, x: Array, y: Array, z: Array, cage: Array) -> None:
    side = np.abs(x)
    # ribs run forward and down; -cage is the distance outside the inner face
    phase = (z + 0.42 * (-y) + 12.0) / 25.0
    across = (np.abs(phase - np.round(phase))) * 25.0
    rib = 6.5 - np.sqrt((across / 1.15) ** 2 + (np.abs(cage + 6.0) * 1.45) ** 2)
    rib = np.where((side > 22.0) & (z < 112.0), rib, -9.0).astype(np.float32)
    _put(hu, rib, CORTEX, 1.0)
    _put(hu, rib - 2.0, MARROW, 1.0)
    # scapulae: thin plates behind, in the upper half
    plate = 3.2 - np.abs((y - 92.0) + 0.55 * (side - 88.0))
    plate = np.minimum(np.minimum(plate, 30.0 - np.abs(side - 92.0)), 48.0 - np.abs(z - 62.0))
    _put(hu, plate.astype(np.float32), CORTEX * 0.8, 1.0)
    sternum = np.minimum(16.0 - side, 5.5 - np.abs(cage + 8.0))
    sternum = np.minimum(sternum, np.where(y < 0, np.float32(9.0), np.float32(-9.0)))
    sternum = np.minimum(sternum, 75.0 - np.abs(z - 10.0)).astype(np.float32)
    _put(hu, sternum, CORTEX * 0.7, 1.0)
    _put(hu, sternum - 2.0, MARROW * 0.7, 1.0)
    _spine(hu, x, y, z)


def _spine(hu: Array, x: Array, y: Array, z: Array) -> None:
    disc = np.abs((z / 24.0) - np.round(z / 24.0)) * 24.0  # 12 mm at the middle of a vertebra, 0 in the disc
    body = 18.0 - np.hypot(x * 0.95, y - 66.0)
    _put(hu, body, MUSCLE + 40.0)
    bone = np.minimum(body, (disc - 2.5) * 2.0).astype(np.float32)
    _put(hu, bone, CORTEX * 0.8, 1.0)
    _put(hu, bone - 2.2, MARROW, 1.2)
    arch = (4.5 - np.abs(np.hypot(x, y - 90.0) - 12.5)).astype(np.float32)
    _put(hu, arch, CORTEX * 0.75, 1.0)
    wing = np.minimum(np.minimum(4.5 - np.abs(y - 84.0 - 0.28 * (np.abs(x) - 12.0)), 38.0 - np.abs(x)), np.abs(x) - 12.0)
    _put(hu, np.minimum(wing, (disc - 4.0)).astype(np.float32), CORTEX * 0.7, 1.0)
    thorn = np.minimum(3.5 - np.abs(x), 10.0 - np.abs(y - 110.0))
    _put(hu, np.minimum(thorn, disc - 3.0).astype(np.float32), CORTEX * 0.75, 1.0)
    _put(hu, (9.0 - np.hypot(x, y - 90.0)).astype(np.float32), 25.0)  # the canal


def _abdomen(hu: Array, x: Array, y: Array, z: Array, cage: Array) -> None:
    side = np.where(x < 0, np.float32(-1), np.float32(1))
    below = _diaphragm_z(x, y, side) - z
    organ = np.minimum(cage - 1.0, below)
    _put(hu, np.minimum(organ, -_cut(x, y)), SOFT - 15.0)
    liver = np.minimum(organ - 3.0, 30.0 - x * 0.9 - 0.15 * (y + 20.0))
    _put(hu, np.minimum(liver, np.hypot(x, y - 68.0) - 33.0).astype(np.float32), LIVER)
    spleen = 1.0 - np.sqrt(((x - 88.0) / 36.0) ** 2 + ((y - 42.0) / 34.0) ** 2 + ((z + 122.0) / 42.0) ** 2)
    _put(hu, np.minimum(organ - 3.0, spleen * 34.0).astype(np.float32), 75.0)
    stomach = 1.0 - np.sqrt(((x - 66.0) / 42.0) ** 2 + ((y + 26.0) / 38.0) ** 2 + ((z + 126.0) / 44.0) ** 2)
    _put(hu, np.minimum(organ - 3.0, stomach * 38.0).astype(np.float32), SOFT)
    gas = np.minimum(stomach * 38.0 - 5.0, -38.0 - y)  # it rises to the front
    _put(hu, np.minimum(organ - 5.0, gas).astype(np.float32), AIR + 30.0)


def _cut(x: Array, y: Array) -> Array:
    """The place of the spine, where no organ is."""
    return (30.0 - np.hypot(x, y - 68.0)).astype(np.float32)


def _mediastinum(hu: Array, x: Array, y: Array, z: Array, cage: Array, coarse: Array) -> None:
    middle = np.minimum(_mediastinum_depth_mm(x, y, z), cage)
    above = np.minimum(z - _diaphragm_z(x, y, np.where(x < 0, np.float32(-1), np.float32(1))), np.hypot(x, y - 68.0) - 19.0)
    _put(hu, np.minimum(middle, above), FAT + 25.0 + 8.0 * coarse)
    heart = _heart_depth_mm(x, y, z)
    _put(hu, heart, FAT)
    _put(hu, heart - 4.0, SOFT + 10.0, 1.0)
    _put(hu, heart - 13.0, BLOOD, 1.5)
    for start, end, first_mm, last_mm in _GREAT_VESSELS:
        _put(hu, np.minimum(_tube_depth_mm(x, y, z, start, end, first_mm, last_mm), cage - 2.0), BLOOD + 4.0 * coarse)
    gullet = _tube_depth_mm(x, y, z, (8.0, 40.0, 150.0), (14.0, 36.0, -120.0), 6.5, 7.5)
    _put(hu, gullet, SOFT)


# (start, end, radius at the start, radius at the end) in LPS millimetres
_GREAT_VESSELS: tuple[tuple[Point, Point, float, float], ...] = (
    ((4.0, -22.0, -28.0), (-12.0, -14.0, 40.0), 15.0, 15.0),  # ascending aorta
    ((-12.0, -14.0, 40.0), (8.0, 12.0, 52.0), 15.0, 14.0),  # arch
    ((8.0, 12.0, 52.0), (25.0, 44.0, 36.0), 14.0, 13.0),
    ((25.0, 44.0, 36.0), (24.0, 48.0, -20.0), 13.0, 12.0),  # descending aorta
    ((24.0, 48.0, -20.0), (10.0, 46.0, -150.0), 12.0, 11.0),
    ((-28.0, -8.0, 90.0), (-26.0, -4.0, -10.0), 8.5, 9.5),  # superior vena cava
    ((10.0, -30.0, -10.0), (20.0, -12.0, 16.0), 14.0, 13.0),  # pulmonary trunk
    ((20.0, -12.0, 16.0), (-34.0, 4.0, 8.0), 12.0, 10.0),  # right pulmonary artery, before the airway
    ((20.0, -12.0, 16.0), (40.0, 14.0, 16.0), 12.0, 10.0),  # left pulmonary artery
    ((-8.0, 0.0, 54.0), (-30.0, 0.0, 120.0), 7.0, 5.0),  # vessels of neck and arms
    ((4.0, 6.0, 60.0), (24.0, 6.0, 130.0), 5.0, 4.5),
    ((14.0, 18.0, 58.0), (36.0, 20.0, 120.0), 5.5, 4.5),
    ((-27.0, -12.0, 84.0), (30.0, -16.0, 104.0), 7.0, 6.0),
)

_AIRWAYS: tuple[tuple[Point, Point, float, float], ...] = (
    ((0.0, 18.0, 160.0), (0.0, 24.0, 26.0), 9.0, 8.5),
    ((0.0, 24.0, 28.0), (-34.0, 24.0, 2.0), 7.5, 6.5),
    ((0.0, 24.0, 28.0), (42.0, 28.0, -2.0), 7.0, 6.0),
    ((-34.0, 24.0, 2.0), (-50.0, 10.0, 18.0), 4.5, 3.2),
    ((-34.0, 24.0, 2.0), (-48.0, 30.0, -34.0), 5.5, 3.5),
    ((-50.0, 10.0, 18.0), (-62.0, -4.0, 48.0), 2.8, 1.8),
    ((-48.0, 30.0, -34.0), (-64.0, 36.0, -62.0), 3.0, 1.8),
    ((42.0, 28.0, -2.0), (54.0, 12.0, 16.0), 4.2, 3.0),
    ((42.0, 28.0, -2.0), (54.0, 36.0, -36.0), 5.0, 3.2),
    ((54.0, 12.0, 16.0), (64.0, 0.0, 46.0), 2.6, 1.7),
    ((54.0, 36.0, -36.0), (68.0, 40.0, -64.0), 2.8, 1.7),
)


def _tube_depth_mm(x: Array, y: Array, z: Array, start: Point, end: Point, first_mm: float, last_mm: float) -> Array:
    """Depth in a tube with round ends whose radius changes along the way."""
    ax, ay, az = start
    bx, by, bz = end[0] - ax, end[1] - ay, end[2] - az
    dx, dy, dz = x - ax, y - ay, z - az
    t = np.clip((dx * bx + dy * by + dz * bz) / (bx * bx + by * by + bz * bz), 0.0, 1.0)
    distance = np.sqrt((dx - t * bx) ** 2 + (dy - t * by) ** 2 + (dz - t * bz) ** 2)
    return (first_mm + (last_mm - first_mm) * t - distance).astype(np.float32)


def _lungs(hu: Array, x: Array, y: Array, z: Array, coarse: Array, vessels: "_Vessels") -> None:
    depth = lung_depth_mm(x, y, z)
    at = np.flatnonzero(depth > -2 * EDGE_MM)
    if not at.size:
        return
    part, px, py, pz = hu[at], x[at], y[at], z[at]
    dependent = 0.28 * (py - 10.0)  # denser at the back, where the blood is
    _put(part, depth[at], LUNG + dependent + 14.0 * coarse[at])
    fraction = vessels.at(px, py, pz) * _soft_step(depth[at] - 1.0)
    part += (BLOOD - 10.0 - part) * fraction
    hu[at] = part


def _airways(hu: Array, x: Array, y: Array, z: Array) -> None:
    depths = np.full(x.shape, -9.0, dtype=np.float32)
    walls = depths.copy()
    for start, end, first_mm, last_mm in _AIRWAYS:
        depth = _tube_depth_mm(x, y, z, start, end, first_mm, last_mm)
        depths = np.maximum(depths, depth)
        walls = np.maximum(walls, depth + 0.8 + 0.12 * first_mm)
    _put(hu, walls, SOFT - 20.0)
    _put(hu, depths, AIRWAY)


def _nodule_depth_mm(nodule: Nodule, x: Array, y: Array, z: Array) -> Array:
    cx, cy, cz = nodule.centre_lps
    dx, dy, dz = x - cx, y - cy, z - cz
    distance = np.sqrt(dx**2 + dy**2 + dz**2)
    r = np.maximum(distance, 1e-3)
    uneven = 1.0 + 0.05 * np.sin(5.0 * dx / r + cy) * np.cos(4.0 * dy / r + cz) + 0.04 * np.sin(6.0 * dz / r + cx)
    return (nodule.diameter_mm / 2.0 * uneven - distance).astype(np.float32)


def _table(hu: Array, x: Array, y: Array) -> None:
    """A curved shell of plastic with foam in it, below the back."""
    surface = y - (124.0 - (x / 190.0) ** 2 * 22.0)
    wide = 185.0 - np.abs(x)
    _put(hu, np.minimum(np.minimum(surface, 16.0 - surface), wide).astype(np.float32), -960.0)
    for at in (1.0, 15.0):
        _put(hu, np.minimum(1.1 - np.abs(surface - at), wide).astype(np.float32), -250.0)


class _Noise:
    """Noise of mean 0 and deviation 1 that repeats after 96 cells."""

    def __init__(self, numbers: np.random.Generator) -> None:
        block = gaussian_filter(numbers.standard_normal((96, 96, 96)), 0.65, mode="wrap")
        self._block = (block / block.std()).astype(np.float32)

    def at(self, x: Array, y: Array, z: Array, *, scale_mm: float) -> Array:
        # each axis leans on the others, so that the repetition is not seen as a grid
        i = np.floor((z + 0.13 * x) / scale_mm).astype(np.int32) % 96
        j = np.floor((y + 0.17 * z) / scale_mm).astype(np.int32) % 96
        k = np.floor((x - 0.11 * y) / scale_mm).astype(np.int32) % 96
        return self._block[i, j, k]


@dataclass(frozen=True, slots=True)
class _Branch:
    start: Point
    end: Point
    first_mm: float
    last_mm: float


class _Vessels:
    """Trees of vessels, drawn once into a grid of fractions (0 lung, 1 blood) and read by linear interpolation."""

    _ORIGIN = np.array([-140.0, -100.0, -130.0])
    _SHAPE = (281, 201, 265)

    def __init__(self, numbers: np.random.Generator, nodules: Sequence[Nodule]) -> None:
        self._grid = np.zeros(self._SHAPE, dtype=np.float32)
        for branch in _grow(numbers, nodules):
            self._draw(branch)

    def at(self, x: Array, y: Array, z: Array) -> Array:
        index = np.stack([x - self._ORIGIN[0], y - self._ORIGIN[1], z - self._ORIGIN[2]])
        return map_coordinates(self._grid, index, order=1, prefilter=False, mode="constant").astype(np.float32)

    def _draw(self, branch: _Branch) -> None:
        ends = np.array([branch.start, branch.end]) - self._ORIGIN
        low = np.maximum(np.floor(ends.min(axis=0) - branch.first_mm - 2).astype(int), 0)
        high = np.minimum(np.ceil(ends.max(axis=0) + branch.first_mm + 3).astype(int), self._SHAPE)
        if (high <= low).any():
            return
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        x, y, z = (np.arange(a, b, dtype=np.float32) + o for a, b, o in zip(low, high, self._ORIGIN, strict=True))
        depth = _tube_depth_mm(x[:, None, None], y[:, None], z, branch.start, branch.end, branch.first_mm, branch.last_mm)
        np.maximum(self._grid[box], _soft_step(depth, 0.9), out=self._grid[box])


# Where the trees start: (hilum, number of main branches, radius)
_HILA: tuple[tuple[Point, int, float], ...] = (((-40.0, 10.0, 4.0), 15, 3.3), ((44.0, 16.0, 6.0), 15, 3.2))


def _grow(numbers: np.random.Generator, nodules: Sequence[Nodule]) -> Iterator[_Branch]:
    """Branches from the hila outward; each ends in two of less radius, until it is thin or near the pleura."""
    for hilum, count, radius_mm in _HILA:
        side = np.sign(hilum[0])
        for number in range(count):
            z = 1.0 - 2.0 * (number + 0.5) / count  # spread over the half sphere that looks into the lung
            turn = number * 2.4
            flat = np.sqrt(1.0 - z * z)
            direction = np.array([side * (0.25 + abs(flat * np.cos(turn))), 0.9 * flat * np.sin(turn), 1.5 * z - 0.15])
            yield from _grow_branch(numbers, nodules, np.array(hilum), _unit(direction), radius_mm * numbers.uniform(0.6, 0.9))


def _grow_branch(
    numbers: np.random.Generator,
    nodules: Sequence[Nodule],
    start: npt.NDArray[np.float64],
    direction: npt.NDArray[np.float64],
    radius_mm: float,
) -> Iterator[_Branch]:
    todo = [(start, direction, radius_mm)]
    while todo:
        start, direction, radius_mm = todo.pop()
        end = start + direction * (8.0 + 4.5 * radius_mm) * numbers.uniform(0.7, 1.25)
        middle = (start + end) / 2
        child_mm = radius_mm * 0.87
        if _is_blocked(end, nodules, 5.0 + radius_mm) or _is_blocked(middle, nodules, 0.0):
            continue
        yield _Branch((start[0], start[1], start[2]), (end[0], end[1], end[2]), radius_mm, child_mm)
        if child_mm < 0.45:
            continue
        sideways = _unit(np.cross(direction, numbers.standard_normal(3)))
        lean = numbers.uniform(0.3, 0.75)
        todo.append((end, _unit(direction + sideways * lean * 0.6), child_mm))
        todo.append((end, _unit(direction - sideways * (lean + 0.35)), child_mm * numbers.uniform(0.65, 0.95)))


def _is_blocked(place: npt.NDArray[np.float64], nodules: Sequence[Nodule], margin_mm: float) -> bool:
    """Whether a vessel may not go there: out of the lung, or into a planted nodule."""
    x, y, z = (np.array([value], dtype=np.float32) for value in place)
    near_hilum = abs(place[0]) < 62.0 and abs(place[2]) < 45.0
    if lung_depth_mm(x, y, z)[0] < (-12.0 if near_hilum else margin_mm):
        return True
    return any(np.linalg.norm(place - np.array(n.centre_lps)) < n.diameter_mm / 2 + 9.0 for n in nodules)


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
