"""Do planes make a grid: one stack, or several in one series?"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dicom_node.values import Affine, Form, Geometry, Reason
from dicom_node.values.reasons import (
    DuplicatePosition,
    IncompleteVolume,
    MixedGrid,
    MixedOrientation,
    SliceGap,
    Tilted,
    TooFew,
    UnevenSpacing,
)

from .planes import Plane
from .split import find_split

# Two planes have a spacing; how many more a model wants is a condition of its package.
LEAST_SLICES = 2

ORIENTATION_TOLERANCE = 1e-3  # each direction cosine, against the median of the series
SPACING_TOLERANCE_MM = 0.1  # between slices, or
SPACING_TOLERANCE_SHARE = 0.02  # this share of the spacing, whichever is larger
PIXEL_SPACING_TOLERANCE_SHARE = 1e-3
SAME_PLACE_MM = 0.02  # closer along the normal is the same place, printed with other digits
# A stack may lean by what rounded cosines explain, and rounded positions: more is a tilt.
SIDEWAYS_TOLERANCE_MM = 0.1
SIDEWAYS_TOLERANCE_SHARE = 1e-3  # of the length of the stack
# With more oversized steps than this share the spacing changes, with fewer slices are missing.
_GAPS_SHARE = 0.1

Array = npt.NDArray[np.float64]


def find_stacks(planes: Sequence[Plane], *, tolerated: tuple[str, ...] = ()) -> tuple[Geometry | Reason, ...]:
    """One Geometry per volume that the planes make, or the reason why they make none.

    Where places repeat, the first attribute that tells the volumes apart splits them; a volume that lacks slices of the others'
    is an IncompleteVolume, the complete ones stand. Else one of MixedOrientation, MixedGrid, Tilted, TooFew, DuplicatePosition,
    SliceGap, UnevenSpacing. A gap, a change of spacing or a repeated place in a series whose slices differ in thickness is
    MixedGrid(SliceThickness): two reconstructions under one UID.
    """
    axes = _find_axes(planes)
    if isinstance(axes, Reason):
        return (axes,)
    refusal = _find_unequal(planes) or _find_sideways(planes, axes)
    if refusal is not None:
        return (refusal,)
    places = _places(planes, axes)
    positions, counts = np.unique(places, return_counts=True)
    if counts.max() == 1:
        return (_find_grid(planes, axes, volume_of=None, tolerated=tolerated),)
    groups = find_split(planes, places) if len(positions) >= LEAST_SLICES else None
    if groups is None:
        if _thickness_differs(planes):
            return (MixedGrid(attribute="SliceThickness"),)
        along = float(_along(planes, axes)[places == positions[counts.argmax()]].mean())
        return (DuplicatePosition(position_mm=round(along, 3), count=int(counts.max())),)
    fullest = max((members for _, members in groups), key=len)
    volumes: list[Geometry | Reason] = []
    for volume_of, members in groups:
        if len(members) < len(fullest) and set(places[members]) <= set(places[fullest]):
            volumes.append(IncompleteVolume(attribute=volume_of[0], slices=len(members), wanted=len(fullest)))
        else:
            volumes.append(_find_grid([planes[index] for index in members], axes, volume_of=volume_of, tolerated=tolerated))
    return tuple(volumes)


def _find_axes(planes: Sequence[Plane]) -> Array | MixedOrientation:
    """The series' row cosine, column cosine and normal as rows of a 3x3 array in LPS, orthonormal; or MixedOrientation."""
    cosines = np.array([(*plane.row_cosine, *plane.column_cosine) for plane in planes])
    median = np.median(cosines, axis=0)
    if np.abs(cosines - median).max() > ORIENTATION_TOLERANCE:
        return MixedOrientation(orientations=_count_orientations(cosines))
    row = median[:3] / np.linalg.norm(median[:3])
    column = median[3:] - row * (row @ median[3:])
    column = column / np.linalg.norm(column)
    return np.array([row, column, np.cross(row, column)])


def _count_orientations(cosines: Array) -> int:
    seen: list[Array] = []
    for cosine in cosines[np.lexsort(cosines.T)]:
        if all(np.abs(cosine - other).max() > ORIENTATION_TOLERANCE for other in seen):
            seen.append(cosine)
    return max(2, len(seen))


def _find_unequal(planes: Sequence[Plane]) -> MixedGrid | None:
    """The first attribute of the grid in which the planes differ."""
    for attribute, values in (
        ("Rows", {plane.rows for plane in planes}),
        ("Columns", {plane.columns for plane in planes}),
        ("PhotometricInterpretation", {plane.photometric_interpretation for plane in planes}),
    ):
        if len(values) > 1:
            return MixedGrid(attribute=attribute)
    spacings = np.array([plane.pixel_spacing_mm for plane in planes])
    median = np.median(spacings, axis=0)
    if (np.abs(spacings - median) > PIXEL_SPACING_TOLERANCE_SHARE * median).any():
        return MixedGrid(attribute="PixelSpacing")
    return None


def _find_sideways(planes: Sequence[Plane], axes: Array) -> Tilted | MixedGrid | None:
    """Whether the planes move in-plane along the stack: steadily (a tilt, declared or not) or by jumps."""
    in_plane = _positions(planes) @ axes[:2].T
    along = _along(planes, axes)
    length_mm = float(np.ptp(along))
    limit_mm = SIDEWAYS_TOLERANCE_MM + SIDEWAYS_TOLERANCE_SHARE * length_mm
    centred, offsets = along - along.mean(), in_plane - in_plane.mean(axis=0)
    lean = centred @ offsets / (centred @ centred) if length_mm > SAME_PLACE_MM else np.zeros(2)
    if np.linalg.norm(offsets - np.outer(centred, lean), axis=1).max() > limit_mm:
        return MixedGrid(attribute="ImagePositionPatient")
    if np.linalg.norm(lean) * length_mm > limit_mm:
        return Tilted(angle_deg=round(math.degrees(math.atan(float(np.linalg.norm(lean)))), 1))
    return None


def _places(planes: Sequence[Plane], axes: Array) -> npt.NDArray[np.int64]:
    """The rank of each plane's place along the normal; planes at the same place share it."""
    along = _along(planes, axes)
    order = np.argsort(along, kind="stable")
    ranks = np.empty(len(planes), dtype=np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(np.diff(along[order]) > SAME_PLACE_MM)])
    return ranks


def _find_grid(planes: Sequence[Plane], axes: Array, *, volume_of: tuple[str, str] | None, tolerated: tuple[str, ...]) -> Geometry | Reason:
    """The grid of planes no two of which lie at the same place."""
    if len(planes) < LEAST_SLICES:
        return TooFew(slices=len(planes), wanted=LEAST_SLICES)
    stack = sorted(planes, key=lambda plane: float(np.dot(plane.position_lps, axes[2])))
    uneven = _find_uneven(_along(stack, axes))
    if uneven is not None:
        return MixedGrid(attribute="SliceThickness") if _thickness_differs(stack) else uneven
    first, last = np.array(stack[0].position_lps), np.array(stack[-1].position_lps)
    step = (last - first) / (len(stack) - 1)
    row_mm, column_mm = (float(value) for value in np.median([plane.pixel_spacing_mm for plane in stack], axis=0))
    return Geometry(
        form=Form.ENHANCED if any(plane.is_multi_frame for plane in stack) else Form.CLASSIC,
        frames=tuple(plane.frame for plane in stack),
        shape=(len(stack), stack[0].rows, stack[0].columns),
        spacing_mm=(float(step @ axes[2]), row_mm, column_mm),
        slice_thickness_mm=None if _thickness_differs(stack) else stack[0].slice_thickness_mm,
        lps_from_index=_affine(step, axes[1] * row_mm, axes[0] * column_mm, first),
        frame_of_reference_uid=stack[0].frame_of_reference_uid,
        volume_of=volume_of,
        tolerated=tolerated,
    )


def _find_uneven(along: Array) -> SliceGap | UnevenSpacing | None:
    """What is wrong with the distances of sorted planes, if anything: missing slices, or a spacing that changes."""
    steps = np.diff(along)
    usual = _most_common(steps)
    tolerance_mm = float(_tolerance_mm(usual))
    over = steps > usual + tolerance_mm
    if over.any() and (steps >= usual - tolerance_mm).all() and over.sum() <= max(1.0, _GAPS_SHARE * len(steps)):
        gap = int(np.argmax(over))
        return SliceGap(after_mm=round(float(along[gap]), 3), gap_mm=round(float(steps[gap]), 3), spacing_mm=round(usual, 3))
    # Small changes of one sign add up: the places are compared with the grid's as well as the steps with each other.
    grid = np.linspace(along[0], along[-1], len(along))
    if np.abs(steps - steps.mean()).max() > tolerance_mm or np.abs(along - grid).max() > tolerance_mm:
        return UnevenSpacing(smallest_mm=round(float(steps.min()), 3), largest_mm=round(float(steps.max()), 3))
    return None


def _most_common(steps: Array) -> float:
    """The step that most others equal within tolerance; the smallest of several such."""
    ordered = np.sort(steps)
    tolerance_mm = _tolerance_mm(ordered)
    alike = np.searchsorted(ordered, ordered + tolerance_mm, "right") - np.searchsorted(ordered, ordered - tolerance_mm, "left")
    chosen = ordered[int(np.argmax(alike))]
    return float(np.median(ordered[np.abs(ordered - chosen) <= _tolerance_mm(chosen)]))


def _tolerance_mm(spacing_mm: Array | float) -> Array:
    """What two steps of one spacing may differ by; positions to one decimal give steps of 0.6 and 0.7, which floats put further apart."""
    return np.asarray(np.maximum(SPACING_TOLERANCE_MM, SPACING_TOLERANCE_SHARE * np.asarray(spacing_mm)) + 1e-6)


def _thickness_differs(planes: Sequence[Plane]) -> bool:
    known = [plane.slice_thickness_mm for plane in planes if plane.slice_thickness_mm is not None]
    return bool(known) and max(known) - min(known) > SPACING_TOLERANCE_SHARE * max(known)


def _positions(planes: Sequence[Plane]) -> Array:
    return np.array([plane.position_lps for plane in planes])


def _along(planes: Sequence[Plane], axes: Array) -> Array:
    return np.asarray(_positions(planes) @ axes[2])


def _affine(slice_step: Array, row_step: Array, column_step: Array, origin: Array) -> Affine:
    columns = np.column_stack([slice_step, row_step, column_step, origin])
    x, y, z = (tuple(float(value) for value in line) for line in columns)
    return (_four(x), _four(y), _four(z), (0.0, 0.0, 0.0, 1.0))


def _four(line: tuple[float, ...]) -> tuple[float, float, float, float]:
    a, b, c, d = line
    return (a, b, c, d)
