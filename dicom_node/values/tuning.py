"""How fast a network was with which settings, on one machine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trial:
    """The median of a few runs of a network, by item (a window, a patch). `is_kept`: with these settings it is run from now on."""

    model: str
    threads: int
    batch: int  # items at once
    item_ms: float
    is_kept: bool = False
