"""Lungs by threshold: air inside the body, split into the patient's right and left, closed over vessels and nodules."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dicom_node.package import Input, ThresholdSegment
from dicom_node.values import Volume

from .inputs import Bools, Box, Floats, Ids, Labels, grid_of, labels_on_source, resample_volume, target_grid

RIGHT, LEFT = 1, 2

# The mean of free air with its blurred edges stays below this; lungs lie above it even with severe emphysema.
_FREE_AIR_HU = -950.0
# Voxels at the edge of the picture, in units of the root of the region's area, above which a region is no lung that was cut.
_LARGEST_CONTACT = 1.2
# Where the wall of the chest is looked for, from the lung's surface, and how much tissue there must be.
_WALL_MM = (4.0, 10.0)
_LEAST_TISSUE = 0.6
# How far the lungs are eroded, in this order, until right and left come apart.
_EROSIONS_MM = (0.0, 2.0, 4.0, 6.0, 8.0, 11.0, 15.0)
_IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], dtype=bool)


def find_lungs(volume: Volume, stage: ThresholdSegment) -> Labels:
    """The lungs on the source grid: 1 the patient's right, 2 the left, 0 elsewhere; all 0 where there are none.

    Works on a grid of the patient's axes (slices to superior, rows to posterior, columns to left) of `stage.spacing_mm`. Air
    that reaches the picture's edge within its own axial slice is outside; the first and the last slice may cut through the
    lungs. Free air in the body (stomach, bowel, between back and table) is told by its mean value, the foam of a table by what
    surrounds it.
    """
    source = grid_of(volume.geometry)
    grid = target_grid(source, Input(orientation="SPL", spacing_mm=(stage.spacing_mm,) * 3))
    hu = resample_volume(volume, grid, clip=(-1024.0, float(int(stage.below) + 1000)))
    air = _find_inner_air(hu, stage.below)
    kept = _keep_lungs(air, hu, stage)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    if not kept.any():
        return np.zeros(source.shape, dtype=np.uint8)
    midline = float(np.mean(np.nonzero(hu > stage.below)[2]))  # column of the tissue's centre
    sides = _split_sides(kept, midline, stage.spacing_mm)
    for side in (RIGHT, LEFT):
        mask = sides == side
        if mask.any():
            closed = _close(mask, stage.closing_mm / stage.spacing_mm)
            labels[closed & (labels == 0) & ((sides == 0) | mask)] = side
    return labels_on_source(labels, grid, source)


def _find_inner_air(hu: Floats, below: float) -> Bools:
    """Air that is not connected, within its slice, to the edge of the picture.

    Slice by slice, so that the way through the open mouth of a long scan does not make the lungs a part of the room. A region
    at the edge is kept as lung that the field of view cuts where it is no free air and where only a small part of it lies at
    the edge: the foam of a table is as light as lung, and lies along the edge.
    """
    labels, count = ndimage.label(hu < below, structure=_IN_PLANE)
    volumes = np.bincount(labels.ravel(), minlength=count + 1)
    means = _means(hu, labels, volumes)
    contact = np.bincount(_edges(labels), minlength=count + 1)
    is_cut_lung = (means > _FREE_AIR_HU) & (contact < _LARGEST_CONTACT * np.sqrt(volumes))
    is_inner = (contact == 0) | is_cut_lung
    is_inner[0] = False  # label 0 is what is no air
    return np.asarray(is_inner[labels])


def _keep_lungs(air: Bools, hu: Floats, stage: ThresholdSegment) -> Bools:
    """The largest connected regions that are lung: lighter than tissue, heavier than free air, and with a body round them."""
    labels, count = ndimage.label(air)
    volumes = np.bincount(labels.ravel(), minlength=count + 1)
    volumes_ml = volumes * stage.spacing_mm**3 / 1000
    is_large = (_means(hu, labels, volumes) >= _FREE_AIR_HU) & (volumes_ml >= stage.smallest_ml)
    is_large[0] = False  # label 0 is what is no air
    is_tissue = hu > stage.below
    boxes = ndimage.find_objects(labels)
    kept = np.zeros(air.shape, dtype=bool)
    left = stage.keep_largest
    for number in np.argsort(-volumes, kind="stable"):
        if left and is_large[number] and _share_of_tissue(labels, int(number), boxes[number - 1], is_tissue, stage) >= _LEAST_TISSUE:
            kept |= labels == number
            left -= 1
    return kept


def _share_of_tissue(labels: Ids, number: int, box: Box, is_tissue: Bools, stage: ThresholdSegment) -> float:
    """How much of what lies a few millimetres outside a region is tissue.

    A chest wall is thick, the shell of a table is thin. What lies beyond the sides of the picture counts as none; beyond the
    first and the last slice nothing is counted.
    """
    near, far = (max(1, round(mm / stage.spacing_mm)) for mm in _WALL_MM)
    wider = (slice(max(0, box[0].start - far), box[0].stop + far), slice(None), slice(None))
    region = np.pad(labels[wider] == number, ((0, 0), (far, far), (far, far)))
    tissue = np.pad(is_tissue[wider], ((0, 0), (far, far), (far, far)))
    close = ndimage.binary_dilation(region, iterations=near)
    shell = ndimage.binary_dilation(close, iterations=far - near) & ~close
    return float(tissue[shell].mean()) if shell.any() else 0.0


def _split_sides(mask: Bools, midline: float, spacing_mm: float) -> Labels:
    """Label every voxel of the mask with its side.

    The lungs are eroded until two cores remain that lie on either side; each voxel goes to the nearer core. Where no erosion
    parts them, the middle of the chest does; a single lung has the side on which it lies of the tissue's centre.
    """
    columns = np.flatnonzero(mask.any(axis=(0, 1)))
    width = columns[-1] - columns[0]
    middle = (columns[0] + columns[-1]) / 2
    if abs(middle - midline) > 0.25 * width:
        return np.where(mask, RIGHT if middle < midline else LEFT, 0).astype(np.uint8)
    box = _box_of(mask)
    cropped = mask[box]
    middle -= box[2].start
    depth_mm = ndimage.distance_transform_edt(cropped) * spacing_mm
    sides = np.zeros(mask.shape, dtype=np.uint8)
    for erosion_mm in _EROSIONS_MM:
        cores = _find_cores(depth_mm > erosion_mm, middle)
        if cores is not None:
            nearest = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
            sides[box][cropped] = cores[tuple(nearest)][cropped]
            return sides
    is_left = np.arange(cropped.shape[2]) > middle
    sides[box] = np.where(cropped, np.where(is_left, LEFT, RIGHT), 0)
    return sides


def _find_cores(eroded: Bools, middle: float) -> Labels | None:
    """The two largest pieces as sides, where each lies on one side of the middle; else None."""
    labels, count = ndimage.label(eroded)
    if count < 2:
        return None
    volumes = np.bincount(labels.ravel())
    volumes[0] = 0
    pair = np.argsort(-volumes, kind="stable")[:2]
    if volumes[pair[1]] < 0.1 * volumes[pair[0]]:
        return None
    by_column = [np.count_nonzero(labels == piece, axis=(0, 1)) for piece in pair]
    left_share = [float(counts[int(middle) + 1 :].sum() / counts.sum()) for counts in by_column]
    if min(left_share) > 0.15 or max(left_share) < 0.85:
        return None
    cores = np.zeros(eroded.shape, dtype=np.uint8)
    for piece, share in zip(pair, left_share, strict=True):
        cores[labels == piece] = LEFT if share > 0.5 else RIGHT
    return cores


def _close(mask: Bools, radius: float) -> Bools:
    """Morphological closing by a ball of `radius` voxels, then holes filled slice by slice.

    By distances, since a structuring element of this size takes a minute.
    """
    margin = int(np.ceil(radius)) + 2
    box = _box_of(mask)
    padded = np.pad(mask[box], margin)
    grown = ndimage.distance_transform_edt(~padded) <= radius
    closed = (ndimage.distance_transform_edt(grown) > radius) | padded
    filled = ~_reaches_edge(~closed)
    # what the closing added beyond the volume is of no use; it cannot reach out of the box otherwise
    found = np.zeros(mask.shape, dtype=bool)
    found[box] = filled[tuple(slice(margin, -margin) for _ in range(3))]
    return found


def _reaches_edge(mask: Bools) -> Bools:
    """The part of the mask that is connected, within its slice, to the edge of the picture."""
    labels, count = ndimage.label(mask, structure=_IN_PLANE)
    is_at_edge = np.bincount(_edges(labels), minlength=count + 1) > 0
    is_at_edge[0] = False
    return np.asarray(is_at_edge[labels])


def _edges(labels: Ids) -> Ids:
    """The labels of all voxels at the four edges of the slices."""
    return np.concatenate([labels[:, [0, -1], :].ravel(), labels[:, 1:-1, [0, -1]].ravel()])


def _means(values: Floats, labels: Ids, volumes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The mean of each label's voxels."""
    sums = np.bincount(labels.ravel(), weights=values.ravel(), minlength=len(volumes))
    return np.asarray(sums / np.maximum(volumes, 1))


def _box_of(mask: Bools) -> Box:
    """The smallest box round the True voxels."""
    slices, rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    return slice(slices[0], slices[-1] + 1), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
