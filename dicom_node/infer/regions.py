"""What stages hand to each other: places and regions on the source grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dicom_node.values import Mask

from .inputs import Grid, Labels


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place to look at: `centre_lps` and `radius_mm` in millimetres, `response` as its stage measures it, `score` 0 to 1."""

    centre_lps: tuple[float, float, float]
    radius_mm: float
    response: float
    score: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A mask on the source grid and what it is the mask of: a label of a label map, or a candidate."""

    mask: Mask
    value: int | None = None
    candidate: Candidate | None = None


def find_mask(voxels: npt.NDArray[np.bool_], origin: tuple[int, int, int] = (0, 0, 0)) -> Mask | None:
    """The True voxels as a mask as small as they allow, or None where there are none; `origin` is where `voxels` begins."""
    starts, stops = [], []
    for axis in range(3):
        used = np.flatnonzero(voxels.any(axis=tuple(other for other in range(3) if other != axis)))
        if not used.size:
            return None
        starts.append(int(used[0]))
        stops.append(int(used[-1]) + 1)
    tight = voxels[starts[0] : stops[0], starts[1] : stops[1], starts[2] : stops[2]].copy()
    tight.setflags(write=False)
    return Mask((origin[0] + starts[0], origin[1] + starts[1], origin[2] + starts[2]), tight)


def merge_near(candidates: tuple[Candidate, ...], merge_mm: float) -> tuple[Candidate, ...]:
    """Of candidates closer than `merge_mm` the first stays; the order is kept."""
    kept: list[Candidate] = []
    places = np.empty((len(candidates), 3))
    for candidate in candidates:
        near = np.sum((places[: len(kept)] - candidate.centre_lps) ** 2, axis=1) < merge_mm**2
        if not near.any():
            places[len(kept)] = candidate.centre_lps
            kept.append(candidate)
    return tuple(kept)


def regions_of_labels(labels: Labels) -> tuple[Region, ...]:
    """The region of each label that occurs, by label."""
    held = np.flatnonzero(labels.any(axis=(1, 2)))
    if not len(held):
        return ()
    first = int(held[0])
    inside, regions = labels[first : int(held[-1]) + 1], []
    for value, box in enumerate(ndimage.find_objects(inside), start=1):
        if box is not None:
            voxels = inside[box] == value
            voxels.setflags(write=False)
            regions.append(Region(Mask((first + box[0].start, box[1].start, box[2].start), voxels), value=value))
    return tuple(regions)


def count_voxels(labels: Labels) -> npt.NDArray[np.int64]:
    """How many voxels each label has, (256,), background (0) only in slices that hold another; slice by slice, as numpy makes 64 bits
    of each voxel for it."""
    counts = np.zeros(256, np.int64)
    for plane in labels:
        if plane.any():
            counts += np.bincount(plane.ravel(), minlength=256)
    return counts


def regions_of_candidates(candidates: Sequence[Candidate], grid: Grid) -> tuple[Region, ...]:
    """A ball of each candidate's radius; at least the voxel at its centre, as far as it lies in the grid."""
    regions = []
    for candidate in candidates:
        centre = grid.index_at(candidate.centre_lps)
        reach = candidate.radius_mm / np.array(grid.spacing_mm)
        starts = np.clip(np.floor(centre - reach).astype(int), 0, np.array(grid.shape) - 1)
        stops = np.clip(np.ceil(centre + reach).astype(int) + 1, starts + 1, grid.shape)
        index = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(starts, stops, strict=True)], indexing="ij"), axis=-1)
        distance_mm = np.linalg.norm(grid.lps_at(index) - candidate.centre_lps, axis=-1)
        ball = distance_mm <= max(candidate.radius_mm, float(distance_mm.min()))
        mask = find_mask(ball, (int(starts[0]), int(starts[1]), int(starts[2])))
        assert mask is not None
        regions.append(Region(mask, candidate=candidate))
    return tuple(regions)
