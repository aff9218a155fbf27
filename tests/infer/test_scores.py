"""The scores of a network are kept as it gave them, where it gave them, and only where somebody wants them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dicom_node.infer import scores
from dicom_node.infer.detect import Peaks, find_peaks
from dicom_node.infer.inputs import grid_of, target_grid
from dicom_node.infer.run import RunIdentity, run_stages
from dicom_node.infer.scores import make_score_map
from dicom_node.infer.sessions import Sessions
from dicom_node.package import HeatMapDetect, Input
from dicom_node.values import SCORE_STEPS, Analysed, ScoreMap, Volume, codec

from .examples import BRIGHT, ORIENTATIONS, Array, bright_package, inside_ball, make_volume, nodule_package

IDENTITY = RunIdentity("0123", "1.2.3", "1.2.3.4")
LEVEL = 4.0  # of small values, so that the network's scores lie between 0 and 1
SPACING_MM = (3.0, 2.0, 2.5)


def ramp(lps: Array) -> Array:
    """Whole numbers from 0 to 8 that change along every axis."""
    return np.rint(4 + 2 * np.sin(lps[..., 0] / 9) + np.sin(lps[..., 1] / 7) + np.sin(lps[..., 2] / 8))


def places_of(held: ScoreMap) -> npt.NDArray[np.float64]:
    """LPS millimetres of every voxel of a map."""
    matrix = np.array(held.lps_from_index)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in held.scores.shape], indexing="ij"), axis=-1)
    return np.asarray(index @ matrix[:3, :3].T + matrix[:3, 3])


def run(folder: Path, volume: Volume, stages: str, *, wants_scores: bool = True) -> Analysed:
    package = bright_package(folder, LEVEL, stages=stages)
    result = run_stages(package, volume, IDENTITY, Sessions(2), lambda: 0.0, wants_scores=wants_scores)
    assert isinstance(result, Analysed)
    return result


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
@pytest.mark.parametrize("wanted", ["SPL", "RAI", "LIA"])
def test_each_voxel_has_the_score_of_the_networks_logit_at_its_place(tmp_path: Path, orientation: str, wanted: str) -> None:
    """The network's own spacing is the source's, so that what it saw is known everywhere: 0 for background, value - LEVEL for the label."""
    volume = make_volume(ramp, (9, 20, 24), SPACING_MM, orientation, (3.0, -7.0, 11.0))
    result = run(tmp_path, volume, BRIGHT.replace('orientation = "SPL", spacing_mm = [3.0, 3.0, 3.0]', f'orientation = "{wanted}"'))
    held = result.scores
    assert held is not None
    assert held.stage == "bright"
    assert held.scores.shape == volume.voxels.shape
    assert np.allclose(held.lps_from_index, np.array(volume.geometry.lps_from_index), atol=1e-6)
    expected = 1 / (1 + np.exp(LEVEL - volume.voxels.astype(float)))
    assert np.abs(held.scores / SCORE_STEPS - expected).max() < 1e-4
    assert len(np.unique(held.scores)) > 4


def test_a_coarser_network_keeps_its_own_grid_and_its_values(tmp_path: Path) -> None:
    """No interpolation: the values are those of a ball on the network's grid, at most two of them between inside and outside."""
    volume = make_volume(lambda lps: 8 * inside_ball(lps, (5.0, -4.0, 6.0), 14.0), (30, 40, 44), (1.5, 2.0, 1.0), "prone")
    held = run(tmp_path, volume, BRIGHT).scores
    assert held is not None
    spacing_mm = np.linalg.norm(np.array(held.lps_from_index)[:3, :3], axis=0)
    assert np.allclose(spacing_mm, 3.0)
    places = places_of(held)
    away_mm = np.linalg.norm(places - (5.0, -4.0, 6.0), axis=-1)
    values = held.scores / SCORE_STEPS
    assert values[away_mm < 10].min() > 0.95
    assert values[away_mm > 18].max() < 0.05
    directions = np.array(held.lps_from_index)[:3, :3].T @ np.array(volume.geometry.lps_from_index)[:3, :3]
    assert np.all(np.diag(directions) > 0)
    assert np.allclose(directions, np.diag(np.diag(directions)), atol=1e-6)


def test_what_a_network_was_padded_with_is_no_part_of_the_images(tmp_path: Path) -> None:
    volume = make_volume(ramp, (6, 10, 12), (3.0, 3.0, 3.0), "axial")
    stages = BRIGHT.replace("spacing_mm = [3.0, 3.0, 3.0]", "spacing_mm = [3.0, 3.0, 3.0], size = [16, 8, 32]")
    held = run(tmp_path, volume, stages).scores
    assert held is not None
    assert held.scores.shape == (6, 8, 12)
    corner = np.array(held.lps_from_index)[:3, 3]
    inner = grid_of(volume.geometry).lps_at([0, 1, 0])
    assert np.allclose(corner, inner)
    expected = 1 / (1 + np.exp(LEVEL - volume.voxels[:, 1:9].astype(float)))
    assert np.abs(held.scores / SCORE_STEPS - expected).max() < 1e-4


def test_masks_of_their_own_have_the_score_of_the_highest(tmp_path: Path) -> None:
    volume = make_volume(ramp, (6, 10, 12), (3.0, 3.0, 3.0), "axial")
    result = run(tmp_path, volume, BRIGHT.replace('model = "bright.onnx"', 'model = "bright.onnx"\nactivation = "sigmoid"'))
    assert result.scores is not None
    expected = 1 / (1 + np.exp(-np.maximum(volume.voxels.astype(float) - LEVEL, 0)))
    assert np.abs(result.scores.scores / SCORE_STEPS - expected).max() < 1e-4


def test_who_does_not_want_scores_gets_the_same_result_without(tmp_path: Path) -> None:
    volume = make_volume(ramp, (6, 10, 12), (3.0, 3.0, 3.0), "axial")
    with_them, without = (run(tmp_path, volume, BRIGHT, wants_scores=wants) for wants in (True, False))
    assert with_them.scores is not None
    assert without.scores is None
    assert codec.dump(with_them.findings) == codec.dump(without.findings)
    kept = codec.load(codec.dump(with_them))
    assert np.array_equal(kept.scores.scores, with_them.scores.scores)
    assert not kept.scores.scores.flags.writeable


def test_of_a_package_without_such_a_stage_there_are_none(tmp_path: Path) -> None:
    """A classifier looks at candidates, and gives no voxel a score."""
    package = nodule_package(tmp_path)
    result = run_stages(package, package.example.volume, IDENTITY, Sessions(2), lambda: 0.0, wants_scores=True)
    assert getattr(result, "scores", None) is None


def test_of_a_grid_that_is_too_large_none_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = make_volume(ramp, (6, 10, 12), (3.0, 3.0, 3.0), "axial")
    monkeypatch.setattr(scores, "MOST_VOXELS", 6 * 10 * 12)
    assert run(tmp_path, volume, BRIGHT).scores is not None
    monkeypatch.setattr(scores, "MOST_VOXELS", 6 * 10 * 12 - 1)
    assert run(tmp_path, volume, BRIGHT).scores is None


HEAT = HeatMapDetect(
    kind="detect", by="heat-map", name="spots", model="any.onnx", threshold=0.9, input=Input(orientation="RAS"), channel=1
)  # fmt: skip


def heat(batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Channel 1 is a logit, channel 0 something else."""
    return np.concatenate([0 * batch + 9, batch - LEVEL], axis=1)


def test_a_heat_map_of_scores_is_kept_where_it_is_wanted() -> None:
    volume = make_volume(ramp, (9, 20, 24), SPACING_MM, "sagittal")
    peaks = find_peaks(volume, None, HEAT, heat, wants_scores=True)
    assert isinstance(peaks, Peaks)
    assert peaks.scores is not None
    expected = 1 / (1 + np.exp(LEVEL - volume.voxels.astype(float)))
    assert np.abs(peaks.scores.scores / SCORE_STEPS - expected).max() < 1e-4
    without = find_peaks(volume, None, HEAT, heat)
    assert isinstance(without, Peaks)
    assert without.scores is None
    assert without.candidates == peaks.candidates


def test_a_heat_map_that_is_none_of_scores_is_not_kept() -> None:
    volume = make_volume(ramp, (9, 20, 24), SPACING_MM, "sagittal")
    peaks = find_peaks(volume, None, HEAT.model_copy(update={"activation": "none"}), heat, wants_scores=True)
    assert isinstance(peaks, Peaks)
    assert peaks.scores is None


def test_a_map_that_lies_beside_the_images_is_none() -> None:
    source = grid_of(make_volume(ramp, (4, 5, 6), SPACING_MM).geometry)
    beside = grid_of(make_volume(ramp, (4, 5, 6), SPACING_MM, centre_lps=(500.0, 0.0, 0.0)).geometry)
    assert make_score_map("spots", np.zeros((4, 5, 6), dtype=np.uint16), target_grid(beside, Input()), source) is None
