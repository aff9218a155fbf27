"""A volume on the grid that a stage wants, and what was found there back on the source's own grid.

The source's axes are permuted and reversed to the nearest axes of the patient, as the common training frameworks do; nothing
is rotated, so each axis is resampled on its own. Interpolation is linear. Where the new grid is coarser, the interpolated
values are averaged over a length that grows with the new spacing (together as wide as a triangle of that spacing), since the
noise of a sharp kernel would else come through as false structure. Linear functions of the place are kept exactly.
"""

import math
import mmap
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dicom_node.package import Input, Intensity
from dicom_node.values import Affine, Geometry, Volume

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.uint8]
Matrix = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer[Any]]  # numbers of connected regions
Box = tuple[slice, ...]  # three of them: the part of an array

# The direction in LPS that each axis code grows to.
_DIRECTIONS = {"L": (0, 1.0), "R": (0, -1.0), "P": (1, 1.0), "A": (1, -1.0), "S": (2, 1.0), "I": (2, -1.0)}

_SLICES_AT_ONCE = 16  # of the source grid, when labels are brought back: bounds the memory, the result does not depend on it


@dataclass(frozen=True, slots=True)
class Grid:
    """Where voxels lie: `lps_from_index` maps (slice, row, column, 1) to LPS millimetres at voxel centres."""

    shape: tuple[int, int, int]
    lps_from_index: Affine

    @property
    def matrix(self) -> Matrix:
        return np.array(self.lps_from_index, dtype=np.float64)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        slices, rows, columns = np.linalg.norm(self.matrix[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)

    @property
    def voxel_mm3(self) -> float:
        return float(abs(np.linalg.det(self.matrix[:3, :3])))

    def lps_at(self, index: npt.ArrayLike) -> Matrix:
        """LPS millimetres (..., 3) of indices (..., 3)."""
        return np.asarray(index, dtype=np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def index_at(self, lps: npt.ArrayLike) -> Matrix:
        """Indices (..., 3), fractions included, of places (..., 3) in LPS millimetres."""
        return (np.asarray(lps, dtype=np.float64) - self.matrix[:3, 3]) @ np.linalg.inv(self.matrix[:3, :3]).T

    def cropped(self, box: Box) -> "Grid":
        """The grid of `array[box]`."""
        return _grid(tuple(part.stop - part.start for part in box), self.matrix[:3, :3], self.lps_at([part.start for part in box]))


def grid_of(geometry: Geometry) -> Grid:
    """The source's own grid. A projection has no place in the patient: its plane is laid on the L and P axes at the origin."""
    if geometry.lps_from_index is not None:
        return Grid(geometry.shape, geometry.lps_from_index)
    slices_mm, rows_mm, columns_mm = geometry.spacing_mm
    axes = np.array([[0, 0, columns_mm], [0, rows_mm, 0], [slices_mm or 1.0, 0, 0]], dtype=np.float64)
    return _grid(geometry.shape, axes, np.zeros(3))


def target_grid(source: Grid, wanted: Input) -> Grid:
    """The grid with the wanted axes and spacing over the whole field of the source, both centred on the same place.

    `wanted.size` is not applied here: see `fit`.
    """
    axes = source.matrix[:3, :3] / np.array(source.spacing_mm)
    codes = [_DIRECTIONS[code] for code in wanted.orientation]
    # The one assignment of source axes to patient axes with the largest sum of cosines: no axis is taken twice.
    order = max(permutations(range(3)), key=lambda taken: sum(abs(axes[axis, own]) for (axis, _), own in zip(codes, taken, strict=True)))
    signs = [1.0 if axes[axis, own] * sign >= 0 else -1.0 for (axis, sign), own in zip(codes, order, strict=True)]
    own_mm = np.array(source.spacing_mm)[list(order)]
    counts = np.array(source.shape)[list(order)]
    spacing_mm = own_mm if wanted.spacing_mm is None else np.array(wanted.spacing_mm)
    shape = tuple(max(1, round(float(extent))) for extent in counts * own_mm / spacing_mm)
    columns = axes[:, list(order)] * signs * spacing_mm
    middle = source.lps_at((np.array(source.shape) - 1) / 2)
    return _grid(shape, columns, middle - columns @ ((np.array(shape) - 1) / 2))


def prepare(volume: Volume, wanted: Input, intensity: Intensity) -> tuple[Floats, Grid]:
    """The volume as a network wants it, (slices, rows, columns), and the grid that it then lies on."""
    grid = target_grid(grid_of(volume.geometry), wanted)
    return fit(scale(resample_volume(volume, grid, intensity.clip), intensity), grid, wanted.size)


def resample_volume(volume: Volume, target: Grid, clip: tuple[float, float] | None = None) -> Floats:
    """The volume's values on another grid whose axes are parallel to its own; clipped before anything is averaged.

    Beyond the source's edge the edge goes on.
    """
    return resample(volume.voxels, grid_of(volume.geometry), target, clip)


def resample(voxels: npt.NDArray[Any], source: Grid, target: Grid, clip: tuple[float, float] | None = None) -> Floats:
    """Values (slices, rows, columns) on `source` at the voxels of `target`; both grids' axes are parallel up to order and sign.

    Beside the new values only the planes that one new plane is made from are held, in float32.
    """
    source_from_target = np.linalg.inv(source.matrix) @ target.matrix
    order = [int(np.argmax(np.abs(source_from_target[own, :3]))) for own in range(3)]
    assert sorted(order) == [0, 1, 2], "grids are not parallel"
    slices, rows, columns = (
        _sampling(source.shape[own], float(source_from_target[own, 3]), float(source_from_target[own, taken]), target.shape[taken])
        for own, taken in enumerate(order)
    )
    sampled = np.empty(target.shape, dtype=np.float32)
    planes: dict[int, Floats] = {}
    for plane, index, weight in zip(sampled.transpose(order), slices.index, slices.weight, strict=True):
        needed = [int(number) for number in index]
        planes = {number: planes[number] for number in needed if number in planes}
        for number in needed:
            if number not in planes:
                clipped = clip_voxels(voxels[number], clip).astype(np.float32)
                planes[number] = _sample(_sample(clipped, rows, axis=0), columns, axis=1)
        np.multiply(planes[needed[0]], weight[0], out=plane)
        for number, one in zip(needed[1:], weight[1:], strict=True):
            plane += planes[number] * one
    return sampled


def clip_voxels(voxels: npt.NDArray[Any], clip: tuple[float, float] | None) -> npt.NDArray[Any]:
    """The voxels within the clip range, in the type they have where its limits allow."""
    if clip is None:
        return voxels
    if voxels.dtype == np.int16 and all(limit == int(limit) and abs(limit) < 32768 for limit in clip):
        return np.asarray(np.clip(voxels, np.int16(clip[0]), np.int16(clip[1])))
    return np.asarray(np.clip(voxels.astype(np.float32), np.float32(clip[0]), np.float32(clip[1])))


def scale(values: Floats, intensity: Intensity) -> Floats:
    """Values that were clipped already, as the network wants them."""
    match intensity.scale:
        case "to-unit":
            low, high = intensity.clip or (float(values.min()), float(values.max()))
            subtract, divide = low, max(high - low, 1e-6)
        case "z-score":
            mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
            subtract, divide = mean, max(deviation, 1e-6)
        case "affine":
            subtract, divide = intensity.subtract, intensity.divide
        case "none":
            return values
    scaled = values - np.float32(subtract)
    scaled /= np.float32(divide)
    return scaled


def fit(values: Floats, grid: Grid, size: tuple[int, int, int] | None) -> tuple[Floats, Grid]:
    """The values padded (with their lowest) or cropped, centred, to `size` voxels, and the grid that they then lie on."""
    if size is None or size == grid.shape:
        return values, grid
    before = [(wanted - found) // 2 for wanted, found in zip(size, grid.shape, strict=True)]
    fitted = np.full(size, values.min(), dtype=np.float32)
    inner = tuple(slice(max(0, b), max(0, b) + min(w, f)) for b, w, f in zip(before, size, grid.shape, strict=True))
    outer = tuple(slice(max(0, -b), max(0, -b) + min(w, f)) for b, w, f in zip(before, size, grid.shape, strict=True))
    fitted[inner] = values[outer]
    return fitted, _grid(size, grid.matrix[:3, :3], grid.lps_at([-b for b in before]))


def labels_on_source(labels: Labels, grid: Grid, source: Grid) -> Labels:
    """A label map found on `grid`, on the source's grid: the label that has most of each voxel, by linear interpolation.

    Each label is interpolated as a mask of its own, so the outline is smoother than the coarse voxels; the rest is background 0.
    """
    found = _background(source.shape)
    parts = []
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            wider = tuple(slice(max(0, p.start - 1), min(n, p.stop + 1)) for p, n in zip(box, labels.shape, strict=True))
            parts.append((value, (labels[wider] == value).astype(np.uint8), grid.cropped(wider)))
    for first in range(0, source.shape[0], _SLICES_AT_ONCE):
        last = min(first + _SLICES_AT_ONCE, source.shape[0])
        boxes = [(part, held) for part in parts if (held := _box_on(part[2], source, first, last)) is not None]
        if not boxes:
            continue
        around = tuple(slice(min(held[axis].start for _, held in boxes), max(held[axis].stop for _, held in boxes)) for axis in range(3))
        shape = tuple(along.stop - along.start for along in around)
        best, rest = np.zeros(shape, np.float32), np.ones(shape, np.float32)
        for (value, mask, mask_grid), held in boxes:
            share = resample(mask, mask_grid, source.cropped(held))
            inside = tuple(slice(along.start - whole.start, along.stop - whole.start) for along, whole in zip(held, around, strict=True))
            rest[inside] -= share
            is_best = share > best[inside]
            best[inside][is_best] = share[is_best]
            found[held][is_best] = value
        found[around][best < rest] = 0
    return found


def _background(shape: tuple[int, int, int]) -> Labels:
    """Zeros that the kernel hands out where they are touched; memory that was used before would have to be written over as a whole."""
    return np.frombuffer(mmap.mmap(-1, math.prod(shape), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8).reshape(shape)


def _box_on(part: Grid, source: Grid, first: int, last: int) -> Box | None:
    """The voxels of the source's slices `first` to `last` whose centres lie in the field of `part`, or None."""
    corners = np.array([[-0.5 if low else n - 0.5 for low, n in zip(corner, part.shape, strict=True)] for corner in np.ndindex(2, 2, 2)])
    index = source.index_at(part.lps_at(corners))
    low = np.maximum(np.ceil(index.min(axis=0) - 1e-6).astype(int), [first, 0, 0])
    high = np.minimum(np.floor(index.max(axis=0) + 1e-6).astype(int) + 1, [last, *source.shape[1:]])
    if (low >= high).any():
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


@dataclass(frozen=True, slots=True)
class _Sampling:
    """One axis: for each new voxel the old ones that it is made from, (new, taps), and their weights."""

    index: npt.NDArray[np.intp]
    weight: Floats


def _sampling(count: int, offset: float, step: float, wanted: int) -> _Sampling:
    """New voxel i lies at `offset` + i * `step` of `count` old ones; beyond them the first and the last go on."""
    place = offset + step * np.arange(wanted)
    nearest = np.rint(place)
    place = np.where(np.abs(place - nearest) < 1e-6, nearest, place)  # rounding of affines must not blur a mere permutation
    half = (2 * max(step**2 - 1, 0.0)) ** 0.5 / 2 if abs(abs(step) - 1) > 1e-6 else 0.0
    taps = int(np.ceil(2 * half)) + 2
    index = (np.floor(place - half - 1) + 1).astype(np.intp)[:, None] + np.arange(taps)
    away = place[:, None] - index
    weight = np.maximum(0.0, 1.0 - np.abs(away))
    if half:  # the mean of the interpolated values over `half` on either side
        weight = (_hat_below(away + half) - _hat_below(away - half)) / (2 * half)
    used = weight.any(axis=0)
    return _Sampling(np.clip(index, 0, count - 1)[:, used], weight[:, used].astype(np.float32))


def _hat_below(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The area of the triangle of linear interpolation (from -1 to 1, height 1) below a place."""
    inner = np.clip(place, -1.0, 1.0)
    return np.asarray(0.5 + inner - 0.5 * inner * np.abs(inner))


def _sample(values: Floats, sampling: _Sampling, axis: int) -> Floats:
    """Weighted sums along one axis."""
    shape = [1] * values.ndim
    shape[axis] = -1
    total = values.take(sampling.index[:, 0], axis=axis) * sampling.weight[:, 0].reshape(shape)
    for tap in range(1, sampling.index.shape[1]):
        total += values.take(sampling.index[:, tap], axis=axis) * sampling.weight[:, tap].reshape(shape)
    return total


def _grid(shape: tuple[int, ...], axes: Matrix, origin: Matrix) -> Grid:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, origin
    slices, rows, columns = (int(count) for count in shape)
    first, second, third, fourth = (tuple(float(value) for value in row) for row in matrix)
    return Grid((slices, rows, columns), (first, second, third, fourth))  # type: ignore[arg-type]
