"""Scores: the patch is where and how the package says, the score is what it says."""

import numpy as np
import numpy.typing as npt
import pytest

from dicom_node.infer.classify import find_passing, find_scores, sample_patches
from dicom_node.infer.regions import Candidate
from dicom_node.package import Intensity, NetworkClassify
from dicom_node.values import Volume
from dicom_node.values.reasons import NotANumber

from .examples import ORIENTATIONS, make_volume

Floats = npt.NDArray[np.float32]


def stage(**changes: object) -> NetworkClassify:
    base = NetworkClassify(
        kind="classify", by="network", name="scored", model="any", of="places", size=(6, 4), spacing_mm=(2.0, 3.0), threshold=0.5
    )
    return base.model_copy(update=changes)


def place_in_volume(axis: int, orientation: str) -> Volume:
    """A volume whose value is ten times the place along one axis of the patient."""
    return make_volume(lambda lps: 10 * lps[..., axis], (24, 25, 26), (2.5, 2.0, 2.0), orientation)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
@pytest.mark.parametrize(
    ("plane", "rows", "columns", "normal"),
    [("axial", (1, 1), (0, 1), (2, 1)), ("coronal", (2, -1), (0, 1), (1, 1)), ("sagittal", (2, -1), (1, 1), (0, 1))],
)
def test_rows_columns_and_channels_grow_as_the_plane_says(
    orientation: str, plane: str, rows: tuple[int, int], columns: tuple[int, int], normal: tuple[int, int]
) -> None:
    """Rows and columns of 2 and 3 mm round the centre, whose middle lies between the middle pixels; channels at -5 and 5 mm."""
    asked = stage(plane=plane, channel_offsets_mm=(-5.0, 5.0))
    centre = (3.0, -4.0, 5.0)
    for axis in range(3):
        (patch,) = sample_patches(place_in_volume(axis, orientation), [centre], asked, offset_mm=1.0) / 10
        expected = np.full((2, 6, 4), centre[axis])
        for (own, sign), steps in ((rows, (np.arange(6) - 2.5)[:, None] * 2), (columns, (np.arange(4) - 1.5) * 3)):
            expected += sign * steps if own == axis else 0
        expected += normal[1] * np.array([-4.0, 6.0])[:, None, None] if normal[0] == axis else 0
        np.testing.assert_allclose(patch, expected, atol=0.08)  # values are whole numbers in the volume


def test_beyond_the_source_its_edge_goes_on() -> None:
    (patch,) = sample_patches(place_in_volume(0, "axial"), [(25.0, 0.0, 0.0)], stage()) / 10
    assert patch.max() == pytest.approx(25.0, abs=0.1)


def test_intensities_of_patches_are_scaled() -> None:
    asked = stage(intensity=Intensity(clip=(-30.0, 30.0), scale="to-unit"))
    patches = sample_patches(place_in_volume(0, "axial"), [(0.0, 0.0, 0.0)], asked)
    assert (patches.min(), patches.max()) == (0.0, 1.0)


CANDIDATES = tuple(Candidate((float(x), 0.0, 0.0), 4.0, 100.0) for x in (-20, -4, 0, 15))


def mean(batch: Floats) -> Floats:
    return batch.mean(axis=(1, 2, 3), dtype=np.float64)[:, None].astype(np.float32) / 10


def test_the_score_is_the_calibrated_sigmoid_of_the_mean_logit() -> None:
    """The network's logit is the candidate's place; bias, temperature and averages are worked out by hand."""
    asked = stage(bias=2.0, temperature=4.0, average_offsets_mm=(-3.0, 0.0, 3.0), batch=3)
    scores = find_scores(place_in_volume(0, "axial"), CANDIDATES, asked, mean)
    expected = [1 / (1 + np.exp(-(x + 2.0) / 4.0)) for x in (-20, -4, 0, 15)]
    np.testing.assert_allclose(scores, expected, atol=2e-3)


def test_offsets_along_the_normal_are_averaged() -> None:
    asked = stage(average_offsets_mm=(0.0, 6.0))
    (score,) = find_scores(place_in_volume(2, "axial"), [Candidate((0.0, 0.0, 0.0), 4.0, 1.0)], asked, mean)
    assert score == pytest.approx(1 / (1 + np.exp(-3.0)), abs=2e-3)


@pytest.mark.parametrize("turns", [1, 2, 4])
def test_quarter_turns_are_averaged(turns: int) -> None:
    """A network that looks at the first row alone sees, turn by turn, the other sides of the patch."""
    asked = stage(size=(5, 5), spacing_mm=(2.0, 2.0), rotations=turns)

    def first_row(batch: Floats) -> Floats:
        return batch[:, 0, 0].mean(axis=1, keepdims=True) / 10

    (score,) = find_scores(place_in_volume(1, "axial"), [Candidate((0.0, 0.0, 0.0), 4.0, 1.0)], asked, first_row)
    logit = {1: -4.0, 2: -2.0, 4: 0.0}[turns]  # anterior, side, posterior, side
    assert score == pytest.approx(1 / (1 + np.exp(-logit)), abs=2e-3)


def test_only_scores_at_the_operating_point_pass_and_near_ones_are_one() -> None:
    passing = find_passing(place_in_volume(0, "axial"), CANDIDATES, stage(threshold=0.01, merge_mm=8.0), mean)
    assert isinstance(passing, tuple)
    assert [candidate.centre_lps[0] for candidate in passing] == [15.0, 0.0]
    assert passing[0].score is not None
    assert passing[0].score > 0.99


def test_without_candidates_the_network_is_not_asked() -> None:
    def never(batch: Floats) -> Floats:
        raise AssertionError

    assert find_passing(place_in_volume(0, "axial"), (), stage(), never) == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_a_number_is_a_failure(bad: float) -> None:
    def network(batch: Floats) -> Floats:
        return np.where(np.arange(len(batch)) == len(batch) - 1, np.float32(bad), np.float32(0))[:, None]

    assert find_passing(place_in_volume(0, "axial"), CANDIDATES, stage(), network) == NotANumber("scored")
