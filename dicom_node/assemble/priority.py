"""Whose study goes first: a table of rules, the first that fits decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dicom_node.values import AETitle, Priority, StorePriority


@dataclass(frozen=True, slots=True)
class PriorityRule:
    """Series for which all that is given holds have the level; a rule that asks nothing fits every series.

    `calling`: AE titles of senders. `store_priority`: Priority (0000,0700) of the C-STORE. `attributes`: for PS3.6 keywords the
    values, one of which one of the header's must be.
    """

    level: Priority
    calling: tuple[AETitle, ...] = ()
    store_priority: StorePriority | None = None
    attributes: tuple[tuple[str, tuple[str, ...]], ...] = ()


def find_priority(
    rules: Sequence[PriorityRule], *, calling: AETitle, store_priority: StorePriority, attributes: Mapping[str, tuple[str, ...]]
) -> Priority:
    """The level of the first rule that fits; routine where none does.

    An attribute that is absent fits no rule that asks for it. Letters' case and outer spaces of attributes do not count: systems
    write `Stat` and `STAT ` into what has no defined terms.
    """
    for rule in rules:
        fits = not rule.calling or calling in rule.calling
        fits = fits and rule.store_priority in (None, store_priority)
        if fits and all(_holds(wanted, attributes.get(keyword, ())) for keyword, wanted in rule.attributes):
            return rule.level
    return Priority.ROUTINE


def _holds(wanted: Sequence[str], found: Sequence[str]) -> bool:
    return not {_fold(text) for text in wanted}.isdisjoint(map(_fold, found))


def _fold(text: str) -> str:
    return text.strip().casefold()
