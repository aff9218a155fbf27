"""The measurement itself: it runs, and sees what is missing or wrong. No time is asserted."""

from pathlib import Path

import pytest

from tests.peers.tools import need_program

from .figures import Figures
from .intake import NODE, ORTHANC, SLOW, STORESCP, _compare, measure


@pytest.mark.timeout(600)  # eight receivers are started
def test_every_receiver_holds_what_was_sent_and_is_measured(tmp_path: Path) -> None:
    need_program("storescp")
    need_program("Orthanc")
    intake = measure(tmp_path, rounds=1, associations=(1, 4), images=16, pixels=64, names=(NODE, SLOW, STORESCP, ORTHANC))
    assert intake.wrong == []
    assert all(intake.rate.median((name, count)) > 0 for name in (NODE, SLOW, STORESCP, ORTHANC) for count in (1, 4))


def test_what_is_missing_or_foreign_is_seen(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(b"head" + bytes(2 * 8 * 8))
    assert _compare("peer", tmp_path, 2, 8, [0xA700], set()) == [
        "peer: refused [42752]",
        "peer: 1 of 2 images are there",
        "peer: 1 images hold other pixels than were sent",
    ]


def test_a_ratio_is_that_of_each_round() -> None:
    """A machine that was slow in one round was so for both."""
    figures = Figures()
    for ours, theirs in ((10.0, 5.0), (100.0, 50.0), (30.0, 10.0)):
        figures.add("ours", ours)
        figures.add("theirs", theirs)
    assert figures.ratio("ours", "theirs") == pytest.approx(2.0)
    assert figures.spread("ours") == "30 (10 to 100)"
