"""Outlines enclose the pixels that they are made of, and nothing else."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dicom_node.encode.outlines import Point, outline


def signed_area(line: tuple[Point, ...]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(line)) / 2


def inside(lines: tuple[tuple[Point, ...], ...], column: float, row: float) -> bool:
    """Even-odd, along a ray to the right."""
    crossings = 0
    for line in lines:
        for (x, y1), (x2, y2) in itertools.pairwise(line):
            crossings += x == x2 and x > column and min(y1, y2) < row < max(y1, y2)
    return crossings % 2 == 1


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)), st.integers(0, 500), st.integers(0, 500))
def test_what_is_inside_of_the_lines_are_the_pixels(voxels: npt.NDArray[np.bool_], row: int, column: int) -> None:
    lines = outline(voxels, (row, column))
    assert sum(map(signed_area, lines)) == np.count_nonzero(voxels)
    assert all(line[0] == line[-1] and len(line) >= 5 for line in lines)
    assert all(
        inside(lines, column + x + 0.5, row + y + 0.5) == voxels[y, x] for y in range(voxels.shape[0]) for x in range(voxels.shape[1])
    )


def test_a_pixel_is_a_square_about_its_centre() -> None:
    (line,) = outline(np.ones((1, 1), dtype=bool), (7, 3))
    assert line == ((3.0, 7.0), (4.0, 7.0), (4.0, 8.0), (3.0, 8.0), (3.0, 7.0))


@pytest.mark.parametrize(("rows", "count"), [(["##", "##"], 1), (["#.", ".#"], 2), (["###", "#.#", "###"], 2), (["#.#"], 2), (["..."], 0)])
def test_parts_and_holes_are_lines_of_their_own(rows: list[str], count: int) -> None:
    assert len(outline(np.array([[one == "#" for one in row] for row in rows]))) == count
