"""A grid of panels, each with axes, units and a legend: samples over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

COLUMNS, PANEL_INCHES, DOTS_PER_INCH = 3, (5.0, 3.0), 110


@dataclass(frozen=True)
class Panel:
    """`lines` are (series, what the legend says)."""

    title: str
    unit: str
    lines: Sequence[tuple[str, str]]


def draw(rows: Sequence[dict[str, float]], panels: Sequence[Panel], head: Sequence[str], warm_up_minutes: float, file: Path) -> None:
    """Draw all panels to a PNG; the warm-up is shaded."""
    count = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL_INCHES[0], count * PANEL_INCHES[1] + 0.9), layout="constrained")
    figure.suptitle("\n".join(head), x=0.01, ha="left", fontsize=13)
    grid = figure.subplots(count, COLUMNS, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        for name, words in panel.lines:
            points = [(row["minutes"], row[name]) for row in rows if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=words, linewidth=1.2)
        axes.axvspan(0, warm_up_minutes, color="0.94", zorder=0)
        axes.set_title(panel.title, fontsize=11, loc="left")
        axes.set_ylabel(panel.unit)
        axes.set_xlabel("minutes")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, max(rows[-1]["minutes"], 0.1))
        axes.grid(color="0.88")
        if axes.lines:
            axes.legend(fontsize=8, ncols=3, loc="lower left", framealpha=0.8)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    figure.savefig(file, dpi=DOTS_PER_INCH)
