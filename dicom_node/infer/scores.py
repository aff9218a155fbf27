"""The score of each voxel, as a network gave it: kept on the network's own grid, since whoever wants it wants no interpolation."""

import numpy as np
import numpy.typing as npt

from dicom_node.values import SCORE_STEPS, Affine, ScoreMap

from .inputs import Floats, Grid

MOST_VOXELS = 64 * 1024 * 1024  # of a network's grid: 128 MiB; of a larger one no scores are kept

_DIGITS = 9  # of the map's place in mm: the same on every machine

Steps = npt.NDArray[np.uint16]


def with_room(grid: Grid) -> Steps | None:
    """Room for the scores of a network's grid; None where they would be too many."""
    return np.zeros(grid.shape, dtype=np.uint16) if int(np.prod(grid.shape)) <= MOST_VOXELS else None


def quantise(scores: Floats) -> Steps:
    """Scores from 0 to 1 as whole steps."""
    return np.asarray(np.rint(scores * np.float32(SCORE_STEPS)), dtype=np.uint16)


def sigmoid(logits: Floats) -> Floats:
    """Scores of logits."""
    return np.asarray(np.float32(1) / (np.float32(1) + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)


def make_score_map(stage: str, scores: Steps, grid: Grid, source: Grid) -> ScoreMap | None:
    """What lies within the source's field, with axes in the source's order and sense; None where nothing does.

    The grids' axes are parallel up to order and sense (`inputs.target_grid`). No value is changed.
    """
    source_from_grid = np.linalg.inv(source.matrix) @ grid.matrix
    order = [int(np.argmax(np.abs(source_from_grid[own, :3]))) for own in range(3)]
    turned, axes, start = scores.transpose(order), grid.matrix[:3, order], grid.matrix[:3, 3].copy()
    for own, taken in enumerate(order):
        step, count = source_from_grid[own, taken], turned.shape[own]
        if step < 0:
            turned = np.flip(turned, own)
            start += axes[:, own] * (count - 1)
            axes[:, own] = -axes[:, own]
        first = source_from_grid[own, 3] + min(step * (count - 1), 0.0)  # where the first one lies, in the source's index
        places = first + abs(step) * np.arange(count)
        within = np.flatnonzero((places >= -0.5) & (places <= source.shape[own] - 0.5))
        if not within.size:
            return None
        turned = turned[(slice(None),) * own + (slice(int(within[0]), int(within[-1]) + 1),)]
        start += axes[:, own] * float(within[0])
    kept = np.ascontiguousarray(turned)
    kept.setflags(write=False)
    return ScoreMap(stage, kept, _affine(axes, start))


def _affine(axes: npt.NDArray[np.float64], start: npt.NDArray[np.float64]) -> Affine:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, start
    first, second, third, fourth = (tuple(round(float(value), _DIGITS) + 0.0 for value in row) for row in matrix)
    return first, second, third, fourth  # type: ignore[return-value]
