"""Is a series complete? DICOM does not tell the end of a series; this weighs the evidence."""

from dataclasses import dataclass

from dicom_node.values import CompletenessRule


@dataclass(frozen=True, slots=True)
class SeriesSeen:
    """What is known of a series at one moment.

    `instances` are here, the last of them came at `last_seen` (seconds, on the same clock as `now`). `feeding` counts the open
    associations that have sent of it. `counted` is Number of Series Related Instances (0020,1209) as the PACS reports it, or
    None where it was not asked or did not answer. `broken_at` is when the last association that fed it broke off, or None where
    it ended in order, or where another one has fed the series since.
    """

    instances: int
    last_seen: float
    feeding: int
    counted: int | None = None
    broken_at: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Not complete yet: look again after `seconds`."""

    seconds: float


def is_complete(seen: SeriesSeen, *, now: float, quiet_s: float, broken_s: float) -> CompletenessRule | Wait:
    """Say which rule holds the series complete, or how long to wait before asking again.

    A count of the PACS that equals what is here decides at once. Quiet time decides only when no open association feeds the
    series, however long it has been silent; it decides also against a count that differs, since a PACS may count late or never,
    and the result then carries *completeness not proven*. A sender whose association broke off has more to send, and comes back:
    for `broken_s` after the break quiet time says nothing.
    """
    if seen.instances == 0:
        return Wait(quiet_s)
    if seen.counted == seen.instances:
        return CompletenessRule.COUNT
    if seen.feeding > 0:
        return Wait(quiet_s)
    remaining_s = _remaining(seen.last_seen, now, quiet_s)
    if seen.broken_at is not None:
        remaining_s = max(remaining_s, _remaining(seen.broken_at, now, broken_s))
    return Wait(remaining_s) if remaining_s > 0 else CompletenessRule.QUIET_TIME


def _remaining(since: float, now: float, wanted_s: float) -> float:
    """How much of a time is still to pass. A clock that was set back must not make the wait longer than the time itself."""
    return wanted_s - max(0.0, now - since)
