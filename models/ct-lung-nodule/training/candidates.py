"""Where to look: in scans by the node's own stages, in single slices by their two-dimensional twin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_node.infer.detect import find_blobs
from dicom_node.infer.lungs import find_lungs
from dicom_node.package import BlobDetect, Intensity, ThresholdSegment
from dicom_node.values import Geometry, Volume
from dicom_node.values.geometry import Form
from scans import FloatArray, Scan

# The same numbers stand in package.toml and in SETTINGS.md; change them together.
LUNGS = ThresholdSegment(kind="segment", by="threshold", name="lungs", below=-400.0)
BLOBS = BlobDetect(
    kind="detect",
    by="blobs",
    name="candidates",
    inside="lungs",
    intensity=Intensity(clip=(-1000.0, 200.0)),
    sigmas_mm=(1.5, 2.1, 3.0, 4.2, 6.0, 8.0),
    least_response=200.0,
    regions_above=-500.0,
    region_mm=(4.0, 40.0),
    merge_mm=4.0,
    at_most=1000,
)
# Training also looks at fainter places than the node does: more negatives, and no edge at the node's own limit.
LEAST_IN_TRAINING_HU = 60.0
AIR_SLICE_HU = -950.0                             # the mean of free air stays below this, that of lung above


@dataclass(frozen=True, slots=True)
class Candidates:
    """Places to look at, strongest first."""

    index: NDArray[np.float64]                    # (n, 3): slice, row, column
    response_hu: NDArray[np.float64]              # (n,)
    lungs_ml: float


def find_candidates(
    scan: Scan, at_most: int = BLOBS.at_most, least_response: float = BLOBS.least_response
) -> Candidates:
    """Find the candidates of a scan by the node's stages, the strongest first."""
    volume = make_volume(scan)
    lungs = find_lungs(volume, LUNGS)
    found = find_blobs(volume, lungs, BLOBS.model_copy(update={"least_response": least_response}))[:at_most]
    index = scan.index_from_lps(np.array([candidate.centre_lps for candidate in found]).reshape(-1, 3))
    millilitres = float(np.count_nonzero(lungs)) * float(np.prod(scan.spacing_mm)) / 1000
    return Candidates(index, np.array([candidate.response for candidate in found]), millilitres)


def make_volume(scan: Scan) -> Volume:
    """Give a scan the form in which the node's stages take it."""
    slice_mm, row_mm, column_mm = scan.spacing_mm
    x, y, z = scan.origin_lps
    affine = ((0.0, 0.0, column_mm, x), (0.0, row_mm, 0.0, y), (slice_mm, 0.0, 0.0, z), (0.0, 0.0, 0.0, 1.0))
    slices, rows, columns = scan.hu.shape
    geometry = Geometry(Form.CLASSIC, (), (slices, rows, columns), scan.spacing_mm, None, affine, None)
    return Volume(geometry, np.round(scan.hu).astype(np.int16))


def find_slice_candidates(hu: FloatArray, spacing_mm: float) -> NDArray[np.float64]:
    """Find bright spots in the lungs of a single slice; gives (n, 2) row, column, brightest first.

    On a 1 mm grid, by the stages' numbers. A slice that is cut to the lungs may have lung at its border, so nothing is
    dropped for touching it: free air is told by its mean value.
    """
    coarse = ndimage.zoom(np.clip(hu, *_clip_hu()), spacing_mm, order=1, grid_mode=True, mode="nearest")
    lungs = _find_slice_lungs(coarse)
    stack = np.stack([-(sigma**2) * ndimage.gaussian_laplace(coarse, sigma) for sigma in BLOBS.sigmas_mm])
    peak = (stack == ndimage.maximum_filter(stack, size=3)) & (stack > LEAST_IN_TRAINING_HU) & lungs[None]
    places = np.argwhere(peak)[np.argsort(-stack[peak], kind="stable"), 1:].astype(float)
    kept = np.empty((0, 2))
    for place in places:
        if not len(kept) or np.min(np.sum((kept - place) ** 2, axis=1)) > BLOBS.merge_mm**2:
            kept = np.vstack([kept, place])
    scale = np.array(coarse.shape) / np.array(hu.shape)
    return (kept + 0.5) / scale - 0.5


def _find_slice_lungs(coarse_hu: FloatArray) -> NDArray[np.bool_]:
    labels, count = ndimage.label(coarse_hu < LUNGS.below)
    ids = np.arange(1, count + 1)
    area_mm2 = ndimage.sum_labels(np.ones_like(coarse_hu), labels, ids)
    mean_hu = ndimage.mean(coarse_hu, labels, ids)
    margin = int(LUNGS.closing_mm) + 2
    air = np.pad(np.isin(labels, ids[(area_mm2 > 400) & (mean_hu > AIR_SLICE_HU)]), margin)
    grown = ndimage.distance_transform_edt(~air) <= LUNGS.closing_mm
    closed = ndimage.distance_transform_edt(grown) > LUNGS.closing_mm
    return np.asarray(ndimage.binary_fill_holes(closed | air)[margin:-margin, margin:-margin])


def _clip_hu() -> tuple[float, float]:
    assert BLOBS.intensity.clip is not None
    return BLOBS.intensity.clip
