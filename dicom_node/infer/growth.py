"""The outline of each candidate on the source grid: grown at a fraction of its contrast, cut off from vessels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dicom_node.package import GrowthSegment
from dicom_node.values import Volume

from .inputs import Bools, Box, Floats, Grid, Labels, grid_of
from .regions import Candidate, Region, find_mask

# The values of candidate and surroundings are measured anew on what was grown, so often; it settles after two or three.
_ROUNDS = 4
# Thinner than this part of the region's inscribed radius is a vessel, and is cut off.
_VESSEL_SHARE = 0.45
# Two outlines that share more than this part of the smaller one are of one thing.
_SAME_SHARE = 0.5
_SHELL_MM = (2.0, 8.0)  # where the surroundings are measured: from, to, outside the region


@dataclass(frozen=True, slots=True)
class _Field:
    """What lies round a candidate: values, mask and distance from its centre in millimetres, on a part of the source grid."""

    values: Floats
    inside: Bools
    distance_mm: npt.NDArray[np.float64]
    origin: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


def grow(volume: Volume, candidates: Sequence[Candidate], inside: Labels, stage: GrowthSegment) -> tuple[Region, ...]:
    """The regions of the candidates, in their order, inside the non-zero voxels of `inside` (source grid).

    A region smaller than `stage.smallest_mm3` is left out; one that is mostly that of an earlier candidate is left out as well.
    """
    grid = grid_of(volume.geometry)
    kept: list[Region] = []
    for candidate in candidates:
        field = _find_field(volume, candidate, inside, grid, stage.radius_mm)
        mask = find_mask(find_outline(field, candidate.radius_mm, stage), field.origin)
        if mask is None or np.count_nonzero(mask.voxels) * grid.voxel_mm3 < stage.smallest_mm3:
            continue
        region = Region(mask, candidate=candidate)
        if not any(_is_same(region, other) for other in kept):
            kept.append(region)
    return tuple(kept)


def find_outline(field: _Field, radius_mm: float, stage: GrowthSegment) -> Bools:
    """The region round the field's centre; all False where nothing there is brighter than its surroundings."""
    reach = field.inside & (field.distance_mm <= stage.radius_mm)
    region = field.distance_mm <= max(0.7 * radius_mm, *field.spacing_mm)
    if not region.any():  # a candidate outside the volume
        return region
    own = float(np.percentile(field.values[region], 75))  # a hollow centre is darker than its wall
    for _ in range(_ROUNDS):
        around = _surroundings(field, region)
        level = around + stage.fraction * (own - around)
        bright = ndimage.binary_fill_holes((field.values > level) & reach)
        grown = _cut_vessels(bright, field, radius_mm)
        if not grown.any():
            return grown
        if np.array_equal(grown, region):
            break
        region = grown
        own = _own_value(field, region, level)
    return region


def _find_field(volume: Volume, candidate: Candidate, inside: Labels, grid: Grid, radius_mm: float) -> _Field:
    """The part of the source grid within the radius and the shell round it."""
    centre = grid.index_at(candidate.centre_lps)
    reach = (radius_mm + _SHELL_MM[1]) / np.array(grid.spacing_mm)
    starts = np.clip(np.floor(centre - reach).astype(int), 0, np.array(grid.shape) - 1)
    stops = np.clip(np.ceil(centre + reach).astype(int) + 1, starts + 1, grid.shape)
    box = tuple(slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True))
    index = np.stack(np.meshgrid(*[np.arange(part.start, part.stop) for part in box], indexing="ij"), axis=-1)
    distance_mm = np.linalg.norm(grid.lps_at(index) - candidate.centre_lps, axis=-1)
    origin = (box[0].start, box[1].start, box[2].start)
    return _Field(volume.voxels[box].astype(np.float32), inside[box] != 0, distance_mm, origin, grid.spacing_mm)


def _surroundings(field: _Field, region: Bools) -> float:
    """The median of the mask's voxels in a shell round the region, away from its blurred edge."""
    box = _box_round(region, _SHELL_MM[1], field.spacing_mm)
    away_mm = ndimage.distance_transform_edt(~region[box], sampling=field.spacing_mm)
    shell = field.inside[box] & (away_mm > _SHELL_MM[0]) & (away_mm <= _SHELL_MM[1])
    if not shell.any():
        shell = away_mm > 0
    return float(np.median(field.values[box][shell])) if shell.any() else float(field.values.min())


def _own_value(field: _Field, region: Bools, level: float) -> float:
    """The median of the region's bright part without its blurred edge, or of all of it where it is thin."""
    box = _box_round(region, 0.0, field.spacing_mm)
    depth_mm = ndimage.distance_transform_edt(region[box], sampling=field.spacing_mm)
    bright = region[box] & (field.values[box] > level)
    core = bright & (depth_mm > min(0.5 * float(depth_mm.max()), 2 * min(field.spacing_mm)))
    return float(np.median(field.values[box][core if core.any() else region[box]]))


def _cut_vessels(bright: Bools, field: _Field, radius_mm: float) -> Bools:
    """The part of the bright voxels that belongs to the candidate.

    What is thinner than a share of the candidate's inscribed radius is eroded; of what remains, the piece at the centre is
    grown back to the bright voxels near it. So a vessel leaves a stump and no tree.
    """
    parts, count = ndimage.label(bright)
    reach_mm = max(radius_mm, *field.spacing_mm)
    to_bright_mm = np.where(bright, field.distance_mm, np.inf)
    if not count or to_bright_mm.min() > reach_mm:
        return np.zeros_like(bright)
    own = parts == parts[np.unravel_index(int(to_bright_mm.argmin()), parts.shape)]
    box = _box_round(own, max(field.spacing_mm), field.spacing_mm)
    distance_mm = field.distance_mm[box]
    depth_mm = ndimage.distance_transform_edt(np.pad(own[box], 1), sampling=field.spacing_mm)[1:-1, 1:-1, 1:-1]
    thin_mm = _VESSEL_SHARE * float(depth_mm[own[box] & (distance_mm <= reach_mm)].max())
    cores, _ = ndimage.label(depth_mm > thin_mm)
    to_core_mm = np.where(cores > 0, distance_mm, np.inf)
    core = cores == cores[np.unravel_index(int(to_core_mm.argmin()), to_core_mm.shape)]
    away_mm = ndimage.distance_transform_edt(~core, sampling=field.spacing_mm)
    cut = np.zeros_like(bright)
    cut[box] = own[box] & (away_mm <= thin_mm + max(field.spacing_mm[1:]))
    return cut


def _box_round(region: Bools, margin_mm: float, spacing_mm: tuple[float, float, float]) -> Box:
    """The box round the True voxels, wider by a margin where there is room."""
    (tight,) = ndimage.find_objects(region.astype(np.uint8))
    margins = [int(np.ceil(margin_mm / mm)) for mm in spacing_mm]
    return tuple(
        slice(max(0, part.start - margin), min(extent, part.stop + margin))
        for part, margin, extent in zip(tight, margins, region.shape, strict=True)
    )


def _is_same(region: Region, other: Region) -> bool:
    """Whether two regions share most of the smaller one."""
    low = np.maximum(region.mask.origin, other.mask.origin)
    high = np.minimum(*[np.add(each.mask.origin, each.mask.voxels.shape) for each in (region, other)])
    if (low >= high).any():
        return False
    parts = []
    for each in (region, other):
        starts, stops = low - each.mask.origin, high - each.mask.origin
        parts.append(each.mask.voxels[tuple(slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))])
    smaller = min(np.count_nonzero(region.mask.voxels), np.count_nonzero(other.mask.voxels))
    return bool(np.count_nonzero(parts[0] & parts[1]) > _SAME_SHARE * smaller)
