"""Places of the prior are found again in the current scan, and how far off they may be is said."""

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dicom_node import follow
from dicom_node.follow.surfaces import lay_over
from dicom_node.values import BodyMap, Registration, RegistrationMethod
from tests.follow.phantoms import Motion, Nodule, Pair, Scan, make_pair

Labels = npt.NDArray[np.uint8]

WITHOUT_MAP = Scan(has_body_map=False, miss_share=0.0, false_count=0)
PERFECT = Scan(miss_share=0.0, false_count=0, edge_mm=0.0)
PLACES = np.array([(-80.0, -20.0, 40.0), (-60.0, 30.0, -40.0), (70.0, 20.0, 60.0), (90.0, 10.0, -30.0)])
FOUR = tuple(Nodule((float(x), float(y), float(z)), mm, mm) for (x, y, z), mm in zip(PLACES, (8.0, 12.0, 6.0, 10.0), strict=True))


def furthest_off(registration: Registration, motion: Motion) -> float:
    affine = np.array(registration.current_from_prior)
    return float(np.linalg.norm(PLACES @ affine[:3, :3].T + affine[:3, 3] - motion.forward(PLACES), axis=1).max())


def registered(pair: Pair) -> Registration:
    return follow.register(pair.current, pair.prior)


@pytest.mark.parametrize("table_mm", [0.0, -400.0], ids=["one table", "another origin"])
@pytest.mark.parametrize("turn_deg", [(0.0, 0.0, 0.0), (6.0, -5.0, 6.0)], ids=["shift", "shift and turn"])
def test_lungs_are_laid_over_each_other(turn_deg: tuple[float, float, float], table_mm: float) -> None:
    """40 mm and 10 degrees: within two millimetres, and the stated error is no smaller than the true one."""
    motion = Motion((24.0, -20.0, 25.0 + table_mm), turn_deg)
    registration = registered(make_pair(3, motion))
    assert registration.method is RegistrationMethod.BODY_MAP
    assert furthest_off(registration, motion) < 2.0
    assert furthest_off(registration, motion) <= registration.error_mm < 6.0


@pytest.mark.parametrize("breath_mm", [15.0, -15.0])
def test_a_breath_makes_the_stated_error_larger(breath_mm: float) -> None:
    motion = Motion((10.0, 5.0, -15.0), breath_mm=breath_mm)
    registration = registered(make_pair(4, motion))
    assert registration.method is RegistrationMethod.BODY_MAP
    assert furthest_off(registration, motion) <= max(6.0, registration.error_mm)


def test_the_part_of_the_lungs_that_both_scans_show_is_enough() -> None:
    motion = Motion((10.0, -20.0, 30.0))
    registration = registered(make_pair(5, motion, current=dataclasses.replace(PERFECT, cut_share=0.4)))
    assert registration.method is RegistrationMethod.BODY_MAP
    assert furthest_off(registration, motion) < min(4.0, registration.error_mm + 0.5)


def test_body_maps_of_two_bodies_do_not_fit() -> None:
    pair = make_pair(1, Motion())
    assert pair.prior.body_map is not None
    assert pair.current.body_map is not None
    labels = pair.current.body_map.labels.copy()
    labels[:, : labels.shape[1] // 2] = 0  # the front is missing, the back is thrice as long
    affine = tuple(
        tuple(3 * value for value in row) if number == 2 else row for number, row in enumerate(pair.current.body_map.lps_from_index)
    )
    assert lay_over(pair.prior.body_map, BodyMap(labels, affine)) is None
    assert lay_over(pair.prior.body_map, dataclasses.replace(pair.current.body_map, labels=np.zeros_like(labels))) is None


def test_findings_that_agree_give_the_shift_where_there_is_no_body_map() -> None:
    motion = Motion((-30.0, 15.0, 320.0))
    registration = registered(make_pair(6, motion, nodules=FOUR, prior=WITHOUT_MAP, current=WITHOUT_MAP))
    assert (registration.method, registration.support) == (RegistrationMethod.FINDINGS, 4)
    assert furthest_off(registration, motion) < 1.5
    assert registration.error_mm == 6.0


@pytest.mark.parametrize("count", [0, 1])
def test_one_finding_agrees_with_anything_and_counts_for_nothing(count: int) -> None:
    pair = make_pair(7, Motion((0.0, 0.0, 60.0)), nodules=FOUR[:count], prior=WITHOUT_MAP, current=WITHOUT_MAP)
    registration = registered(pair)
    assert (registration.method, registration.support, registration.error_mm) == (RegistrationMethod.COORDINATES, 0, 40.0)
    assert registration.current_from_prior == tuple(tuple(float(row == column) for column in range(4)) for row in range(4))


def test_scans_of_one_frame_of_reference_are_taken_as_they_lie() -> None:
    pair = make_pair(8, Motion(), nodules=(), prior=WITHOUT_MAP, current=WITHOUT_MAP)
    prior = dataclasses.replace(pair.prior, geometry=dataclasses.replace(pair.prior.geometry, frame_of_reference_uid="1.2"))
    current = dataclasses.replace(pair.current, geometry=dataclasses.replace(pair.current.geometry, frame_of_reference_uid="1.2"))
    assert follow.register(current, prior).error_mm == 8.0


def test_the_same_results_give_the_same_registration() -> None:
    pair = make_pair(9, Motion((20.0, 10.0, 5.0), (3.0, 2.0, 1.0), 10.0))
    assert registered(pair) == registered(pair)


@settings(max_examples=25, deadline=None)
@given(
    *[hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9), elements=st.integers(0, 2))] * 2,
    st.sampled_from([6.0, -6.0]),
)
def test_whatever_two_maps_show_they_fit_or_do_not(prior: Labels, current: Labels, step_mm: float) -> None:
    """A map that shows nothing, one voxel, one slice or noise fails nobody's study."""
    affines = [
        ((0.0, 0.0, 6.0, x), (0.0, 6.0, 0.0, 0.0), (mm, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)) for x, mm in ((0.0, 6.0), (9.0, step_mm))
    ]
    fit = lay_over(BodyMap(prior, affines[0]), BodyMap(current, affines[1]))
    assert fit is None or (np.isfinite(fit.current_from_prior).all() and fit.error_mm >= 0)
