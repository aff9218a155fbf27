"""The last line and the page: what was not measured says so, and what misses its target."""

from itertools import product
from pathlib import Path

from .figures import Figures
from .intake import Intake
from .plots import draw_bars, draw_curves, draw_intake
from .whole import Report, Target


def test_the_last_line_has_every_figure_in_its_order_and_says_what_was_left_out() -> None:
    report = Report(
        targets=[Target("windows", 0.05, 0.031, "window_overhead"), Target("intake", 2.0, 1.476, "ingest_vs_orthanc", is_floor=True)]
    )
    assert report.last_line == (
        "bench: ingest_vs_orthanc=1.48 ingest_vs_storescp=left-out seg_vs_highdicom=left-out sr_vs_dcmqi=left-out window_overhead=0.03"
        " vs_monai=left-out latency_vs_floor=left-out rss_vs_volume=left-out"
    )


def test_what_misses_its_target_stands_in_the_page_in_plain_sight() -> None:
    report = Report(
        sections=["## Rest"],
        targets=[Target("too slow", 2.0, 1.5, is_floor=True), Target("fast", 0.2, 0.05), Target("not now", 1.0, None)],
    )
    page = report.as_page("# Head")
    assert "| too slow | at least 2 | 1.50 **missed** |" in page
    assert "| fast | at most 0.2 | 0.05 |" in page
    assert "| not now | at most 1 | left out in this run |" in page
    assert page.startswith("# Head\n\n")
    assert page.endswith("## Rest\n")


def test_a_picture_is_drawn_for_a_page_and_left_out_where_there_is_none(tmp_path: Path) -> None:
    found = Intake(names=("node", "Orthanc"))
    growth = Figures()
    for name, count in product(found.names, (1, 4)):
        found.rate.add((name, count), 100.0 * count)
        found.cpu.add((name, count), 2.0)
        growth.add(("studies", count), 1.0)
    drawn = {"intake": draw_intake(found, (1, 4)), "growth": draw_curves(growth, ("studies",), ("s a study",))}
    drawn["bars"] = draw_bars(growth, growth.known, "seconds")
    report = Report(page=tmp_path / "performance.md")
    for name, figure in drawn.items():
        assert report.picture(name, "Words", figure) == f"\n\n![Words](images/performance-{name}.png)"
        assert (tmp_path / "images" / f"performance-{name}.png").read_bytes().startswith(b"\x89PNG")
        assert Report().picture(name, "Words", figure) == ""
