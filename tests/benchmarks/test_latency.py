"""The small form: node and straight program make the same, and both are timed. No time is asserted."""

from pathlib import Path

import pytest

from .latency import NODE, STRAIGHT, measure


@pytest.mark.timeout(300)
def test_node_and_straight_program_make_the_same_and_are_timed(tmp_path: Path) -> None:
    latency = measure(tmp_path, rounds=1, slices=60, pixels=64)
    assert latency.wrong == []
    assert all(latency.seconds.median(name) > 0 for name in (NODE, STRAIGHT))
    assert "send to pacs" in latency.traces[0]
