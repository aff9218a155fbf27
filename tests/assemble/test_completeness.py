"""Is a series complete: count of the PACS, else quiet time, never the end of an association."""

import pytest

from dicom_node.assemble import SeriesSeen, Wait, is_complete
from dicom_node.values import CompletenessRule


@pytest.mark.parametrize(
    ("seen", "now", "wanted"),
    [
        pytest.param(SeriesSeen(40, 100.0, feeding=0, counted=40), 100.5, CompletenessRule.COUNT, id="count decides at once"),
        pytest.param(SeriesSeen(40, 100.0, feeding=1, counted=40), 100.5, CompletenessRule.COUNT, id="count decides while one still feeds"),
        pytest.param(SeriesSeen(40, 100.0, feeding=0), 130.0, CompletenessRule.QUIET_TIME, id="quiet for the whole time"),
        pytest.param(SeriesSeen(40, 100.0, feeding=0), 110.0, Wait(20.0), id="quiet for a part of it"),
        pytest.param(SeriesSeen(40, 100.0, feeding=1), 999.0, Wait(30.0), id="an open association feeds it: a sender may stall"),
        pytest.param(SeriesSeen(20, 100.0, feeding=0, counted=40), 110.0, Wait(20.0), id="the PACS has more"),
        pytest.param(
            SeriesSeen(20, 100.0, feeding=0, counted=40), 130.0, CompletenessRule.QUIET_TIME, id="the PACS has more and is silent"
        ),
        pytest.param(SeriesSeen(40, 100.0, feeding=0), 50.0, Wait(30.0), id="the clock was set back"),
        pytest.param(SeriesSeen(20, 100.0, feeding=0, broken_at=110.0), 150.0, Wait(60.0), id="the sender's association broke off"),
        pytest.param(SeriesSeen(20, 100.0, feeding=0, broken_at=110.0), 210.0, CompletenessRule.QUIET_TIME, id="and it did not come back"),
        pytest.param(
            SeriesSeen(20, 100.0, feeding=0, counted=20, broken_at=110.0), 111.0, CompletenessRule.COUNT, id="it had sent everything"
        ),
        pytest.param(SeriesSeen(0, 0.0, feeding=0, counted=0), 999.0, Wait(30.0), id="nothing is no series"),
    ],
)
def test_what_decides_and_how_long_to_wait(seen: SeriesSeen, now: float, wanted: object) -> None:
    assert is_complete(seen, now=now, quiet_s=30.0, broken_s=100.0) == wanted
