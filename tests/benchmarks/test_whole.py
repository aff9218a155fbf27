"""The last line and the page: what was not measured says so, and what misses its target."""

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
