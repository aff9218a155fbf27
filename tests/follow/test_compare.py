"""A result with its prior: what is said of each finding, under which names, and what is not said."""

import dataclasses

import numpy as np
import pytest

from dicom_node import follow
from dicom_node.values import Analysed, ChangeCategory, PriorRef, codec
from tests.follow.__main__ import ROWS, TODAY, of_row
from tests.follow.phantoms import Motion, Nodule, Pair, Scan, make_pair

REFERENCE = PriorRef("1.2.3", "1.2.3.4", "20250101", "prior")
EXACT = Scan(miss_share=0.0, false_count=0)
MOTION = Motion((25.0, -10.0, 130.0), (4.0, 0.0, -5.0), 8.0)
UNCHANGED, GROWN, SHRUNK = ((-80.0, -20.0, 40.0), 8.0, 8.0), ((-60.0, 30.0, -30.0), 8.0, 12.0), ((70.0, 20.0, 60.0), 12.0, 8.0)
NEW, GONE = ((90.0, 10.0, -30.0), None, 9.0), ((60.0, -30.0, 20.0), 7.0, None)
ALL = tuple(Nodule(*one) for one in (UNCHANGED, GROWN, SHRUNK, NEW, GONE))


def compared(pair: Pair, **changes: object) -> Analysed:
    return follow.compare_with_prior(pair.current, pair.prior, dataclasses.replace(REFERENCE, **changes), TODAY)  # type: ignore[arg-type]


def test_each_finding_is_called_what_became_of_it() -> None:
    pair = make_pair(1, MOTION, nodules=ALL, prior=EXACT, current=EXACT)
    result = compared(pair)
    assert result.comparison is not None
    assert (result.comparison.days, result.comparison.is_certain) == (181, True)
    by_place = {}
    for finding in result.findings:
        home = MOTION.backward(np.array(finding.centre_lps))
        nodule = min(ALL, key=lambda one: float(np.linalg.norm(np.array(one.centre_lps) - home)))
        assert finding.change is not None
        by_place[nodule] = finding.change.category
    assert by_place == {
        ALL[0]: ChangeCategory.UNCHANGED,
        ALL[1]: ChangeCategory.GROWN,
        ALL[2]: ChangeCategory.SHRUNK,
        ALL[3]: ChangeCategory.NEW,
    }
    (gone,) = result.comparison.unmatched
    assert gone.change.category is ChangeCategory.GONE
    np.testing.assert_allclose(pair.prior.findings[gone.number - 1].centre_lps, GONE[0], atol=1.0)
    grown = next(one.change for one in result.findings if one.change and one.change.category is ChangeCategory.GROWN)
    assert grown.volume_change_percent == pytest.approx(100 * (1.5**3 - 1), rel=0.25)
    assert grown.doubling_time_days == pytest.approx(181 * np.log(2) / np.log(1.5**3), rel=0.15)


def test_a_matched_finding_keeps_the_priors_names_and_no_other_has_them() -> None:
    pair = make_pair(1, MOTION, nodules=ALL, prior=EXACT, current=EXACT)
    result = compared(pair)
    before = {one.number: one for one in pair.prior.findings}
    for finding, own in zip(result.findings, pair.current.findings, strict=True):
        assert finding.change is not None
        if finding.change.prior_number is None:
            assert finding.tracking_uid == own.tracking_uid
            assert finding.tracking_identifier not in {one.tracking_identifier for one in pair.prior.findings}
        else:
            prior = before[finding.change.prior_number]
            assert (finding.tracking_uid, finding.tracking_identifier) == (prior.tracking_uid, prior.tracking_identifier)
    names = [one.tracking_identifier for one in result.findings]
    assert len(set(names)) == len(names) == 4
    assert [one.number for one in result.findings] == [1, 2, 3, 4]  # numbers of segments stay


def test_where_the_scans_cannot_be_laid_over_each_other_nothing_is_called_new_or_gone() -> None:
    bare = dataclasses.replace(EXACT, has_body_map=False)
    pair = make_pair(2, Motion((0.0, 0.0, 90.0)), nodules=(ALL[3], ALL[4]), prior=bare, current=bare)
    result = compared(pair)
    assert result.comparison is not None
    assert not result.comparison.is_certain
    assert [one.change and one.change.category for one in result.findings] == [ChangeCategory.NOT_COMPARED]
    assert [one.change.category for one in result.comparison.unmatched] == [ChangeCategory.NOT_COMPARED]


def test_what_lies_outside_of_the_other_scan_is_neither_new_nor_gone() -> None:
    low = Nodule((60.0, 40.0, -70.0), 8.0, 8.0)
    short = dataclasses.replace(EXACT, cut_share=0.4)
    now_short = compared(make_pair(3, Motion((5.0, 0.0, 10.0)), nodules=(ALL[0], ALL[2], low), prior=EXACT, current=short))
    assert now_short.comparison is not None
    assert [one.change.category for one in now_short.comparison.unmatched] == [ChangeCategory.NOT_COMPARED]
    then_short = compared(make_pair(3, Motion((5.0, 0.0, 10.0)), nodules=(ALL[0], ALL[2], low), prior=short, current=EXACT))
    said = [one.change.category for one in then_short.findings if one.change]
    assert said.count(ChangeCategory.NOT_COMPARED) == 1
    assert ChangeCategory.NEW not in said


@pytest.mark.parametrize("date", ["20250701", "20250702", "", "2025", "20251301"])
def test_a_prior_that_is_not_earlier_or_of_no_day_is_none(date: str) -> None:
    pair = make_pair(1, MOTION, nodules=ALL)
    assert compared(pair, study_date=date) is pair.current


def test_projections_are_not_compared() -> None:
    pair = make_pair(1, MOTION, nodules=ALL)
    flat = dataclasses.replace(pair.prior, geometry=dataclasses.replace(pair.prior.geometry, lps_from_index=None))
    assert follow.compare_with_prior(pair.current, flat, REFERENCE, TODAY) is pair.current


def test_a_comparison_is_kept_and_read_as_it_was() -> None:
    result = compared(make_pair(1, MOTION, nodules=ALL))
    again = codec.load(codec.dump(result))
    assert again.comparison == result.comparison
    assert [one.change for one in again.findings] == [one.change for one in result.findings]
    assert codec.dump(again) == codec.dump(result)


def test_a_result_that_was_kept_before_there_were_comparisons_is_read() -> None:
    plain = codec.to_plain(make_pair(1, MOTION, nodules=ALL).prior)
    for name in ("body_map", "comparison"):
        del plain["fields"][name]
    for finding in plain["fields"]["findings"]:
        del finding["fields"]["change"]
    old = codec.from_plain(plain)
    assert (old.body_map, old.comparison) == (None, None)
    assert {one.change for one in old.findings} == {None}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_phantom_pairs_are_followed(row: object) -> None:
    """The first pairs of each row of docs/follow.md. With body maps all are matched; without, what is not sure is not."""
    counts = of_row(row, pairs=3)  # type: ignore[arg-type]
    assert counts.true >= 2
    assert counts.matched + counts.missed == counts.true
    assert counts.wrong <= 0.01 * counts.true
    if row.has_body_map:  # type: ignore[attr-defined]
        assert counts.missed == 0
