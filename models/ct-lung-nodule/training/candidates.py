"""Lungs by threshold and candidates by blobs: what the node does before the network, in short.

The node's own code is `dicom_node/infer/`; this is a small twin of it so that training needs neither the node nor its
dependencies. Both follow the same numbers, see SETTINGS.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scans import FloatArray, Scan

AIR_HU = -400.0
CLOSING_MM = 10.0
GRID_MM = 2.0
CLIP_HU = (-1000.0, 200.0)
SIGMAS_MM = (1.5, 2.1, 3.0, 4.2, 6.0, 8.0)
MINIMUM_RESPONSE_HU = 60.0
BRIGHT_HU = -500.0
REGION_ML = (0.03, 20.0)
MERGE_MM = 4.0
CAP = 600


@dataclass(frozen=True, slots=True)
class Candidates:
    """Places to look at, best blob first."""

    index: NDArray[np.float64]                    # (n, 3): slice, row, column
    response_hu: NDArray[np.float64]              # (n,)
    sigma_mm: NDArray[np.float64]                 # (n,); 0 for a region of the second source


def find_candidates(scan: Scan, cap: int = CAP) -> Candidates:
    """Find blobs and closed bright regions inside the closed lungs, on a grid of about 2 mm."""
    zoom = np.array(scan.spacing_mm) / GRID_MM
    # An order 1 zoom of a finer grid takes single voxels; averaging first keeps the noise of sharp kernels out.
    smooth = ndimage.gaussian_filter(np.clip(scan.hu, *CLIP_HU), np.maximum(0.0, 0.5 * (1 / zoom - 1)))
    coarse = ndimage.zoom(smooth, zoom, order=1, grid_mode=True, mode="nearest")
    lungs = find_lungs(coarse)
    index, response, sigma = _find_blobs(coarse, lungs)
    region_index, region_response = _find_regions(coarse, lungs)
    index = np.concatenate([index, region_index])
    response = np.concatenate([response, region_response])
    sigma = np.concatenate([sigma, np.zeros(len(region_index))])
    keep = _merge(index * GRID_MM, response)[:cap]
    scale = np.array(coarse.shape) / np.array(scan.hu.shape)
    return Candidates((index[keep] + 0.5) / scale - 0.5, response[keep], sigma[keep])


def find_lungs(coarse_hu: FloatArray, grid_mm: float = GRID_MM) -> NDArray[np.bool_]:
    """Mark the closed lungs: the two largest air regions off the border of the slices, closed and filled."""
    air = coarse_hu < AIR_HU
    border = np.zeros_like(air)
    border[..., [0, -1], :] = True                # the first and the last slice may cut through the lungs
    border[..., :, [0, -1]] = True
    labels, count = ndimage.label(air)
    outside = np.unique(labels[border & air])
    volumes = np.bincount(labels.ravel(), minlength=count + 1)
    volumes[0] = 0
    volumes[outside] = 0
    largest = [label for label in np.argsort(volumes)[::-1][:2] if volumes[label] > 0.1 * volumes.max()]
    lungs = np.isin(labels, largest) & (labels > 0)
    radius = int(round(CLOSING_MM / grid_mm))
    padded = np.pad(lungs, radius + 1)
    # Distances instead of a ball: a closing of 10 mm by a structuring element takes a minute.
    grown = ndimage.distance_transform_edt(~padded) <= radius
    closed = ndimage.distance_transform_edt(grown) > radius
    crop = tuple(slice(radius + 1, -radius - 1) for _ in range(closed.ndim))
    closed = (closed[crop] | lungs)
    if closed.ndim == 2:
        return np.asarray(ndimage.binary_fill_holes(closed))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in closed])


def _find_blobs(
    coarse_hu: FloatArray, lungs: NDArray[np.bool_], grid_mm: float = GRID_MM
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find local maxima in space and scale of the scale-normalised Laplacian of Gaussian."""
    stack = np.stack(
        [-((s / grid_mm) ** 2) * ndimage.gaussian_laplace(coarse_hu, s / grid_mm) for s in SIGMAS_MM]
    )
    peak = (stack == ndimage.maximum_filter(stack, size=3)) & (stack > MINIMUM_RESPONSE_HU) & lungs[None]
    where = np.argwhere(peak)
    return where[:, 1:].astype(float), stack[peak].astype(float), np.array(SIGMAS_MM)[where[:, 0]]


def _find_regions(
    coarse_hu: FloatArray, lungs: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find connected bright regions with holes filled: a nodule with a hollow centre is no bright blob."""
    bright = ndimage.binary_fill_holes((coarse_hu > BRIGHT_HU) & lungs)
    # Opening by one voxel cuts the thin vessels that tie a nodule to the tree.
    opened = ndimage.binary_opening(bright, ndimage.generate_binary_structure(3, 1))
    labels, count = ndimage.label(opened)
    if count == 0:
        return np.zeros((0, 3)), np.zeros(0)
    ids = np.arange(1, count + 1)
    millilitres = ndimage.sum_labels(opened, labels, ids) * GRID_MM**3 / 1000
    chosen = ids[(millilitres >= REGION_ML[0]) & (millilitres <= REGION_ML[1])]
    centres = np.array(ndimage.center_of_mass(opened, labels, chosen)).reshape(-1, 3)
    contrast = ndimage.mean(coarse_hu, labels, chosen) - AIR_HU if len(chosen) else np.zeros(0)
    return centres, np.asarray(contrast, dtype=float).reshape(-1)


def _merge(position_mm: NDArray[np.float64], response: NDArray[np.float64]) -> NDArray[np.int64]:
    """Keep the strongest of candidates that lie within MERGE_MM of each other; gives indices, strongest first."""
    order = np.argsort(-response, kind="stable")
    kept: list[int] = []
    for i in order:
        if all(np.sum((position_mm[i] - position_mm[k]) ** 2) > MERGE_MM**2 for k in kept):
            kept.append(int(i))
    return np.array(kept, dtype=np.int64)


def find_slice_candidates(hu: FloatArray, spacing_mm: float) -> NDArray[np.float64]:
    """Find bright spots in the lungs of a single slice; gives (n, 2) row, column, brightest first.

    A slice that is cut to the lungs may have lung at its border, so no region is dropped for touching it there:
    air outside the body is told by its mean value instead (air -1000, lung above -950 HU).
    """
    zoom = spacing_mm / 1.0
    coarse = ndimage.zoom(np.clip(hu, *CLIP_HU), zoom, order=1, grid_mode=True, mode="nearest")
    labels, count = ndimage.label(coarse < AIR_HU)
    ids = np.arange(1, count + 1)
    area_mm2 = ndimage.sum_labels(np.ones_like(coarse), labels, ids)
    mean_hu = ndimage.mean(coarse, labels, ids)
    chosen = ids[(area_mm2 > 400) & (mean_hu > -950)]
    radius = CLOSING_MM
    padded = np.pad(np.isin(labels, chosen), 12)
    grown = ndimage.distance_transform_edt(~padded) <= radius
    lungs = ndimage.binary_fill_holes((ndimage.distance_transform_edt(grown) > radius) | padded)[12:-12, 12:-12]
    index, response, _ = _find_blobs(coarse, lungs, grid_mm=1.0)
    keep = _merge(np.pad(index, ((0, 0), (0, 3 - index.shape[1]))), response)
    scale = np.array(coarse.shape) / np.array(hu.shape)
    return (index[keep] + 0.5) / scale - 0.5
