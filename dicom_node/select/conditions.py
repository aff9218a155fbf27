"""Does a volume meet a condition of a package? If not: what was wanted, and what was found."""

from dicom_node.package import Condition
from dicom_node.values import FailedCondition

from .subjects import ABSENT, VolumeView, find_values, name_subject, parse_number, render_found


def find_failed(conditions: tuple[Condition, ...], view: VolumeView) -> tuple[FailedCondition, ...]:
    """Every condition that the volume does not meet, in the order of the package.

    A condition holds where it holds for every instance of the volume; `found` is the first value that fails it. Several values
    of one attribute: `one_of` wants one of them in its list, `none_of` none, `contains_none` reads them joined by backslashes,
    `at_least` and `at_most` want every one.
    """
    failed = []
    for condition in conditions:
        found = _find_misfit(condition, view)
        if found is not None:
            failed.append(FailedCondition(*describe_condition(condition), found))
    return tuple(failed)


def describe_condition(condition: Condition) -> tuple[str, str]:
    """What a condition is about, and what it wants of that, as both are told to a person."""
    return name_subject(condition), _render_wanted(condition)


def _find_misfit(condition: Condition, view: VolumeView) -> str | None:
    """The first value that fails the condition, as it may be written down; None where all meet it."""
    for values in find_values(condition, view):
        if not values:
            if condition.absent == "refused":
                return ABSENT
        elif not _is_met(condition, values):
            return render_found(condition, values, _find_unwanted(condition, values))
    return None


def _is_met(condition: Condition, values: tuple[str, ...]) -> bool:
    if condition.one_of is not None and not _fold(values) & _fold(condition.one_of):
        return False
    if _find_unwanted(condition, values):
        return False
    if condition.at_least is None and condition.at_most is None:
        return True
    numbers = [parse_number(value) for value in values]
    return all(number is not None and _is_within(number, condition) for number in numbers)


def _find_unwanted(condition: Condition, values: tuple[str, ...]) -> tuple[str, ...]:
    """The words of `none_of` and `contains_none` that occur, as the package writes them."""
    texts, joined = _fold(values), "\\".join(values).casefold()
    equal = (word for word in condition.none_of or () if word.casefold() in texts)
    contained = (word for word in condition.contains_none or () if word.casefold() in joined)
    return (*equal, *contained)


def _is_within(number: float, condition: Condition) -> bool:
    is_enough = condition.at_least is None or number >= condition.at_least
    return is_enough and (condition.at_most is None or number <= condition.at_most)


def _fold(words: tuple[str, ...]) -> set[str]:
    return {word.casefold() for word in words}


def _render_wanted(condition: Condition) -> str:
    """The test in words, as the package has it."""
    parts = []
    for name in ("one_of", "none_of", "contains_none"):
        words = getattr(condition, name)
        if words is not None:
            parts.append(f"{name.replace('_', ' ')} {', '.join(words)}")
    for name in ("at_least", "at_most"):
        limit = getattr(condition, name)
        if limit is not None:
            parts.append(f"{name.replace('_', ' ')} {limit:g}")
    return "; ".join(parts)
