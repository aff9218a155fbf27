"""Flat by a rule: after the warm-up the Theil-Sen slope of each series stays below its limit."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What a series may grow by in an hour: so much in its unit, or so many percent of its median, whichever is more; the first that fits.
# A shell pattern says which series. What retention removes after its time is as much as comes in that time: it goes up and down with
# the rate, so that only what is not removed at all shows: of one row in a study, ten times as many in an hour.
LIMITS: tuple[tuple[str, float, float], ...] = (
    ("*.rss_mib", 24.0, 5.0),
    ("*.files", 3.0, 10.0),
    ("*.threads", 3.0, 10.0),
    ("disk.*", 8.0, 50.0),
    ("entries.*", 200.0, 50.0),
    ("rows.*", 200.0, 50.0),
    ("queue.*", 8.0, 25.0),
)
# What grows by what it is, and is only shown.
GROWS = {
    "rows.node_actions": "what was removed stays on record: a line for a study's images, its results and its rows",
}


@dataclass(frozen=True)
class Slope:
    """How a series goes: `per_hour` in its unit, and the limit."""

    series: str
    median: float
    most: float
    per_hour: float
    limit_per_hour: float | None

    @property
    def is_flat(self) -> bool:
        return self.limit_per_hour is None or self.per_hour <= self.limit_per_hour


def judge_slopes(rows: Sequence[dict[str, float]], warm_up_minutes: float) -> list[Slope]:
    """The slope of every series that has a limit, or that grows by what it is."""
    later = [row for row in rows if row["minutes"] >= warm_up_minutes]
    names = dict.fromkeys(name for row in later for name in row)
    found = []
    for name in names:
        limit = _limit_of(name)
        points = np.array([(row["minutes"] / 60.0, row[name]) for row in later if name in row])
        if (limit is None and name not in GROWS) or len(points) < 3:
            continue
        median = float(np.median(points[:, 1]))
        allowed = None if limit is None or name in GROWS else max(limit[0], limit[1] / 100.0 * median)
        found.append(Slope(name, median, float(points[:, 1].max()), theil_sen(points), allowed))
    return found


def theil_sen(points: NDArray[np.float64]) -> float:
    """The median of the slopes between all pairs of (x, y), shape (n, 2): a few outliers change nothing."""
    first, second = np.triu_indices(len(points), 1)
    steps = points[second] - points[first]
    return float(np.median(steps[:, 1] / steps[:, 0]))


def as_table(slopes: Sequence[Slope]) -> str:
    """A line for each series that is ever there."""
    lines = [f"{'series':<34}{'median':>10}{'most':>10}{'per hour':>11}{'limit':>9}"]
    for one in slopes:
        if not one.most:
            continue
        limit = "-" if one.limit_per_hour is None else f"{one.limit_per_hour:.1f}"
        mark = "" if one.is_flat else "   NOT FLAT"
        lines.append(f"{one.series:<34}{one.median:>10.1f}{one.most:>10.1f}{one.per_hour:>+11.1f}{limit:>9}{mark}")
    return "\n".join(lines)


def _limit_of(name: str) -> tuple[float, float] | None:
    return next(((unit, percent) for pattern, unit, percent in LIMITS if fnmatch.fnmatchcase(name, pattern)), None)
