"""What a destination says of the objects that it acknowledged: whether it holds them."""

from dataclasses import dataclass
from enum import StrEnum

from .keys import PeerName
from .objects import DeliveryState, Proof


class Held(StrEnum):
    """Whether a destination holds an object."""

    YES = "yes"
    NO = "no"  # it has lost it, or never filed it: to be sent again
    NOT_NOW = "not-now"  # it does not say, or not yet: to be asked again
    NEVER = "never"  # it will not keep it: a person has to look


@dataclass(frozen=True, slots=True)
class Holding:
    """What was said of one object, and in answer to which question. `reason`: Failure Reason (0008,1197) of a commitment that failed."""

    sop_instance_uid: str
    held: Held
    proof: Proof
    reason: int | None = None


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """A storage commitment result (PS3.4 J.3.3) on the transaction that asked for it; an object that it does not name is not there."""

    transaction_uid: str
    holdings: tuple[Holding, ...]


@dataclass(frozen=True, slots=True)
class TakenReport:
    """What a report changed: `states` by SOP Instance UID; none where it came a second time, or says nothing new."""

    result_key: str
    destination: PeerName
    states: tuple[tuple[str, DeliveryState], ...]


def held_of(failure_reason: int) -> Held:
    """What a Failure Reason (0008,1197) in a commitment means (PS3.3 C.14.1.1)."""
    return _FAILURES.get(failure_reason, Held.NEVER)


_FAILURES = {
    0x0110: Held.NOT_NOW,  # processing failure
    0x0112: Held.NO,  # no such object instance
    0x0213: Held.NOT_NOW,  # resource limitation
    0x0131: Held.NOT_NOW,  # duplicate transaction UID: the next question has another one
    0x0122: Held.NEVER,  # referenced SOP class not supported
    0x0119: Held.NEVER,  # class and instance conflict
}
