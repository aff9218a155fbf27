"""Axial patches at given places, sampled as the node samples them: trilinear, centred, one spacing for every scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scans import FloatArray, Scan

SIZE = 40                                         # rows and columns that the network sees
SPACING_MM = 0.8
CLIP_HU = (-1000.0, 400.0)                        # to 0..1, the window of the LUNA16 patch set
SOURCE_SIZE = 64                                  # what training keeps, so that shifts and turns find pixels


def scale_hu(hu: FloatArray) -> FloatArray:
    """Bring HU to the network's 0..1."""
    low, high = CLIP_HU
    return np.asarray((np.clip(hu, low, high) - low) / (high - low), dtype=np.float32)


def sample_scan(
    scan: Scan, index: NDArray[np.float64], size: int = SIZE, offset_mm: float = 0.0, spacing_mm: float = SPACING_MM
) -> FloatArray:
    """Sample patches (n, size, size) at (slice, row, column) indices, `offset_mm` towards the head; scaled to 0..1.

    The centre of the patch lies between its middle pixels: pixel i is at (i - (size - 1) / 2) * spacing_mm.
    Beyond the scan the nearest voxel is repeated.
    """
    across = (np.arange(size) - (size - 1) / 2) * spacing_mm
    rows, columns = np.meshgrid(across / scan.spacing_mm[1], across / scan.spacing_mm[2], indexing="ij")
    patches = np.empty((len(index), size, size), dtype=np.float32)
    for i, (k, row, column) in enumerate(index):
        points = [np.full_like(rows, k + offset_mm / scan.spacing_mm[0]), row + rows, column + columns]
        patches[i] = ndimage.map_coordinates(scan.hu, points, order=1, mode="nearest")
    return scale_hu(patches)


def sample_slice(hu: FloatArray, spacing_mm: float, index: NDArray[np.float64], size: int = SIZE) -> FloatArray:
    """Sample patches from one slice at (row, column) indices; beyond the slice the nearest pixel is repeated."""
    scan = Scan("", "", hu[None], (1.0, spacing_mm, spacing_mm), (0.0, 0.0, 0.0))
    return sample_scan(scan, np.pad(index, ((0, 0), (1, 0))), size)
