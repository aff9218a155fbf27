"""What a C-STORE status means for the sender: PS3.4 B.2.3 and PS3.7 annex C as a table."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What becomes of an object after it was sent."""

    DONE = "done"
    WARNED = "warned"  # the peer holds it, but changed something or found something odd
    RETRY_LATER = "retry-later"
    RETRY_FEW = "retry-few"  # it may have been the moment, or the object
    NEVER = "never"  # the same object will be refused again: a person has to look


SOP_CLASS_NOT_SUPPORTED = 0x0122  # the peer takes no object of this class (PS3.7 C.4.2)


@dataclass(frozen=True, slots=True)
class Row:
    """The statuses `first` to `last`, both included."""

    first: int
    last: int
    outcome: Outcome
    meaning: str


# The first row that holds a status decides.
TABLE = (
    Row(0x0000, 0x0000, Outcome.DONE, "success"),
    Row(0xB000, 0xB000, Outcome.WARNED, "coercion of data elements"),
    Row(0xB006, 0xB006, Outcome.WARNED, "elements discarded"),
    Row(0xB007, 0xB007, Outcome.WARNED, "data set does not match SOP class"),
    Row(0xB000, 0xBFFF, Outcome.WARNED, "a warning of the peer's own"),
    Row(0x0001, 0x0001, Outcome.WARNED, "requested optional attributes are not supported"),
    Row(0x0107, 0x0107, Outcome.WARNED, "attribute list error"),
    Row(0x0116, 0x0116, Outcome.WARNED, "attribute value out of range"),
    # Our UIDs are derived from the content: what it holds under this one was sent before, and its answer was lost.
    Row(0x0111, 0x0111, Outcome.WARNED, "duplicate SOP instance"),
    Row(0xA700, 0xA7FF, Outcome.RETRY_LATER, "out of resources"),
    Row(0x0110, 0x0110, Outcome.RETRY_FEW, "processing failure"),
    Row(0x0213, 0x0213, Outcome.RETRY_LATER, "resource limitation"),
    Row(0xA900, 0xA9FF, Outcome.NEVER, "data set does not match SOP class"),
    Row(0xC000, 0xCFFF, Outcome.NEVER, "cannot understand"),
    Row(0x0112, 0x0112, Outcome.NEVER, "no such SOP instance"),
    Row(0x0117, 0x0117, Outcome.NEVER, "invalid object instance"),
    Row(0x0118, 0x0118, Outcome.NEVER, "no such SOP class"),
    Row(0x0119, 0x0119, Outcome.NEVER, "class and instance conflict"),
    Row(0x0122, 0x0122, Outcome.NEVER, "SOP class not supported"),
    Row(0x0124, 0x0124, Outcome.NEVER, "not authorised"),
    Row(0x0210, 0x0210, Outcome.NEVER, "duplicate invocation"),
    Row(0x0211, 0x0211, Outcome.NEVER, "unrecognised operation"),
    Row(0x0212, 0x0212, Outcome.NEVER, "mistyped argument"),
    # Whatever no standard names is shown to a person, not tried for ever.
    Row(0x0000, 0xFFFF, Outcome.NEVER, "unknown"),
)


def meaning_of(status: int) -> str:
    """What the standard calls a status, 0 to 0xFFFF."""
    return next(row.meaning for row in TABLE if row.first <= status <= row.last)


def outcome_of(status: int) -> Outcome:
    """The outcome of a status, 0 to 0xFFFF."""
    return next(row.outcome for row in TABLE if row.first <= status <= row.last)
