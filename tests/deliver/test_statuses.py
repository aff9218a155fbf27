"""Every C-STORE status has one outcome, the one that standards.md 4.2 says."""

import pytest

from dicom_node.deliver import Outcome, outcome_of
from dicom_node.deliver.statuses import TABLE

STATED = {
    Outcome.DONE: [0x0000],
    Outcome.WARNED: [0xB000, 0xB006, 0xB007, 0xB123, 0x0001, 0x0107, 0x0116, 0x0111],
    Outcome.RETRY_LATER: [0xA700, 0xA701, 0xA7FF, 0x0213],
    Outcome.RETRY_FEW: [0x0110],
    Outcome.NEVER: [0xA900, 0xA9FF, 0xC000, 0xC123, 0xCFFF, 0x0112, 0x0117, 0x0118, 0x0119, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212],
}


@pytest.mark.parametrize(("outcome", "status"), [(outcome, status) for outcome, statuses in STATED.items() for status in statuses])
def test_a_status_has_the_outcome_that_the_standard_means(outcome: Outcome, status: int) -> None:
    assert outcome_of(status) is outcome


def test_only_success_warnings_and_what_is_there_already_count_as_delivered() -> None:
    delivered = {status for status in range(0x10000) if outcome_of(status) in (Outcome.DONE, Outcome.WARNED)}
    assert delivered == {0x0000, 0x0001, 0x0107, 0x0111, 0x0116, *range(0xB000, 0xC000)}


def test_the_table_answers_for_every_status() -> None:
    assert {outcome_of(status) for status in range(0x10000)} == set(Outcome)
    assert all(row.first <= row.last for row in TABLE)
