"""Measurements of a region on the source grid, in millimetres, rounded on purpose."""

from typing import assert_never

import numpy as np
import numpy.typing as npt

from dicom_node.package import Measure
from dicom_node.values import CodedConcept, Mask, Measurement, Volume

from .inputs import Grid, grid_of

_VOLUME = CodedConcept("118565006", "SCT", "Volume")
_LONG_AXIS = CodedConcept("103339001", "SCT", "Long Axis")
_SHORT_AXIS = CodedConcept("103340004", "SCT", "Short Axis")
_ATTENUATION = CodedConcept("112031", "DCM", "Attenuation Coefficient")
_MEAN = CodedConcept("373098007", "SCT", "Mean")
_MM3 = CodedConcept("mm3", "UCUM", "cubic millimeter")
_MM = CodedConcept("mm", "UCUM", "millimeter")
_HU = CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit")
_DIGITS = 1


def measure(volume: Volume, mask: Mask, stage: Measure) -> tuple[Measurement, ...]:
    """The declared measurements of one region, in the order of the package.

    Volume is the number of voxels times a voxel's volume. The axes are those of `find_axes_mm`. The mean is that of the voxels
    as they are in the source.
    """
    grid = grid_of(volume.geometry)
    wants_axes = not {"long-axis", "short-axis"}.isdisjoint(stage.measurements)  # the only ones that take time
    long_mm, short_mm = find_axes_mm(mask.voxels, grid) if wants_axes else (0.0, 0.0)
    found: list[Measurement] = []
    for wanted in stage.measurements:
        match wanted:
            case "volume":
                found.append(_rounded(_VOLUME, np.count_nonzero(mask.voxels) * grid.voxel_mm3, _MM3))
            case "long-axis":
                found.append(_rounded(_LONG_AXIS, long_mm, _MM))
            case "short-axis":
                found.append(_rounded(_SHORT_AXIS, short_mm, _MM))
            case "mean":
                box = tuple(slice(start, start + extent) for start, extent in zip(mask.origin, mask.voxels.shape, strict=True))
                mean = float(volume.voxels[box][mask.voxels].mean(dtype=np.float64))
                found.append(_rounded(_ATTENUATION, mean, _HU, _MEAN))
            case _:
                assert_never(wanted)
    return tuple(found)


def find_axes_mm(voxels: npt.NDArray[np.bool_], grid: Grid) -> tuple[float, float]:
    """Long and short axis of a region in the plane of the source's slices.

    The long axis is the longest distance between two points of the region's outline within one slice, over all slices (of
    equal ones the first). The short axis is the longest chord, in the same slice, at a right angle to it. The outline is the
    convex hull of the middles of the pixels' edges, so that a row of n pixels is n spacings long, and a disc is neither
    larger nor smaller than it is.

    Source: RECIST 1.1 (Eisenhauer et al. 2009), longest diameter and its perpendicular in the plane of measurement.
    """
    _, row_mm, column_mm = grid.spacing_mm
    cosine = float(grid.matrix[:3, 1] @ grid.matrix[:3, 2]) / (row_mm * column_mm)
    to_mm = np.array([[row_mm, column_mm * cosine], [0.0, column_mm * (1 - cosine**2) ** 0.5]])
    best = (0.0, np.zeros((0, 2)), np.zeros(2))
    for plane in voxels:
        hull = _convex(_edge_middles(plane) @ to_mm.T)
        if not len(hull):
            continue
        between = hull[:, None] - hull[None]
        lengths = np.linalg.norm(between, axis=-1)
        first, second = np.unravel_index(int(lengths.argmax()), lengths.shape)
        if lengths[first, second] > best[0] + 1e-9:
            best = (float(lengths[first, second]), hull, between[first, second] / lengths[first, second])
    long_mm, hull, direction = best
    return long_mm, _longest_chord(hull, direction) if len(hull) else 0.0


def _edge_middles(plane: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The middles of the four edges of each pixel that ends its row or column, as (row, column) indices."""
    points: list[tuple[float, float]] = []
    for row in np.flatnonzero(plane.any(axis=1)):
        columns = np.flatnonzero(plane[row])
        points += [(float(row), columns[0] - 0.5), (float(row), columns[-1] + 0.5)]
    for column in np.flatnonzero(plane.any(axis=0)):
        rows = np.flatnonzero(plane[:, column])
        points += [(rows[0] - 0.5, float(column)), (rows[-1] + 0.5, float(column))]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _convex(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The corners of the convex hull, in order round it (Andrew's monotone chain)."""
    ordered = sorted({(float(x), float(y)) for x, y in points})
    chains: list[list[tuple[float, float]]] = []
    for direction in (ordered, ordered[::-1]):
        chain: list[tuple[float, float]] = []
        for point in direction:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        chains.append(chain[:-1])
    return np.array([*chains[0], *chains[1]], dtype=np.float64).reshape(-1, 2) if ordered else np.zeros((0, 2))


def _turn(origin: tuple[float, float], middle: tuple[float, float], end: tuple[float, float]) -> float:
    return (middle[0] - origin[0]) * (end[1] - origin[1]) - (middle[1] - origin[1]) * (end[0] - origin[0])


def _longest_chord(hull: npt.NDArray[np.float64], direction: npt.NDArray[np.float64]) -> float:
    """The longest chord of a convex polygon at a right angle to a direction; it ends in a corner."""
    along, across = hull @ direction, hull @ np.array([-direction[1], direction[0]])
    following = np.roll(np.arange(len(hull)), -1)
    longest = 0.0
    for place in along:
        hits = []
        for (start, from_), (end, to) in zip(
            zip(along, across, strict=True), zip(along[following], across[following], strict=True), strict=True
        ):
            if min(start, end) <= place <= max(start, end):
                hits += [from_, to] if start == end else [from_ + (place - start) / (end - start) * (to - from_)]
        longest = max(longest, max(hits) - min(hits))
    return float(longest)


def _rounded(concept: CodedConcept, value: float, unit: CodedConcept, derivation: CodedConcept | None = None) -> Measurement:
    # + 0.0: no "-0.0" in a report
    return Measurement(concept=concept, value=round(float(value), _DIGITS) + 0.0, unit=unit, digits=_DIGITS, derivation=derivation)
