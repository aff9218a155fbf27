"""A package's stages on a volume: findings, or why there are none to be had; the same each time."""

import dataclasses
import tracemalloc
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dicom_node.errors import ModelUnusable
from dicom_node.infer.inputs import Floats, grid_of
from dicom_node.infer.run import RunIdentity, Segmented, _counts, run_stages
from dicom_node.infer.sessions import Sessions
from dicom_node.infer.windows import Network
from dicom_node.package import Package
from dicom_node.values import Analysed, Laterality, NotAnalysed, Reservation, Volume, codec, derive_uid
from dicom_node.values.reasons import NotANumber, OutsideLimits

from .examples import BRIGHT, NODULES, ORIENTATIONS, Array, bright_package, chest, inside_ball, make_volume, nodule_package

IDENTITY = RunIdentity("0123", "1.2.3", "1.2.3.4", (Reservation.COMPLETENESS_NOT_PROVEN,), predecessor_key="abcd")
NODULE_PLACES = (((-70.0, 20.0, 30.0), 8.0), ((75.0, -10.0, -20.0), 6.0))


def chest_with_nodules(orientation: str = "axial", nodules: tuple[tuple[tuple[float, float, float], float], ...] = NODULE_PLACES) -> Volume:
    def sample(lps: Array) -> Array:
        inside = np.max([inside_ball(lps, centre, radius, 0.8) for centre, radius in nodules], axis=0) if nodules else 0.0
        return chest(lps) * (1 - inside) + 40 * inside

    field_mm = {"coronal": (260, 300, 340), "sagittal": (340, 300, 260)}.get(orientation, (300, 260, 340))
    spacing_mm = (3.0, 2.0, 2.0)
    shape = tuple(int(extent / mm) for extent, mm in zip(field_mm, spacing_mm, strict=True))
    return make_volume(sample, shape, spacing_mm, orientation, (0.0, 5.0, 0.0))  # type: ignore[arg-type]


def run(package: Package, volume: Volume) -> Analysed | NotAnalysed:
    ticks = count()
    return run_stages(package, volume, IDENTITY, Sessions(2), lambda: float(next(ticks)))


@pytest.fixture(scope="module")
def nodules(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return nodule_package(tmp_path_factory.mktemp("nodules"))


@pytest.fixture(scope="module")
def analysed(nodules: Package) -> Analysed:
    result = run(nodules, chest_with_nodules())
    assert isinstance(result, Analysed)
    return result


@pytest.mark.parametrize("orientation", ["axial", "coronal", "oblique"])
def test_nodules_are_found_outlined_and_measured_where_they_are(nodules: Package, orientation: str) -> None:
    volume = chest_with_nodules(orientation)
    result = run(nodules, volume)
    assert isinstance(result, Analysed)
    assert len(result.findings) == 2
    grid = grid_of(volume.geometry)
    for centre, radius in NODULE_PLACES:
        finding = min(result.findings, key=lambda one: float(np.linalg.norm(np.subtract(one.centre_lps, centre))))
        np.testing.assert_allclose(finding.centre_lps, centre, atol=1.0)
        index = np.argwhere(finding.mask.voxels) + finding.mask.origin
        assert np.linalg.norm(grid.lps_at(index) - centre, axis=1).max() < radius + 3
        assert finding.laterality is (Laterality.RIGHT if centre[0] < 0 else Laterality.LEFT)
        values = {one.concept.meaning: one.value for one in finding.measurements}
        assert values["Volume"] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.2)
        assert values["Long Axis"] == pytest.approx(2 * radius, abs=3)
        assert values["Short Axis"] <= values["Long Axis"]
        assert finding.score is not None
        assert finding.score == round(finding.score, 3) >= 0.5


def test_findings_are_numbered_by_score_and_named_by_the_results_key(analysed: Analysed) -> None:
    assert [one.number for one in analysed.findings] == [1, 2]
    assert [one.score for one in analysed.findings] == sorted([one.score for one in analysed.findings if one.score], reverse=True)
    assert [one.tracking_identifier for one in analysed.findings] == ["example 1", "example 2"]
    assert [one.tracking_uid for one in analysed.findings] == [derive_uid("0123", "tracking", str(number)) for number in (1, 2)]


def test_a_result_says_whose_it_is_and_what_its_stages_gave(analysed: Analysed) -> None:
    result = analysed
    assert (result.key, result.predecessor_key, result.threshold) == ("0123", "abcd", 0.5)
    assert (result.study_instance_uid, result.series_instance_uid) == ("1.2.3", "1.2.3.4")
    assert result.reservations == (Reservation.COMPLETENESS_NOT_PROVEN,)
    assert [one.meaning for one in result.looked_for] == ["Nodule"]
    assert [(one.name, one.kind, one.seconds) for one in result.stages] == [
        ("lungs", "segment", 1.0),
        ("places", "detect", 1.0),
        ("scored", "classify", 1.0),
        ("outlines", "segment", 1.0),
        ("sizes", "measure", 1.0),
    ]
    given = {one.name: dict(one.given) for one in result.stages}
    assert given["lungs"]["label 1 (mL)"] > given["lungs"]["label 2 (mL)"] > 1000
    assert given["places"]["candidates"] >= given["scored"]["candidates"] == given["outlines"]["regions"] == 2


def test_a_result_shows_the_slices_on_which_its_findings_are_largest(nodules: Package, analysed: Analysed) -> None:
    assert [one.slice_index for one in analysed.pictures] == [one.mask.largest_slice for one in analysed.findings]
    volume = chest_with_nodules()
    assert all(one.pixels.shape == volume.voxels.shape[1:] for one in analysed.pictures)
    on_ct = run_stages(nodules, volume, dataclasses.replace(IDENTITY, modality="CT"), Sessions(2), lambda: 0.0)
    assert isinstance(on_ct, Analysed)
    assert {(one.window_centre, one.window_width) for one in on_ct.pictures} == {(40.0, 400.0)}
    assert {(one.window_centre, one.window_width) for one in analysed.pictures}.isdisjoint({(40.0, 400.0)})


def test_the_same_inputs_give_the_same_bytes(nodules: Package, analysed: Analysed) -> None:
    again = run(nodules, chest_with_nodules())
    assert codec.dump(again) == codec.dump(analysed)
    assert codec.dump(codec.load(codec.dump(again))) == codec.dump(analysed)


def test_lungs_without_nodules_are_analysed_and_give_no_findings(nodules: Package) -> None:
    result = run(nodules, chest_with_nodules(nodules=()))
    assert isinstance(result, Analysed)
    assert result.findings == ()
    assert len(result.stages) == 5


def test_what_is_no_chest_is_not_analysed(nodules: Package) -> None:
    volume = make_volume(lambda lps: np.where(np.hypot(lps[..., 0], lps[..., 1]) < 90, 40.0, -1000.0), (30, 60, 60), (5.0, 4.0, 4.0))
    result = run(nodules, volume)
    assert isinstance(result, NotAnalysed)
    assert result.reason == OutsideLimits("lungs", "volume (mL)", 0.0, 1500.0, 9000.0)
    assert [one.name for one in result.stages] == ["lungs"]


def test_without_declared_limits_no_lungs_are_still_no_result(tmp_path: Path) -> None:
    package = nodule_package(tmp_path, NODULES.replace("limits = { lowest_ml = 1500.0, highest_ml = 9000.0 }", ""))
    volume = make_volume(lambda lps: 0 * lps[..., 0] + 40, (20, 20, 20), (5.0, 5.0, 5.0))
    result = run(package, volume)
    assert isinstance(result, NotAnalysed)
    assert isinstance(result.reason, OutsideLimits)


def test_lungs_that_are_too_large_are_not_analysed(tmp_path: Path) -> None:
    package = nodule_package(tmp_path, NODULES.replace("highest_ml = 9000.0", "highest_ml = 4000.0"))
    result = run(package, chest_with_nodules())
    assert isinstance(result, NotAnalysed)
    assert isinstance(result.reason, OutsideLimits)
    assert result.reason.value > 4000 == result.reason.highest


def test_more_candidates_than_allowed_are_cut_and_the_result_says_so(tmp_path: Path) -> None:
    package = nodule_package(tmp_path, NODULES.replace("at_most = 500", "at_most = 1"))
    result = run(package, chest_with_nodules())
    assert isinstance(result, Analysed)
    assert Reservation.CANDIDATES_CAPPED in result.reservations
    assert len(result.findings) == 1


def test_candidates_as_outputs_are_balls(tmp_path: Path) -> None:
    package = nodule_package(tmp_path, NODULES.replace('[[outputs]]\nstage = "outlines"', '[[outputs]]\nstage = "scored"'))
    result = run(package, chest_with_nodules())
    assert isinstance(result, Analysed)
    assert len(result.findings) == 2
    assert all(one.mask.voxels.any() for one in result.findings)


def bright_sphere(orientation: str = "axial") -> Volume:
    return make_volume(lambda lps: 900 * inside_ball(lps, (8.0, -6.0, 4.0), 20.0, 0.5), (60, 44, 48), (1.5, 2.0, 2.0), orientation)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_a_network_in_windows_marks_what_it_sees_where_it_is(tmp_path: Path, orientation: str) -> None:
    volume = bright_sphere(orientation)
    result = run(bright_package(tmp_path, 450.0), volume)
    assert isinstance(result, Analysed)
    (finding,) = result.findings
    np.testing.assert_allclose(finding.centre_lps, (8.0, -6.0, 4.0), atol=0.7)
    found = np.zeros(volume.geometry.shape, dtype=bool)
    found[tuple(slice(a, a + n) for a, n in zip(finding.mask.origin, finding.mask.voxels.shape, strict=True))] = finding.mask.voxels
    truth = volume.voxels > 450
    assert 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.95
    assert finding.score is None
    assert result.threshold is None
    assert finding.measurements[0].value == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.05)


def test_a_network_that_gives_no_number_in_one_corner_gives_no_result(tmp_path: Path) -> None:
    """(value - 0.5) ** 0.5 is NaN for the one voxel of a negative value; everything else is fine."""

    def sample(lps: Array) -> Array:
        values = 900 * inside_ball(lps, (0.0, 0.0, 0.0), 20.0) + 10
        values[0, 0, 0] = -500
        return values

    package = bright_package(tmp_path, 0.5, power=0.5)
    volume = make_volume(sample, (40, 40, 40), (3.0, 3.0, 3.0))
    fine = dataclasses.replace(volume, voxels=np.abs(volume.voxels))
    assert isinstance(run(package, fine), Analysed)
    result = run(package, volume)
    assert isinstance(result, NotAnalysed)
    assert result.reason == NotANumber("bright")


def test_windows_that_are_not_run_change_nothing_where_the_network_would_say_the_same(tmp_path: Path) -> None:
    """The network marks what is above 450; where nothing is above 100 it need not be asked."""
    every = BRIGHT.replace("size = [16, 16, 16]", "size = [8, 8, 8]")
    some = every.replace("batch = 2", "batch = 2, skip = { below = 100.0, outside = [0.0, -450.0] }")
    assert some != every != BRIGHT
    seen = []

    class Counting(Sessions):
        def network(self, package: Package, model: str) -> Network:
            network = super().network(package, model)

            def run(batch: Floats) -> Floats:
                seen.append(len(batch))
                return network(batch)

            return run

    results = []
    for folder, written in (("every", every), ("some", some)):
        package = bright_package(tmp_path / folder, 450.0, stages=written)
        result = run_stages(package, bright_sphere(), IDENTITY, Counting(2), lambda: 0.0)
        assert isinstance(result, Analysed)
        results.append((codec.dump(result.findings[0].mask), sum(seen)))
        seen.clear()
    (mask_of_every, windows), (mask_of_some, windows_run) = results
    assert mask_of_every == mask_of_some
    assert 0 < windows_run < windows


def test_outside_that_is_not_for_each_channel_makes_the_package_unusable(tmp_path: Path) -> None:
    stages = BRIGHT.replace("batch = 2", "batch = 2, skip = { below = 100.0, outside = [-450.0] }")
    with pytest.raises(ModelUnusable):
        run(bright_package(tmp_path, 450.0, stages=stages), bright_sphere())


def test_only_the_largest_component_is_kept_where_so_declared(tmp_path: Path) -> None:
    stages = BRIGHT.replace('model = "bright.onnx"', 'model = "bright.onnx"\nkeep_largest = 1')

    def sample(lps: Array) -> Array:
        return 900 * np.maximum(inside_ball(lps, (-20.0, 0.0, 0.0), 10.0), inside_ball(lps, (20.0, 0.0, 0.0), 14.0))

    volume = make_volume(sample, (30, 40, 48), (3.0, 3.0, 3.0))
    result = run(bright_package(tmp_path, 450.0, stages=stages), volume)
    assert isinstance(result, Analysed)
    (finding,) = result.findings
    assert finding.centre_lps[0] == pytest.approx(20.0, abs=1.0)


def test_a_label_that_is_not_there_is_no_finding(tmp_path: Path) -> None:
    volume = make_volume(lambda lps: 0 * lps[..., 0], (20, 20, 20), (3.0, 3.0, 3.0))
    result = run(bright_package(tmp_path, 450.0), volume)
    assert isinstance(result, Analysed)
    assert result.findings == ()


def test_masks_are_as_small_as_they_can_be_and_cannot_be_changed(tmp_path: Path) -> None:
    result = run(bright_package(tmp_path, 450.0), bright_sphere())
    assert isinstance(result, Analysed)
    voxels: npt.NDArray[np.bool_] = result.findings[0].mask.voxels
    assert not voxels.flags.writeable
    assert all(voxels.take(end, axis=axis).any() for axis in range(3) for end in (0, -1))


def test_labels_are_counted_without_a_copy_of_them_all() -> None:
    """numpy counts over whole numbers of 64 bits: four times the volume of a CT, once."""
    volume = make_volume(lambda lps: lps[..., 0], (40, 100, 100), (1.0, 1.0, 1.0), "axial")
    labels = np.zeros(volume.geometry.shape, dtype=np.uint8)
    labels[3, 4, 5:25], labels[6] = 7, 255
    tracemalloc.start()
    counts = _counts(Segmented(labels), volume)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts == (("label 7 (mL)", 0.0), ("label 255 (mL)", 10.0))
    assert peak_bytes < labels.nbytes / 2
