"""Pictures of what was measured: medians, with a line from the least to the most."""

from collections.abc import Hashable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import Figures
from .intake import Intake

_HEIGHT_INCHES = 3.2
_DPI = 110


def draw_intake(found: Intake, counts: Sequence[int]) -> Figure:
    """Images a second and CPU time, a group of bars for each number of associations."""
    figure, axes = _panels(2)
    for panel, figures, words in ((axes[0], found.rate, "images/s"), (axes[1], found.cpu, "CPU s per 1000 images")):
        width = 0.8 / len(found.names)
        for place, name in enumerate(found.names):
            known = [(name, count) for count in counts]
            where = [index + place * width for index in range(len(counts))]
            panel.bar(where, [figures.median(one) for one in known], width * 0.9, yerr=_reach(figures, known), label=name, capsize=2)
        panel.set_xticks([index + 0.4 - width / 2 for index in range(len(counts))], [str(count) for count in counts])
        panel.set_xlabel("associations")
        panel.set_title(words, fontsize=10)
    axes[0].legend(fontsize=8)
    return figure


def draw_bars(figures: Figures, names: Sequence[Hashable], words: str) -> Figure:
    """A bar for each thing that was measured."""
    figure, axes = _panels(1)
    axes[0].barh([str(name) for name in names], [figures.median(name) for name in names], xerr=_reach(figures, names), capsize=2)
    axes[0].invert_yaxis()
    axes[0].set_xlabel(words)
    return figure


def draw_curves(figures: Figures, names: Sequence[str], words: Sequence[str]) -> Figure:
    """A panel for each of `names`: what is measured, as (name, count), over the count."""
    figure, axes = _panels(len(names))
    for panel, name, says in zip(axes, names, words, strict=True):
        known = sorted(one for one in figures.known if isinstance(one, tuple) and one[0] == name)
        panel.errorbar([count for _, count in known], [figures.median(one) for one in known], yerr=_reach(figures, known), marker="o")
        panel.set_xlabel(name)
        panel.set_title(says, fontsize=10)
        panel.set_ylim(bottom=0)
    return figure


def _panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(4.4 * count if count > 1 else 7.0, _HEIGHT_INCHES), dpi=_DPI, layout="constrained")
    return figure, [figure.add_subplot(1, count, number + 1) for number in range(count)]


def _reach(figures: Figures, known: Sequence[Hashable]) -> list[list[float]]:
    """From each median down to the least and up to the most."""
    down = [figures.median(one) - min(figures.values(one)) for one in known]
    return [down, [max(figures.values(one)) - figures.median(one) for one in known]]
