"""Outlines: as large as the thing is, and no vessel tree."""

import numpy as np
import numpy.typing as npt
import pytest

from dicom_node.infer.growth import grow
from dicom_node.infer.inputs import grid_of
from dicom_node.infer.regions import Candidate, Region
from dicom_node.package import GrowthSegment
from dicom_node.values import Volume

from .examples import ORIENTATIONS, Array, inside_ball, make_volume

STAGE = GrowthSegment(kind="segment", by="growth", name="outlines", of="scored", inside="lungs")
CENTRE = (3.3, -2.1, 1.7)


def ball_in_noise(
    diameter_mm: float, spacing_mm: tuple[float, float, float], *, noise: float = 40.0, hu: float = 40.0, orientation: str = "axial"
) -> Volume:
    """A ball in lung, each voxel the mean of 3 x 3 x 3 places in it, with noise."""
    rng = np.random.default_rng(7)

    def sample(lps: Array) -> Array:
        steps = np.array([-1, 0, 1]) / 3
        parts = [
            inside_ball(lps + np.array([a, b, c]) * spacing_mm[1], CENTRE, diameter_mm / 2) for a in steps for b in steps for c in steps
        ]
        return -850 + (hu + 850) * np.mean(parts, axis=0) + rng.normal(0, noise, lps.shape[:-1])

    shape = tuple(int(52 / mm) for mm in spacing_mm)
    return make_volume(sample, shape, spacing_mm, orientation)  # type: ignore[arg-type]


def outline(volume: Volume, centre: tuple[float, float, float] = CENTRE, radius_mm: float = 5.0) -> Region:
    inside = np.ones(volume.geometry.shape, dtype=np.uint8)
    (region,) = grow(volume, [Candidate(centre, radius_mm, 500.0)], inside, STAGE)
    return region


def volume_mm3(volume: Volume, region: Region) -> float:
    return np.count_nonzero(region.mask.voxels) * grid_of(volume.geometry).voxel_mm3


@pytest.mark.parametrize("diameter_mm", [8.0, 12.0, 20.0, 30.0])
@pytest.mark.parametrize("spacing_mm", [(1.0, 0.7, 0.7), (2.0, 0.8, 0.8)])
def test_a_ball_has_its_volume(diameter_mm: float, spacing_mm: tuple[float, float, float]) -> None:
    volume = ball_in_noise(diameter_mm, spacing_mm)
    region = outline(volume, radius_mm=0.8 * diameter_mm / 2)
    assert volume_mm3(volume, region) == pytest.approx(np.pi / 6 * diameter_mm**3, rel=0.1)


@pytest.mark.parametrize("factor", [0.5, 1.4])
def test_the_size_that_the_candidate_is_thought_to_have_decides_little(factor: float) -> None:
    volume = ball_in_noise(14.0, (1.25, 0.8, 0.8))
    region = outline(volume, radius_mm=7 * factor)
    assert volume_mm3(volume, region) == pytest.approx(np.pi / 6 * 14**3, rel=0.1)


def test_a_candidate_that_lies_beside_the_centre_grows_to_the_same() -> None:
    volume = ball_in_noise(14.0, (1.25, 0.8, 0.8))
    region = outline(volume, centre=(CENTRE[0] + 3, CENTRE[1] - 2, CENTRE[2] + 1))
    assert volume_mm3(volume, region) == pytest.approx(np.pi / 6 * 14**3, rel=0.1)


def test_a_faint_nodule_is_outlined_at_half_of_its_own_contrast() -> None:
    volume = ball_in_noise(14.0, (1.25, 0.8, 0.8), noise=25.0, hu=-550.0)
    assert volume_mm3(volume, outline(volume, radius_mm=6.0)) == pytest.approx(np.pi / 6 * 14**3, rel=0.12)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_the_outline_lies_on_the_ball_in_every_orientation(orientation: str) -> None:
    volume = ball_in_noise(12.0, (1.5, 0.9, 0.9), orientation=orientation)
    region = outline(volume)
    index = np.argwhere(region.mask.voxels) + region.mask.origin
    np.testing.assert_allclose(grid_of(volume.geometry).lps_at(index).mean(axis=0), CENTRE, atol=0.4)


def test_the_outline_does_not_run_along_vessels() -> None:
    """Three vessels, 3 and 4 mm wide, cross at a nodule of 12 mm and run through the whole field."""

    def sample(lps: Array) -> Array:
        away = lps - CENTRE
        ball = inside_ball(lps, CENTRE, 6.0, 0.4)
        vessels = [
            np.hypot(away[..., 1], away[..., 2]) < 2.0,
            np.hypot(away[..., 0], away[..., 2] - 0.3 * away[..., 0]) < 1.5,
            (np.hypot(away[..., 0], away[..., 1]) < 1.5),
        ]
        return -850 + 890 * np.max([ball, *vessels], axis=0)

    volume = make_volume(sample, (50, 64, 64), (1.0, 0.8, 0.8))
    region = outline(volume)
    assert volume_mm3(volume, region) == pytest.approx(np.pi / 6 * 12**3, rel=0.3)
    assert max(np.array(region.mask.voxels.shape) * grid_of(volume.geometry).spacing_mm) < 22


def test_a_hollow_nodule_is_outlined_whole() -> None:
    volume = make_volume(
        lambda lps: -850 + 890 * (inside_ball(lps, CENTRE, 9.0, 0.4) - inside_ball(lps, CENTRE, 5.0, 0.4)), (44, 56, 56), (1.0, 0.8, 0.8)
    )
    assert volume_mm3(volume, outline(volume, radius_mm=8.0)) == pytest.approx(np.pi / 6 * 18**3, rel=0.12)


def test_the_outline_ends_at_the_mask() -> None:
    volume = ball_in_noise(16.0, (1.0, 0.8, 0.8))
    inside = np.ones(volume.geometry.shape, dtype=np.uint8)
    inside[:, :, 36:] = 0
    (region,) = grow(volume, [Candidate(CENTRE, 6.0, 500.0)], inside, STAGE)
    assert region.mask.origin[2] + region.mask.voxels.shape[2] <= 36


def test_two_candidates_in_one_thing_give_one_outline() -> None:
    volume = ball_in_noise(22.0, (1.25, 0.8, 0.8))
    inside = np.ones(volume.geometry.shape, dtype=np.uint8)
    near = (CENTRE[0] + 6, CENTRE[1] + 3, CENTRE[2])
    regions = grow(volume, [Candidate(CENTRE, 9.0, 500.0, 0.9), Candidate(near, 5.0, 400.0, 0.8)], inside, STAGE)
    assert [region.candidate.score for region in regions if region.candidate] == [0.9]


def test_two_things_give_two_outlines() -> None:
    places = ((-12.0, 0.0, 0.0), (12.0, 2.0, 3.0))
    volume = make_volume(
        lambda lps: -850 + 890 * np.max([inside_ball(lps, place, 5.0, 0.4) for place in places], axis=0), (40, 50, 60), (1.0,) * 3
    )
    inside = np.ones(volume.geometry.shape, dtype=np.uint8)
    assert len(grow(volume, [Candidate(place, 4.0, 500.0) for place in places], inside, STAGE)) == 2


def test_what_is_too_small_is_left_out() -> None:
    volume = ball_in_noise(8.0, (1.0, 0.8, 0.8))
    inside = np.ones(volume.geometry.shape, dtype=np.uint8)
    asked = STAGE.model_copy(update={"smallest_mm3": 400.0})
    assert grow(volume, [Candidate(CENTRE, 4.0, 500.0)], inside, asked) == ()


@pytest.mark.parametrize("place", [(25.0, 25.0, 25.0), (-25.9, 0.0, 0.0), (300.0, 0.0, 0.0)])
def test_a_candidate_at_the_edge_or_outside_of_the_volume_breaks_nothing(place: tuple[float, float, float]) -> None:
    volume = ball_in_noise(8.0, (2.0, 2.0, 2.0))
    inside: npt.NDArray[np.uint8] = np.ones(volume.geometry.shape, dtype=np.uint8)
    for region in grow(volume, [Candidate(place, 4.0, 500.0)], inside, STAGE):
        assert region.mask.voxels.any()
