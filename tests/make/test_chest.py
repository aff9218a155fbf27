"""The phantom is what it says: a chest whose lungs and nodules lie where they are said to lie, the same every time."""

import functools

import numpy as np
import pytest

from tests.make.chest import PLANTED, Nodule, chest, lung_depth_mm

_chest = functools.cache(chest)


def _grid(step_mm: float) -> np.ndarray:
    axes = [np.arange(-150.0, 150.0, step_mm) for _ in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def test_the_lungs_hold_as_much_as_those_of_a_person() -> None:
    points = _grid(5.0)
    hu = chest(nodules=())[0](points)
    litres = np.count_nonzero((hu < -700) & (hu > -940)) * 5.0**3 / 1e6
    assert 3.0 < litres < 5.0


def test_a_place_has_one_value_whatever_else_is_asked_for() -> None:
    sample, _ = _chest(1)
    points = np.random.default_rng(0).uniform(-150, 150, (60, 3))
    together = sample(points)
    np.testing.assert_array_equal(together, np.array([sample(point[None])[0] for point in points]))
    np.testing.assert_array_equal(together, chest()[0](points))


def test_another_seed_is_another_patient_with_the_same_nodules() -> None:
    points = _grid(15.0)
    assert (_chest(2)[0](points) != _chest(1)[0](points)).any()
    assert _chest(2)[1] == _chest(1)[1] == PLANTED


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("nodule", PLANTED, ids=lambda nodule: f"{nodule.diameter_mm:g}mm")
def test_a_planted_nodule_lies_in_its_lung_clear_of_vessels_with_its_size(nodule: Nodule, seed: int) -> None:
    sample, _ = _chest(seed)
    offset = np.stack(np.meshgrid(*[np.arange(-14.0, 14.5, 0.5)] * 3, indexing="ij"), axis=-1)
    hu, distance = sample(offset + np.array(nodule.centre_lps)), np.linalg.norm(offset, axis=-1)
    radius = nodule.diameter_mm / 2
    assert abs(hu[distance < radius - 2].mean() - nodule.hu) < 25
    shell = hu[(distance > radius + 2.5) & (distance < radius + 4)]
    assert np.quantile(shell, 0.9) < -700  # lung all around
    volume = np.count_nonzero((hu > -400) & (distance < radius + 2)) * 0.5**3
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.15)
    assert (nodule.centre_lps[0] > 0) == (nodule.side == "left")
    x, y, z = (np.array([value], dtype=np.float32) for value in nodule.centre_lps)
    assert lung_depth_mm(x, y, z)[0] > radius


def test_one_nodule_lies_at_the_pleura() -> None:
    depths = [float(lung_depth_mm(*(np.array([v], dtype=np.float32) for v in nodule.centre_lps))[0]) for nodule in PLANTED]
    assert min(depth - nodule.diameter_mm / 2 for depth, nodule in zip(depths, PLANTED, strict=True)) < 6.0


def test_without_nodules_there_are_none() -> None:
    sample, planted = chest(nodules=())
    assert planted == ()
    assert (sample(np.array([nodule.centre_lps for nodule in PLANTED])) < -600).all()
