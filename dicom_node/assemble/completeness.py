"""Is a series complete? DICOM does not tell the end of a series; this weighs the evidence."""

from dataclasses import dataclass

from dicom_node.values import CompletenessRule


@dataclass(frozen=True, slots=True)
class SeriesSeen:
    """What is known of a series at one moment.

    `instances` are here, the last of them came at `last_seen` (seconds, on the same clock as `now`). `feeding` counts the open
    associations that have sent of it. `counted` is Number of Series Related Instances (0020,1209) as the PACS reports it, or
    None where it was not asked or did not answer.
    """

    instances: int
    last_seen: float
    feeding: int
    counted: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Not complete yet: look again after `seconds`."""

    seconds: float


def is_complete(seen: SeriesSeen, *, now: float, quiet_s: float) -> CompletenessRule | Wait:
    """Say which rule holds the series complete, or how long to wait before asking again.

    A count of the PACS that equals what is here decides at once. Quiet time decides only when no open association feeds the
    series, however long it has been silent; it decides also against a count that differs, since a PACS may count late or never,
    and the result then carries *completeness not proven*.
    """
    if seen.instances == 0:
        return Wait(quiet_s)
    if seen.counted == seen.instances:
        return CompletenessRule.COUNT
    if seen.feeding > 0:
        return Wait(quiet_s)
    # A clock that was set back must not make the wait longer than the quiet time itself.
    silent_s = max(0.0, now - seen.last_seen)
    if silent_s >= quiet_s:
        return CompletenessRule.QUIET_TIME
    return Wait(quiet_s - silent_s)
