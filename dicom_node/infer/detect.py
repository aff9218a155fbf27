"""Candidates: places that a classifier shall look at."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dicom_node.package import BlobDetect, HeatMapDetect, Input
from dicom_node.values import Reason, ScoreMap, Volume
from dicom_node.values.reasons import NotANumber

from .inputs import Bools, Box, Floats, Grid, Ids, Labels, grid_of, prepare, resample, scale, target_grid
from .regions import Candidate, merge_near
from .scores import make_score_map, quantise, sigmoid, with_room
from .windows import Network, is_finite, slide, with_channels

# Radius of the ball that answers a Laplacian of Gaussian most strongly, in units of its sigma (three dimensions).
_RADIUS_OF_SIGMA = 3**0.5


def find_blobs(volume: Volume, inside: Labels, stage: BlobDetect) -> tuple[Candidate, ...]:
    """Every blob and closed bright region inside the mask (non-zero voxels of `inside`, on the source grid), strongest first.

    `response` is in the units of the volume after `stage.intensity`: for a ball of contrast C about 0.9 C. Not capped: that is
    `stage.at_most` of the caller. Works on the patient's axes at `stage.spacing_mm`, cropped to the mask.
    """
    source = grid_of(volume.geometry)
    box = _box_round(inside != 0, [3 * max(stage.sigmas_mm) / mm for mm in source.spacing_mm])
    if box is None:
        return ()
    field = source.cropped(box)
    grid = target_grid(field, Input(orientation="SPL", spacing_mm=(stage.spacing_mm,) * 3))
    values = scale(resample(volume.voxels[box], field, grid, stage.intensity.clip), stage.intensity)
    mask = resample((inside[box] != 0).astype(np.uint8), field, grid) >= 0.5
    found = _find_bright_blobs(values, mask, grid, stage)
    if stage.regions_above is not None:
        found += _find_bright_regions(values, mask, grid, stage)
    return merge_near(tuple(sorted(found, key=by_strength)), stage.merge_mm)


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """Candidates, the highest first; and the heat map itself, where it was wanted and is one of scores."""

    candidates: tuple[Candidate, ...]
    scores: ScoreMap | None = None


def find_peaks(
    volume: Volume, inside: Labels | None, stage: HeatMapDetect, network: Network, *, wants_scores: bool = False
) -> Peaks | Reason:
    """Every local maximum of a network's heat map above the threshold; or NotANumber.

    With the sigmoid the value is the candidate's score. A heat map says nothing of size: the radius is `stage.merge_mm`.
    """
    values, grid = prepare(volume, stage.input, stage.intensity)
    heat = np.empty(grid.shape, dtype=np.float32)
    for first, output in slide(values, stage.window, with_channels(network, stage.window, stage.model)):
        if not is_finite(output):
            return NotANumber(stage.name)
        heat[first : first + output.shape[1]] = output[stage.channel]
    if stage.activation == "sigmoid":
        heat = sigmoid(heat)
    is_peak = (heat == ndimage.maximum_filter(heat, size=3)) & (heat > stage.threshold)
    if inside is not None:
        is_peak &= resample((inside != 0).astype(np.uint8), grid_of(volume.geometry), grid) >= 0.5
    found = [
        Candidate(candidate.centre_lps, stage.merge_mm, candidate.response, candidate.response if stage.activation == "sigmoid" else None)
        for candidate in _candidates(grid.lps_at(np.argwhere(is_peak)), np.zeros(int(is_peak.sum())), heat[is_peak])
    ]
    room = with_room(grid) if wants_scores and stage.activation == "sigmoid" else None
    if room is not None:
        for number, plane in enumerate(heat):
            room[number] = quantise(plane)
    scores = None if room is None else make_score_map(stage.name, room, grid, grid_of(volume.geometry))
    return Peaks(merge_near(tuple(sorted(found, key=by_strength)), stage.merge_mm), scores)


def by_strength(candidate: Candidate) -> tuple[float, ...]:
    """Sorting key: score, then response, the highest first; then place, so that the order never hangs on chance."""
    return (-(candidate.score or 0.0), -candidate.response, *candidate.centre_lps)


def _find_bright_blobs(values: Floats, mask: Bools, grid: Grid, stage: BlobDetect) -> list[Candidate]:
    """Local maxima, in space and size, of the scale-normalised Laplacian of Gaussian."""
    sigmas = [sigma_mm / stage.spacing_mm for sigma_mm in stage.sigmas_mm]
    responses = np.stack([-(sigma**2) * ndimage.gaussian_laplace(values, sigma, mode="nearest", truncate=3.5) for sigma in sigmas])
    is_peak = (responses == ndimage.maximum_filter(responses, size=3)) & (responses >= stage.least_response) & mask
    scales, slices, rows, columns = np.nonzero(is_peak)
    centres = grid.lps_at(np.stack([slices, rows, columns], axis=1))
    radii = np.array(stage.sigmas_mm)[scales] * _RADIUS_OF_SIGMA
    return _candidates(centres, radii, responses[is_peak])


def _find_bright_regions(values: Floats, mask: Bools, grid: Grid, stage: BlobDetect) -> list[Candidate]:
    """Connected regions above `regions_above` with their holes filled, alone and cut off from thin vessels.

    A nodule with a hollow centre is no bright blob. `region_mm` limits the diameter of the ball of the same volume. The
    response is the mean of the region, holes included, above the mean of what surrounds it.
    """
    assert stage.regions_above is not None
    bright = ndimage.binary_fill_holes((values > stage.regions_above) & mask)
    found: list[Candidate] = []
    for regions in (bright, ndimage.binary_opening(bright)):
        labels, count = ndimage.label(regions)
        if not count:
            continue
        volumes = np.bincount(labels.ravel())
        diameters_mm = np.cbrt(volumes * stage.spacing_mm**3 * 6 / np.pi)
        numbers = np.flatnonzero((diameters_mm >= stage.region_mm[0]) & (diameters_mm <= stage.region_mm[1]))
        numbers = numbers[numbers > 0]
        boxes = ndimage.find_objects(labels)
        centres = [np.array(ndimage.center_of_mass(labels[boxes[n - 1]] == n)) + [p.start for p in boxes[n - 1]] for n in numbers]
        contrasts = np.array([_contrast(values, labels, mask, int(n), boxes[n - 1]) for n in numbers])
        if len(numbers):
            found += _candidates(grid.lps_at(np.array(centres)), diameters_mm[numbers] / 2, contrasts)
    return [candidate for candidate in found if candidate.response >= stage.least_response]


def _contrast(values: Floats, labels: Ids, mask: Bools, number: int, box: Box) -> float:
    """Mean of a region minus mean of the shell of two voxels round it, as far as it lies in the mask."""
    wider = tuple(slice(max(0, part.start - 2), part.stop + 2) for part in box)
    region = labels[wider] == number
    shell = ndimage.binary_dilation(region, iterations=2) & ~region & (labels[wider] == 0) & mask[wider]
    if not shell.any():
        return 0.0
    return float(values[wider][region].mean(dtype=np.float64) - values[wider][shell].mean(dtype=np.float64))


def _candidates(centres: npt.NDArray[np.float64], radii: npt.NDArray[np.float64], responses: npt.NDArray[np.generic]) -> list[Candidate]:
    return [
        Candidate((float(x), float(y), float(z)), float(radius), float(response))
        for (x, y, z), radius, response in zip(centres, radii, responses, strict=True)
    ]


def _box_round(mask: Bools, margins: list[float]) -> Box | None:
    """The box round the True voxels, wider by the margins (in voxels) where there is room; None where there are none."""
    parts = []
    for axis, margin in enumerate(margins):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not used.size:
            return None
        wider = int(np.ceil(margin))
        parts.append(slice(max(0, int(used[0]) - wider), min(mask.shape[axis], int(used[-1]) + 1 + wider)))
    return parts[0], parts[1], parts[2]
