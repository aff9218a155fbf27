"""What is called grown is more than the error of the measurement; doubling time is that of growth."""

import math

import pytest

from dicom_node.follow.change import find_change, find_doubling_time_days, find_limit_percent
from dicom_node.values import Change, ChangeCategory
from tests.follow.phantoms import Motion, Nodule, Scan, make_pair

FINE = Scan((0.6, 0.6, 0.6), miss_share=0.0, false_count=0, edge_mm=0.0, has_body_map=False)
COARSE = Scan((2.5, 0.8, 0.8), miss_share=0.0, false_count=0, edge_mm=0.0, has_body_map=False)


def change(ratio: float, *, before_mm: float = 10.0, days: int = 180, scan: Scan = FINE) -> Change:
    nodule = Nodule((70.0, 20.0, 40.0), before_mm, before_mm * math.cbrt(ratio))
    pair = make_pair(1, Motion(), nodules=[nodule], prior=scan, current=scan)
    (now,), (then,) = pair.current.findings, pair.prior.findings
    return find_change(now, then, pair.current.geometry, pair.prior.geometry, 1.2, days)


@pytest.mark.parametrize(
    ("ratio", "category"),
    [
        (3.0, ChangeCategory.GROWN),
        (1.3, ChangeCategory.GROWN),
        (1.2, ChangeCategory.UNCHANGED),
        (1.0, ChangeCategory.UNCHANGED),
        (0.85, ChangeCategory.UNCHANGED),
        (0.75, ChangeCategory.SHRUNK),
        (0.3, ChangeCategory.SHRUNK),
    ],
)
def test_a_quarter_of_the_volume_is_a_change(ratio: float, category: ChangeCategory) -> None:
    made = change(ratio)
    assert made.category is category
    assert 25.0 <= made.limit_percent < 26.0
    assert made.volume_change_percent == pytest.approx(100 * (ratio - 1), abs=3)
    assert made.volume_change_mm3 == pytest.approx((ratio - 1) * math.pi / 6 * 1000, abs=25)
    assert made.long_axis_change_mm == pytest.approx(10 * (math.cbrt(ratio) - 1), abs=0.1)
    assert (made.prior_number, made.distance_mm) == (1, 1.2)


def test_doubling_time_is_said_of_growth_alone() -> None:
    assert change(2.0, days=200).doubling_time_days == pytest.approx(200, abs=6)
    assert change(1.0).doubling_time_days is None
    assert change(0.4).doubling_time_days is None


@pytest.mark.parametrize(("ratio", "days", "wanted"), [(2.0, 100, 100), (4.0, 100, 50), (1.25, 90, 280), (math.sqrt(2), 365, 730)])
def test_doubling_time_by_hand(ratio: float, days: int, wanted: int) -> None:
    """days * ln 2 / ln ratio: 90 * 0.6931 / 0.2231 = 280."""
    assert find_doubling_time_days(ratio, days) == wanted


def test_small_nodules_on_coarse_grids_must_change_more() -> None:
    limits = []
    for scan, mm in ((FINE, 10.0), (COARSE, 18.0), (COARSE, 4.0)):
        pair = make_pair(1, Motion(), nodules=[Nodule((70.0, 20.0, 40.0), mm, mm)], prior=scan, current=scan)
        limits.append(find_limit_percent(pair.current.findings[0], pair.prior.findings[0], pair.current.geometry, pair.prior.geometry))
    assert limits[:2] == [25.0, 25.0]
    assert 75.0 < limits[2] < 115.0
    assert change(1.3, before_mm=4.0, scan=COARSE).category is ChangeCategory.UNCHANGED
