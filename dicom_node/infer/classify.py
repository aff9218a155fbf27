"""Scores for candidates: a network looks at patches in the patient's planes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from dicom_node.package import NetworkClassify
from dicom_node.values import Reason, Volume
from dicom_node.values.reasons import NotANumber

from .detect import by_strength
from .inputs import Floats, grid_of, scale
from .regions import Candidate, merge_near
from .windows import Network, is_finite

# Per plane, the directions in LPS of rows, of columns, and of the normal that offsets count along.
_PLANES = {
    "axial": ((0, 1, 0), (1, 0, 0), (0, 0, 1)),  # rows to posterior, columns to left, offsets to superior
    "coronal": ((0, 0, -1), (1, 0, 0), (0, 1, 0)),  # rows to inferior, columns to left, offsets to posterior
    "sagittal": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),  # rows to inferior, columns to posterior, offsets to left
}


def find_passing(
    volume: Volume, candidates: Sequence[Candidate], stage: NetworkClassify, network: Network
) -> tuple[Candidate, ...] | Reason:
    """The candidates that the network's score lets pass, the highest first, near ones as one; or NotANumber."""
    scores = find_scores(volume, candidates, stage, network)
    if isinstance(scores, Reason):
        return scores
    scored = (replace(candidate, score=float(score)) for candidate, score in zip(candidates, scores, strict=True))
    passing = sorted((candidate for candidate in scored if (candidate.score or 0.0) >= stage.threshold), key=by_strength)
    return merge_near(tuple(passing), stage.merge_mm)


def find_scores(
    volume: Volume, candidates: Sequence[Candidate], stage: NetworkClassify, network: Network
) -> npt.NDArray[np.float64] | Reason:
    """One score for each candidate: the sigmoid of its calibrated mean logit over offsets and quarter turns."""
    views = len(stage.average_offsets_mm) * stage.rotations
    logits = np.zeros(len(candidates), dtype=np.float64)
    for offset_mm in stage.average_offsets_mm:
        for first, patches in _patches(volume, candidates, stage, offset_mm):
            for turn in range(stage.rotations):
                out = network(np.ascontiguousarray(np.rot90(patches, turn, axes=(2, 3))))
                if not is_finite(out):
                    return NotANumber(stage.name)
                logits[first : first + len(patches)] += out.reshape(len(patches), -1)[:, 0].astype(np.float64) / views
    return 1.0 / (1.0 + np.exp(-np.clip((logits + stage.bias) / stage.temperature, -60.0, 60.0)))


def sample_patches(volume: Volume, centres_lps: npt.ArrayLike, stage: NetworkClassify, offset_mm: float = 0.0) -> Floats:
    """Patches (n, channels, rows, columns) round places (n, 3) in LPS millimetres, scaled as the stage says.

    Pixel i of a row of n lies at (i - (n - 1) / 2) times the spacing from the centre. Values are interpolated between the
    source's voxels, then clipped; beyond the source its edge goes on. All channels are moved by `offset_mm`.
    """
    rows, columns, normal = (np.array(direction, dtype=np.float64) for direction in _PLANES[stage.plane])
    down = (np.arange(stage.size[0]) - (stage.size[0] - 1) / 2) * stage.spacing_mm[0]
    across = (np.arange(stage.size[1]) - (stage.size[1] - 1) / 2) * stage.spacing_mm[1]
    along = np.array(stage.channel_offsets_mm) + offset_mm
    pattern = along[:, None, None, None] * normal + down[:, None, None] * rows + across[:, None] * columns
    grid = grid_of(volume.geometry)
    steps = pattern @ np.linalg.inv(grid.matrix[:3, :3]).T
    places = grid.index_at(centres_lps)[:, None, None, None, :] + steps
    values = np.empty(places.shape[:-1], dtype=np.float32)
    ndimage.map_coordinates(volume.voxels, np.moveaxis(places, -1, 0), order=1, mode="nearest", output=values)
    if stage.intensity.clip is not None:
        np.clip(values, *stage.intensity.clip, out=values)
    return scale(values, stage.intensity)


def _patches(volume: Volume, candidates: Sequence[Candidate], stage: NetworkClassify, offset_mm: float) -> Iterator[tuple[int, Floats]]:
    """Batches of patches, each with the number of its first candidate."""
    for first in range(0, len(candidates), stage.batch):
        centres = np.array([candidate.centre_lps for candidate in candidates[first : first + stage.batch]])
        yield first, sample_patches(volume, centres, stage, offset_mm)
