"""The outline of a region on one slice: closed lines along the edges of its pixels."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dicom_node.errors import EncodingError
from dicom_node.values import Finding

from .elements import LONGEST_SHORT_VALUE_BYTES

Point = tuple[float, float]  # column, row; the upper left corner of the image is (0, 0), the centre of its first pixel (0.5, 0.5)

_MOST_POINTS = LONGEST_SHORT_VALUE_BYTES // 8  # two FL each


def outline(voxels: npt.NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> tuple[tuple[Point, ...], ...]:
    """The closed polygons around the True pixels of one slice, the longest first; each begins and ends with the same point.

    `voxels` is (rows, columns), its first pixel lies at (row, column) `origin` of the image. Points lie on pixel corners, only where a
    line turns, in the image-relative coordinates of SCOORD and of presentation states. The region is on the right hand as a line goes,
    so that a hole runs the other way. Pixels that touch at a corner alone are apart.

    Source: PS3.3 C.18.6.1.2, C.10.5.1.2.
    """
    padded = np.pad(voxels, 1)
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # An edge of a pixel at which the region ends, from corner to corner (row, column), the pixel on its right hand.
    for beyond, first, step in (((-1, 0), (0, 0), (0, 1)), ((0, 1), (0, 1), (1, 0)), ((1, 0), (1, 1), (0, -1)), ((0, -1), (1, 0), (-1, 0))):
        neighbours = np.roll(padded, (-beyond[0], -beyond[1]), axis=(0, 1))
        for row, column in np.argwhere(padded & ~neighbours).tolist():
            begin = (row + first[0], column + first[1])
            following.setdefault(begin, []).append((begin[0] + step[0], begin[1] + step[1]))
    polygons = []
    while following:
        polygons.append(_walk(following))
    shift = np.array(origin) - 1
    placed = (tuple((float(column + shift[1]), float(row + shift[0])) for row, column in one) for one in polygons)
    return tuple(sorted(placed, key=_length, reverse=True))


def largest_slice(finding: Finding) -> int:
    """The slice of the grid on which a finding has most pixels; the middle one of several."""
    return finding.mask.largest_slice


def largest_region(finding: Finding) -> tuple[int, tuple[Point, ...]]:
    """The slice on which a finding is largest, and the polygon around its largest part there: holes and smaller parts are left out.

    The longest line could be that of a hole with many teeth; what is enclosed decides. Raises EncodingError where the polygon has more
    points than Graphic Data (0070,0022) holds.
    """
    index = largest_slice(finding)
    first, row, column = finding.mask.origin
    line = max(outline(finding.mask.voxels[index - first], (row, column)), key=enclosed_area)
    if len(line) > _MOST_POINTS:
        raise EncodingError("outline of a finding")
    return index, line


def _walk(following: dict[tuple[int, int], list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """One closed line of corners, its edges taken out; where two meet in a corner it turns right, and stays on its own pixel."""
    first = min(following)
    line, corner, before = [first], first, (0, 0)
    while True:
        choices = following[corner]
        after = min(choices, key=lambda one: -_turn(before, (one[0] - corner[0], one[1] - corner[1])))
        choices.remove(after)
        if not choices:
            del following[corner]
        step = (after[0] - corner[0], after[1] - corner[1])
        if step == before:
            line[-1] = after
        else:
            line.append(after)
        corner, before = after, step
        if corner == first:
            return line


def _turn(before: tuple[int, int], step: tuple[int, int]) -> int:
    """1 to the right, 0 straight on, -1 to the left, of steps along (row, column)."""
    return before[1] * step[0] - before[0] * step[1]


def _length(line: Sequence[Point]) -> float:
    return sum(abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in itertools.pairwise(line))


def enclosed_area(line: Sequence[Point]) -> float:
    """In pixels, negative of a hole (the shoelace formula)."""
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(line)) / 2
