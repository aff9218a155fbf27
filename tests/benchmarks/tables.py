"""Markdown of what was measured: medians, least and most."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol

from .figures import Figures
from .intake import NODE, Intake
from .latency import Latency


class Held(Protocol):
    """A target that is held against what was reached."""

    meaning: str
    limit: float
    reached: float | None
    is_floor: bool

    @property
    def is_met(self) -> bool: ...


def targets_table(targets: Iterable[Held]) -> str:
    """All targets; what misses its own says so."""
    lines = ["| figure | target | reached |", "|---|---|---|"]
    for one in targets:
        reached = "left out in this run" if one.reached is None else f"{one.reached:.2f}{'' if one.is_met else ' **missed**'}"
        lines.append(f"| {one.meaning} | at {'least' if one.is_floor else 'most'} {one.limit:g} | {reached} |")
    return "\n".join(lines)


def intake_table(found: Intake, counts: Sequence[int]) -> str:
    """Each receiver with each number of associations, and what the node's rate and CPU time are of it."""
    lines = [
        "| receiver | associations | images/s | CPU s per 1000 | node's rate / its | node's CPU / its |",
        "|---|---|---|---|---|---|",
    ]
    for name in found.names:
        for count in counts:
            here, ours = (name, count), (NODE, count)
            ratios = [f"{figures.ratio(ours, here):.2f}" for figures in (found.rate, found.cpu)]
            lines.append(f"| {name} | {count} | {found.rate.spread(here)} | {found.cpu.spread(here)} | {ratios[0]} | {ratios[1]} |")
    return "\n".join(lines)


def latency_table(found: Latency) -> str:
    """The seconds, and where the node's went in the last round."""
    return f"{spread_table(found.seconds, 'seconds')}\n\n`dicom-node trace` of the last round:\n\n```\n{found.traces[-1].strip()}\n```"


def spread_table(figures: Figures, unit: str) -> str:
    """A line for each thing that was measured."""
    lines = [f"| what | {unit} |", "|---|---|"]
    lines += [f"| {_name(what)} | {figures.spread(what)} |" for what in figures.known]
    return "\n".join(lines)


def _name(what: Hashable) -> str:
    return ", ".join(map(str, what)) if isinstance(what, tuple) else str(what)
