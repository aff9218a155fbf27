"""Whose study goes first: a table, since a wrong order is seen by nobody until an urgent one waits."""

import pytest

from dicom_node.assemble import PriorityRule, find_priority
from dicom_node.values import AETitle, Priority, StorePriority

CT, TRAUMA = AETitle("CT"), AETitle("TRAUMA")
REQUESTED = "RequestedProcedurePriority"

RULES = (
    PriorityRule(Priority.RESEARCH, calling=(AETitle("STUDY"),)),
    PriorityRule(Priority.STAT, calling=(TRAUMA, AETitle("SHOCK"))),
    PriorityRule(Priority.STAT, store_priority=StorePriority.HIGH),
    PriorityRule(Priority.STAT, attributes=((REQUESTED, ("STAT", "HIGH")),)),
    PriorityRule(Priority.RESEARCH, store_priority=StorePriority.LOW, attributes=(("Modality", ("MR",)), ("BodyPartExamined", ("KNEE",)))),
)


@pytest.mark.parametrize(
    ("calling", "store_priority", "attributes", "level"),
    [
        (CT, StorePriority.MEDIUM, {}, Priority.ROUTINE),
        (CT, StorePriority.LOW, {}, Priority.ROUTINE),
        (TRAUMA, StorePriority.LOW, {}, Priority.STAT),
        (CT, StorePriority.HIGH, {}, Priority.STAT),
        (AETitle("STUDY"), StorePriority.HIGH, {}, Priority.RESEARCH),  # the first rule that fits, not the most urgent
        (CT, StorePriority.MEDIUM, {REQUESTED: ("STAT",)}, Priority.STAT),
        (CT, StorePriority.MEDIUM, {REQUESTED: (" Stat ",)}, Priority.STAT),
        (CT, StorePriority.MEDIUM, {REQUESTED: ("ROUTINE",)}, Priority.ROUTINE),
        (CT, StorePriority.MEDIUM, {REQUESTED: ()}, Priority.ROUTINE),
        (CT, StorePriority.MEDIUM, {"ImageType": ("STAT",)}, Priority.ROUTINE),
        (CT, StorePriority.LOW, {"Modality": ("MR",), "BodyPartExamined": ("KNEE",)}, Priority.RESEARCH),
        (CT, StorePriority.LOW, {"Modality": ("MR",)}, Priority.ROUTINE),  # all that a rule asks must hold
        (CT, StorePriority.MEDIUM, {"Modality": ("MR",), "BodyPartExamined": ("KNEE",)}, Priority.ROUTINE),
    ],
)
def test_the_first_rule_that_fits_decides(
    calling: AETitle, store_priority: StorePriority, attributes: dict[str, tuple[str, ...]], level: Priority
) -> None:
    assert find_priority(RULES, calling=calling, store_priority=store_priority, attributes=attributes) is level


def test_a_rule_that_asks_nothing_fits_everything() -> None:
    rules = (*RULES, PriorityRule(Priority.RESEARCH))
    assert find_priority(rules, calling=CT, store_priority=StorePriority.MEDIUM, attributes={}) is Priority.RESEARCH
    assert find_priority(rules, calling=TRAUMA, store_priority=StorePriority.MEDIUM, attributes={}) is Priority.STAT


def test_without_rules_everything_is_routine() -> None:
    assert find_priority((), calling=CT, store_priority=StorePriority.HIGH, attributes={}) is Priority.ROUTINE
