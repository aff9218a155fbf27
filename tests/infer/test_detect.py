"""Candidates: what is there is found, solid or hollow, and nothing is found twice."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.infer.detect import Peaks, by_strength, find_blobs, find_peaks
from dicom_node.infer.regions import Candidate, merge_near
from dicom_node.package import BlobDetect, HeatMapDetect, Input, Intensity
from dicom_node.values import Volume
from dicom_node.values.reasons import NotANumber

from .examples import ORIENTATIONS, Array, inside_ball, make_volume

STAGE = BlobDetect(
    kind="detect", by="blobs", name="places", inside="lungs", intensity=Intensity(clip=(-1000, 200)),
    sigmas_mm=(2.0, 3.0, 4.5, 7.0), least_response=150.0, regions_above=-500.0,
)  # fmt: skip
BALLS = (((20.0, -15.0, 10.0), 5.0), ((-18.0, 12.0, -12.0), 9.0))


def lung_with(*balls: tuple[tuple[float, float, float], float], hollow_mm: float = 0.0, orientation: str = "axial") -> Volume:
    def sample(lps: Array) -> Array:
        solid = np.max([inside_ball(lps, centre, radius, 0.5) for centre, radius in balls], axis=0)
        hole = np.max([inside_ball(lps, centre, hollow_mm, 0.5) if hollow_mm else 0 * solid for centre, _ in balls], axis=0)
        return -850 + 890 * np.clip(solid - hole, 0, 1)

    return make_volume(sample, (56, 60, 64), (1.5, 1.25, 1.25), orientation)


def everywhere(volume: Volume) -> npt.NDArray[np.uint8]:
    return np.ones(volume.geometry.shape, dtype=np.uint8)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_each_ball_is_the_strongest_candidate_at_its_place(orientation: str) -> None:
    volume = lung_with(*BALLS, orientation=orientation)
    first, second = find_blobs(volume, everywhere(volume), STAGE)[:2]
    found = sorted([first, second], key=lambda candidate: candidate.radius_mm)
    for candidate, (centre, radius) in zip(found, BALLS, strict=True):
        assert np.linalg.norm(np.subtract(candidate.centre_lps, centre)) < 2.0
        assert candidate.radius_mm == pytest.approx(radius, rel=0.45)
        assert candidate.response == pytest.approx(0.9 * 890, rel=0.25)


def test_a_hollow_nodule_is_found_in_its_middle_by_its_filled_region() -> None:
    volume = lung_with(((5.0, 0.0, 0.0), 10.0), hollow_mm=6.5)
    small = STAGE.model_copy(update={"sigmas_mm": (2.0, 3.0)})  # blobs of the wall's size; of the whole it is no blob
    with_regions = find_blobs(volume, everywhere(volume), small)
    without = find_blobs(volume, everywhere(volume), small.model_copy(update={"regions_above": None}))
    nearest = min(with_regions, key=lambda one: float(np.linalg.norm(np.subtract(one.centre_lps, (5.0, 0.0, 0.0)))))
    assert np.linalg.norm(np.subtract(nearest.centre_lps, (5.0, 0.0, 0.0))) < 2.0
    assert nearest.radius_mm == pytest.approx(10.0, rel=0.06)  # with its hole
    assert all(np.linalg.norm(np.subtract(one.centre_lps, (5.0, 0.0, 0.0))) > 5.0 for one in without)


def test_nothing_outside_the_mask_is_a_candidate() -> None:
    volume = lung_with(*BALLS)
    mask = everywhere(volume)
    mask[:, :, 32:] = 0  # columns grow to the patient's left, where the first ball lies
    found = find_blobs(volume, mask, STAGE)
    assert found
    assert all(candidate.centre_lps[0] < 2.0 for candidate in found)


def test_an_empty_mask_has_no_candidates() -> None:
    volume = lung_with(*BALLS)
    assert find_blobs(volume, 0 * everywhere(volume), STAGE) == ()


def test_flat_lung_has_no_candidates() -> None:
    volume = make_volume(lambda lps: np.full(lps.shape[:-1], -850.0), (20, 20, 20), (2.0, 2.0, 2.0))
    assert find_blobs(volume, everywhere(volume), STAGE) == ()


def test_candidates_come_strongest_first_and_apart() -> None:
    rng = np.random.default_rng(4)
    volume = make_volume(lambda lps: rng.normal(-800, 300, lps.shape[:-1]), (30, 40, 40), (1.5, 1.5, 1.5))
    found = find_blobs(volume, everywhere(volume), STAGE.model_copy(update={"least_response": 20.0}))
    assert len(found) > 20
    assert list(found) == sorted(found, key=by_strength)
    places = np.array([candidate.centre_lps for candidate in found])
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1e9 * np.eye(len(places))
    assert apart.min() >= STAGE.merge_mm


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-20, 20)] * 3), max_size=12), st.floats(0.5, 15))
def test_merging_keeps_the_first_of_near_ones_and_loses_no_place(places: list[tuple[float, float, float]], merge_mm: float) -> None:
    candidates = tuple(Candidate(place, 1.0, float(-number)) for number, place in enumerate(places))
    kept = merge_near(candidates, merge_mm)
    assert kept[:1] == candidates[:1]
    for candidate in candidates:
        near = [one for one in kept if np.linalg.norm(np.subtract(one.centre_lps, candidate.centre_lps)) < merge_mm or one == candidate]
        assert any(one.response >= candidate.response for one in near)


HEAT = HeatMapDetect(
    kind="detect", by="heat-map", name="spots", model="any.onnx", threshold=0.5, merge_mm=6.0,
    input=Input(orientation="SPL", spacing_mm=(2.0, 2.0, 2.0)), channel=1,
)  # fmt: skip


def heat(batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Channel 1: a logit that grows with the value; channel 0 is something else."""
    return np.concatenate([0 * batch + 9, (batch + 400) / 100], axis=1)


def test_maxima_of_a_heat_map_become_candidates_with_scores() -> None:
    volume = make_volume(
        lambda lps: -850 + sum(900 * np.exp(-np.sum((lps - centre) ** 2, axis=-1) / 30) for centre, _ in BALLS),
        (56, 60, 64),
        (1.5, 1.25, 1.25),
    )
    peaks = find_peaks(volume, None, HEAT, heat)
    assert isinstance(peaks, Peaks)
    assert peaks.scores is None
    found = peaks.candidates
    assert len(found) == 2
    for centre, _ in BALLS:
        assert min(np.linalg.norm(np.subtract(one.centre_lps, centre)) for one in found) < 2.0
    assert all(one.score is not None and 0.9 < one.score <= 1 for one in found)


def test_a_heat_map_outside_the_mask_counts_for_nothing() -> None:
    volume = lung_with(*BALLS)
    mask = everywhere(volume)
    mask[:, :, 32:] = 0
    peaks = find_peaks(volume, mask, HEAT, heat)
    assert isinstance(peaks, Peaks)
    found = peaks.candidates
    assert found
    assert all(one.centre_lps[0] < 2.0 for one in found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_heat_map_that_is_not_a_number_is_a_failure(bad: float) -> None:
    def network(batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        output = heat(batch)
        output[0, 0, 0, 0, 0] = bad  # in a corner, and of a channel that is not looked at
        return output

    assert find_peaks(lung_with(*BALLS), None, HEAT, network) == NotANumber("spots")
