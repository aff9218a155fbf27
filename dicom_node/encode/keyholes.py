"""Closed lines that need no others: what is inside of one is the region, whatever a reader makes of lines that lie in each other.

A hole is reached from outside by a channel without width, there and back (the keyhole technique).

Source: PS3.3 C.8.8.6.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .outlines import Point, enclosed_area, outline

_CHANNEL = 0.25  # of a pixel, from its left edge: a channel runs along no edge, meets no corner, and passes no pixel's centre


def outline_whole(voxels: npt.NDArray[np.bool_], origin: tuple[int, int], most_points: int) -> tuple[tuple[Point, ...], ...]:
    """Lines around the True pixels of one slice, of at most `most_points` points each; the last point is followed by the first.

    Coordinates are those of `outlines.outline`. No two lines enclose the same pixel, and none encloses one that is False. Where a line
    would be longer, the region is cut between two rows, as often as needed.
    """
    lines = _open_holes(outline(voxels, origin))
    if len(voxels) == 1 or all(len(line) <= most_points for line in lines):
        return lines
    half = len(voxels) // 2
    below = origin[0] + half, origin[1]
    return outline_whole(voxels[:half], origin, most_points) + outline_whole(voxels[half:], below, most_points)


def _open_holes(lines: Sequence[Sequence[Point]]) -> tuple[tuple[Point, ...], ...]:
    """Closed lines of which none is that of a hole any more, from those of regions and holes."""
    chains = _Chains()
    starts = [chains.add(line) for line in lines if enclosed_area(line) > 0]
    holes = [(line, chains.add(line)) for line in lines if enclosed_area(line) < 0]
    # From the top: what a channel meets above its hole is a region's edge, or that of a hole which has a channel already.
    for _, start in sorted(holes, key=lambda hole: min(point[1] for point in hole[0])):
        chains.join(start)
    return tuple(chains.walk(start) for start in starts)


@dataclass(slots=True)
class _Chains:
    """Points, each with the number of the one that follows it; and by pixel (column, row) the point at which its upper edge begins,
    where that edge lies on a line."""

    points: list[Point] = field(default_factory=list)
    following: list[int] = field(default_factory=list)
    upper_edges: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, line: Sequence[Point]) -> int:
        """A line, whose last point is its first; gives the number of that."""
        first, count = len(self.points), len(line) - 1
        self.points += line[:-1]
        self.following += [first + (number + 1) % count for number in range(count)]
        for number in range(first, first + count):
            self._enter(number)
        return first

    def join(self, start: int) -> None:
        """Lead a channel from the top of a hole's line straight up to the next line, and make one line of the two."""
        row, column, top = min(self._level_edges(start))
        above = row - 1
        while (column, above) not in self.upper_edges:
            above -= 1
        outer = self.upper_edges[column, above]
        x = column + _CHANNEL
        leave, arrive = self._insert(outer, (x, float(above))), self._insert(top, (x, float(row)))
        back, end = self._insert(leave, (x, float(above))), self._insert(arrive, (x, float(row)))
        # outer, leave | arrive's second, round the hole, arrive's first | back
        self.following[leave], self.following[arrive] = end, back
        for number in (outer, back, top, end):
            self._enter(number)

    def walk(self, start: int) -> tuple[Point, ...]:
        """The points of a line, each once."""
        line, number = [self.points[start]], self.following[start]
        while number != start:
            line.append(self.points[number])
            number = self.following[number]
        return tuple(line)

    def _level_edges(self, start: int) -> list[tuple[int, int, int]]:
        """Row, leftmost column and first point of each level edge of a line."""
        edges, number = [], start
        while True:
            (x, y), (x_next, y_next) = self.points[number], self.points[self.following[number]]
            if y == y_next:
                edges.append((int(y), int(min(x, x_next)), number))
            number = self.following[number]
            if number == start:
                return edges

    def _insert(self, before: int, point: Point) -> int:
        """A point behind another one."""
        self.points.append(point)
        self.following.append(self.following[before])
        self.following[before] = len(self.points) - 1
        return len(self.points) - 1

    def _enter(self, number: int) -> None:
        """Enter the whole pixels along an edge that is level."""
        (x, y), (x_next, y_next) = self.points[number], self.points[self.following[number]]
        if y == y_next:
            first, last = sorted((x, x_next))
            for column in range(int(np.ceil(first)), int(last)):
                self.upper_edges[column, int(y)] = number
