"""Figures that are measured again and again, and ratios of those that were measured in one round."""

import statistics
from collections import defaultdict
from collections.abc import Hashable


class Figures:
    """Values by what they are of, in the order of the rounds."""

    def __init__(self) -> None:
        self._values: dict[Hashable, list[float]] = defaultdict(list)

    def add(self, what: Hashable, value: float) -> None:
        self._values[what].append(value)

    @property
    def known(self) -> tuple[Hashable, ...]:
        """What there are values of, in the order in which the first came."""
        return tuple(self._values)

    def values(self, what: Hashable) -> tuple[float, ...]:
        """Each round's, in order."""
        return tuple(self._values[what])

    def median(self, what: Hashable) -> float:
        return statistics.median(self._values[what])

    def spread(self, what: Hashable) -> str:
        """Median, least and most."""
        values = self._values[what]
        return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"

    def ratio(self, ours: Hashable, theirs: Hashable) -> float:
        """The median of the rounds' ratios: what the machine did meanwhile is in both."""
        return statistics.median(a / b for a, b in zip(self._values[ours], self._values[theirs], strict=True))
