"""Findings are paired by place, kind and side, one to one, and never over more than the stated distance."""

import dataclasses

import numpy as np
import pytest

from dicom_node.follow.match import LONGEST_MM, find_pairs
from dicom_node.values import Analysed, CodedConcept, Laterality, Registration, RegistrationMethod
from tests.follow.phantoms import Motion, Nodule, Scan, make_pair

IDENTITY = tuple(tuple(float(row == column) for column in range(4)) for row in range(4))
EXACT = Scan(miss_share=0.0, false_count=0, edge_mm=0.0, has_body_map=False)


def identity(error_mm: float) -> Registration:
    return Registration(RegistrationMethod.BODY_MAP, IDENTITY, error_mm, 100)  # type: ignore[arg-type]


def result_at(*x_mm: float, diameter_mm: float = 6.0) -> Analysed:
    """Nodules in a row through the left lung."""
    nodules = [Nodule((x, 20.0, 40.0), diameter_mm, diameter_mm) for x in x_mm]
    made = make_pair(1, Motion(), nodules=nodules, prior=EXACT, current=EXACT).prior
    ordered = sorted(made.findings, key=lambda one: one.centre_lps[0])
    return dataclasses.replace(made, findings=tuple(dataclasses.replace(one, number=number) for number, one in enumerate(ordered, 1)))


def pairs(current: Analysed, prior: Analysed, error_mm: float = 3.0) -> list[tuple[int, int]]:
    return [(pair.current, pair.prior) for pair in find_pairs(current, prior, identity(error_mm))]


def test_the_nearest_are_paired_and_the_distance_is_said() -> None:
    found = find_pairs(result_at(50, 80, 100), result_at(53, 78), identity(3.0))
    assert [(pair.current, pair.prior) for pair in found] == [(0, 0), (1, 1)]
    assert [pair.distance_mm for pair in found] == pytest.approx([3.0, 2.0], abs=0.5)


def test_the_reach_grows_with_error_and_size() -> None:
    """3 mm of error twice and 3 mm of radius: 9 mm."""
    assert pairs(result_at(60), result_at(68)) == [(0, 0)]
    assert pairs(result_at(60), result_at(70)) == []
    assert pairs(result_at(60), result_at(70), error_mm=4.0) == [(0, 0)]
    assert pairs(result_at(60, diameter_mm=12.0), result_at(70)) == [(0, 0)]


def test_no_error_makes_the_reach_longer_than_the_longest() -> None:
    assert pairs(result_at(60), result_at(60 + LONGEST_MM - 2), error_mm=15.0) == [(0, 0)]
    assert pairs(result_at(60), result_at(60 + LONGEST_MM + 2), error_mm=15.0) == []


def test_each_is_used_once_and_the_whole_decides() -> None:
    """Nearest first would pair 66 with 64 and leave 60 alone; together both find one."""
    assert pairs(result_at(60, 66), result_at(64, 72)) == [(0, 0), (1, 1)]
    assert pairs(result_at(60, 62), result_at(61)) in ([(0, 0)], [(1, 0)])


def test_where_the_registration_is_not_certain_nothing_is_paired() -> None:
    assert pairs(result_at(60), result_at(60), error_mm=15.0) == [(0, 0)]
    assert pairs(result_at(60), result_at(60), error_mm=15.1) == []


def test_other_kinds_and_other_sides_are_never_paired() -> None:
    current, prior = result_at(60), result_at(60)
    (finding,) = prior.findings
    mass = dataclasses.replace(finding, type=CodedConcept("4147007", "SCT", "Mass"))
    right = dataclasses.replace(finding, laterality=Laterality.RIGHT)
    unknown = dataclasses.replace(finding, laterality=None)
    assert pairs(current, dataclasses.replace(prior, findings=(mass,))) == []
    assert pairs(current, dataclasses.replace(prior, findings=(right,))) == []
    assert pairs(current, dataclasses.replace(prior, findings=(unknown,))) == [(0, 0)]


def test_nothing_on_one_side_gives_no_pairs() -> None:
    empty = dataclasses.replace(result_at(60), findings=())
    assert pairs(empty, result_at(60)) == []
    assert pairs(result_at(60), empty) == []


def test_the_registration_is_applied() -> None:
    shift = np.eye(4)
    shift[2, 3] = 0.0
    shift[0, 3] = 25.0
    registration = dataclasses.replace(identity(2.0), current_from_prior=tuple(tuple(row) for row in shift.tolist()))
    assert [(one.current, one.prior) for one in find_pairs(result_at(85), result_at(60), registration)] == [(0, 0)]
