"""Two body maps laid over each other: the surface of the one onto that of the other.

Robust least squares on distances of surface points, so that a diaphragm that stands higher does not pull the whole lung with it. First
shift and rotation; then each axis of the patient may stretch as well, where that explains much of what is left: a deeper breath makes
lungs longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from dicom_node.values import BodyMap

from .places import Points

_POINTS = 500  # of the surface of each side
_TOLERANCE = 1e-5  # of the sum of squares: far below what the maps' spacing leaves open
# Two starts nearer than this lead to one place.
_SAME_START_MM = 6.0
# Beyond the map's box nothing is known; inside of this many voxels round it the distance goes on growing.
_PAD = 12
# Distances beyond this count less and less.
_ROBUST_MM = 3.0
_LARGEST_TURN, _LARGEST_STRETCH = 0.35, 0.2
# Stretching is kept where it takes away this part of what is left. Of a scan that is cut, lungs that are shorter by a breath look shifted:
# with a fifth in place of a tenth, one place in six was further off than stated (phantoms).
_WORTH = 0.1
# No fit: so few points lie in the other scan, or so much is left.
_LEAST_SHARE, _LARGEST_LEFT_MM = 0.4, 15.0
_SHARE = 90  # per cent of the points that are nearer than the error


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The affine, how far nine of ten surface points are off at most (more where few are seen), and how many points there were."""

    current_from_prior: npt.NDArray[np.float64]
    error_mm: float
    points: int


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """Distance to the surface of one side, positive outside, on a padded map; `low` and `high` bound the indices at which it is known."""

    distance_mm: npt.NDArray[np.float64]
    index_from_lps: npt.NDArray[np.float64]
    low: Points
    high: Points

    def at(self, lps: Points) -> tuple[Points, npt.NDArray[np.bool_]]:
        """Distances at places, and where they are known."""
        index = lps @ self.index_from_lps[:3, :3].T + self.index_from_lps[:3, 3]
        known = np.all((index >= self.low) & (index <= self.high), axis=1)
        return ndimage.map_coordinates(self.distance_mm, index.T, order=1, mode="nearest"), known


def lay_over(prior: BodyMap, current: BodyMap) -> Fit | None:
    """The affine from places of the prior to places of the current scan; None where the two do not fit."""
    sides = [int(side) for side in np.intersect1d(np.unique(prior.labels), np.unique(current.labels)) if side]
    surfaces = [_find_surface(prior, side) for side in sides]
    fields = [_find_field(current, side) for side in sides]
    before = [_find_field(prior, side) for side in sides]
    known = [(points, field, own.at(points)[0]) for points, field, own in zip(surfaces, fields, before, strict=True) if len(points)]
    if not known:
        return None
    middle = np.concatenate([points for points, _, _ in known]).mean(axis=0)
    rigid = min((_fit(known, middle, start, stretches=False) for start in _find_starts(prior, current)), key=lambda one: one.cost)
    stretched = _fit(known, middle, rigid.parameters, stretches=True)
    best = stretched if stretched.cost < (1 - _WORTH) * rigid.cost else rigid
    left_mm, share = best.left_mm, best.share
    if share < _LEAST_SHARE or np.median(left_mm) > _LARGEST_LEFT_MM / 2 or np.percentile(left_mm, _SHARE) > _LARGEST_LEFT_MM:
        return None
    error_mm = float(np.percentile(left_mm, _SHARE)) / share  # of what the other scan does not show nothing is known
    return Fit(_matrix(best.parameters, middle), error_mm, len(left_mm))


@dataclass(frozen=True, slots=True, eq=False)
class _Try:
    """Shift, turn and logarithm of the stretch (nine numbers); the mean cost of a point that is seen, what is left of each, their share."""

    parameters: Points
    cost: float
    left_mm: Points
    share: float


_Known = Sequence[tuple[Points, _Field, Points]]  # of each side: its surface, the other scan's field, the distances in its own field


def _fit(known: _Known, middle: Points, start: Points, *, stretches: bool) -> _Try:
    count = 9 if stretches else 6
    limits = np.array([np.inf] * 3 + [_LARGEST_TURN] * 3 + [_LARGEST_STRETCH] * 3)[:count]

    def left(parameters: Points) -> tuple[Points, npt.NDArray[np.bool_]]:
        matrix = _matrix(parameters, middle)
        parts = [(field.at(points @ matrix[:3, :3].T + matrix[:3, 3]), own) for points, field, own in known]
        return (
            np.concatenate([distance_mm - own for (distance_mm, _), own in parts]),
            np.concatenate([is_known for (_, is_known), _ in parts]),
        )

    def residuals(parameters: Points) -> Points:
        distances_mm, is_known = left(parameters)
        return np.where(is_known, distances_mm, 0.0)

    scale = np.array([1.0] * 3 + [0.01] * 3 + [0.01] * 3)[:count]
    found = least_squares(
        residuals,
        start[:count],
        bounds=(-limits, limits),
        x_scale=scale,
        loss="soft_l1",
        f_scale=_ROBUST_MM,
        max_nfev=60,
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
    )
    parameters = np.zeros(9)
    parameters[:count] = found.x
    distances_mm, is_known = left(parameters)
    left_mm = np.abs(distances_mm[is_known])
    share = float(np.mean(is_known))
    cost = float(np.mean(np.sqrt(1 + (left_mm / _ROBUST_MM) ** 2) - 1)) if share >= _LEAST_SHARE else np.inf
    return _Try(parameters, cost, left_mm if len(left_mm) else np.array([np.inf]), share)


def _matrix(parameters: Points, middle: Points) -> npt.NDArray[np.float64]:
    """Stretched along the patient's axes and turned round the middle, then shifted."""
    matrix = np.eye(4)
    stretch = np.exp(parameters[6:9]) if len(parameters) == 9 else np.ones(3)
    matrix[:3, :3] = Rotation.from_rotvec(parameters[3:6]).as_matrix() * stretch
    matrix[:3, 3] = middle + parameters[:3] - matrix[:3, :3] @ middle
    return matrix


def _find_starts(prior: BodyMap, current: BodyMap) -> list[Points]:
    """Middle on middle; and the upper, or the lower end on the other's, in case that a scan does not show all of the lungs."""
    boxes = []
    for body in (prior, current):
        matrix = np.array(body.lps_from_index)
        places = np.argwhere(body.labels > 0) @ matrix[:3, :3].T + matrix[:3, 3]
        boxes.append((places.mean(axis=0), places.min(axis=0), places.max(axis=0)))
    (mean, low, high), (other_mean, other_low, other_high) = boxes
    starts: list[Points] = []
    for up in (other_mean[2] - mean[2], other_high[2] - high[2], other_low[2] - low[2]):
        start = np.zeros(9)
        start[:2], start[2] = (other_mean - mean)[:2], up
        if all(abs(up - other[2]) > _SAME_START_MM for other in starts):
            starts.append(start)
    return starts


def _find_surface(body: BodyMap, side: int) -> Points:
    """Voxels of a side that touch another voxel that is none of it, as places; where the map ends is no surface."""
    mask = body.labels == side
    edge = mask & ~ndimage.binary_erosion(mask, border_value=1)
    index = np.argwhere(edge)
    matrix = np.array(body.lps_from_index)
    return np.asarray(index[:: max(1, len(index) // _POINTS)] @ matrix[:3, :3].T + matrix[:3, 3], dtype=np.float64)


def _find_field(body: BodyMap, side: int) -> _Field:
    """Padded where the side does not reach the end of the map: beyond an end that cuts it nothing is known."""
    mask = body.labels == side
    matrix = np.array(body.lps_from_index)
    spacing_mm = np.linalg.norm(matrix[:3, :3], axis=0)
    padded = np.pad(mask, _PAD, mode="edge")
    half_mm = float(np.cbrt(spacing_mm.prod())) / 2
    inside = ndimage.distance_transform_edt(padded, sampling=spacing_mm)
    outside = ndimage.distance_transform_edt(~padded, sampling=spacing_mm)
    low, high = np.zeros(3), np.array(padded.shape) - 1.0
    for axis, extent in enumerate(mask.shape):
        if mask.take(0, axis=axis).any():
            low[axis] = _PAD
        if mask.take(extent - 1, axis=axis).any():
            high[axis] = _PAD + extent - 1
    shifted = matrix.copy()
    shifted[:3, 3] -= matrix[:3, :3] @ np.full(3, float(_PAD))
    return _Field(np.where(padded, half_mm - inside, outside - half_mm), np.linalg.inv(shifted), low, high)
