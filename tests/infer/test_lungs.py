"""Lungs: both, whole, on the right sides, whatever lies beside them and however the volume is turned."""

from functools import partial

import numpy as np
import pytest

from dicom_node.infer.inputs import grid_of
from dicom_node.infer.lungs import find_lungs
from dicom_node.package import ThresholdSegment
from dicom_node.values import Volume

from .examples import ORIENTATIONS, Array, chest, inside_ball, make_volume

RIGHT, LEFT = 1, 2  # what packages declare their sides by
STAGE = ThresholdSegment(kind="segment", by="threshold", name="lungs", below=-400.0, spacing_mm=3.0)
FIELD_MM = {"axial": (340, 300, 360), "coronal": (300, 340, 360), "sagittal": (360, 340, 300)}


def chest_volume(orientation: str = "axial", spacing_mm: tuple[float, float, float] = (4.0, 3.0, 3.0), **options: object) -> Volume:
    nearest = {"oblique": "axial", "prone": "axial", "axial feet last": "axial"}.get(orientation, orientation)
    shape = tuple(int(extent / mm) for extent, mm in zip(FIELD_MM[nearest], spacing_mm, strict=True))
    return make_volume(partial(chest, **options), shape, spacing_mm, orientation, (0.0, 20.0, -20.0))  # type: ignore[arg-type]


def volumes_ml(volume: Volume, labels: np.ndarray) -> tuple[float, float]:
    voxel_ml = grid_of(volume.geometry).voxel_mm3 / 1000
    return np.count_nonzero(labels == RIGHT) * voxel_ml, np.count_nonzero(labels == LEFT) * voxel_ml


def true_ml(**gap: float) -> tuple[float, float]:
    """Ellipsoids, as `chest` draws them; the airway that opens into them is a few millilitres."""
    by = gap.get("gap", 8.0)
    return 4 / 3 * np.pi * (72 - by) * 85 * 130 / 1000, 4 / 3 * np.pi * (70 - by) * 80 * 120 / 1000


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_right_is_the_patients_right_in_every_orientation(orientation: str) -> None:
    volume = chest_volume(orientation)
    labels = find_lungs(volume, STAGE)
    for found, true in zip(volumes_ml(volume, labels), true_ml(), strict=True):
        assert found == pytest.approx(true, rel=0.06)
    centres = [grid_of(volume.geometry).lps_at(np.argwhere(labels == side)).mean(axis=0) for side in (RIGHT, LEFT)]
    np.testing.assert_allclose(centres[0], (-72, 0, 0), atol=4)
    np.testing.assert_allclose(centres[1], (70, 0, 0), atol=4)


def test_lungs_that_touch_in_front_are_parted() -> None:
    volume = chest_volume(touching=True)
    labels = find_lungs(volume, STAGE)
    for found, true in zip(volumes_ml(volume, labels), true_ml(gap=-2.0), strict=True):
        assert found == pytest.approx(true, rel=0.06)
    column = grid_of(volume.geometry).lps_at(np.argwhere(labels == RIGHT))[:, 0]
    assert column.max() < 8


def test_a_lung_that_the_picture_cuts_is_kept() -> None:
    """The field of view ends inside the chest: the right lung touches the edge of the picture, no air outside is to be seen."""
    volume = make_volume(chest, (60, 70, 80), (4.0, 3.0, 3.0), "axial", (-5.0, 0.0, 0.0))
    labels = find_lungs(volume, STAGE)
    right_ml, left_ml = volumes_ml(volume, labels)
    assert right_ml > 2300
    assert left_ml > 2000


def test_a_slab_through_the_lungs_is_no_lung_with_a_border() -> None:
    volume = make_volume(chest, (8, 100, 120), (2.5, 3.0, 3.0), "axial", (0.0, 20.0, 10.0))
    labels = find_lungs(volume, STAGE)
    assert all(found > 200 for found in volumes_ml(volume, labels))
    assert (labels == RIGHT)[0].any()
    assert (labels == RIGHT)[-1].any()


def test_the_only_lung_has_its_own_side() -> None:
    volume = chest_volume(one_lung=True)
    labels = find_lungs(volume, STAGE)
    right_ml, left_ml = volumes_ml(volume, labels)
    assert right_ml == pytest.approx(true_ml()[0], rel=0.06)
    assert left_ml == 0


@pytest.mark.parametrize("outside_hu", [-1000.0, -2000.0, -1024.0])
def test_what_stands_outside_the_circle_of_the_scanner_is_no_lung(outside_hu: float) -> None:
    volume = chest_volume(outside_hu=outside_hu)
    assert sum(volumes_ml(volume, find_lungs(volume, STAGE))) == pytest.approx(sum(true_ml()), rel=0.06)


def test_nodules_at_the_pleura_and_vessels_lie_inside() -> None:
    def sample(lps: Array) -> Array:
        hu = chest(lps)
        hu = np.where(inside_ball(lps, (-128.0, 0.0, 0.0), 8.0) > 0, 40.0, hu)  # half in the wall
        return np.where((np.abs(lps[..., 0] + 72) < 3) & (np.abs(lps[..., 2]) < 3) & (np.abs(lps[..., 1]) < 50), 40.0, hu)

    volume = make_volume(sample, (80, 100, 120), (4.0, 3.0, 3.0), "axial", (0.0, 20.0, -20.0))
    labels = find_lungs(volume, STAGE)
    grid = grid_of(volume.geometry)
    for place in ((-72.0, 0.0, 0.0), (-125.0, 0.0, 0.0)):
        assert labels[tuple(np.rint(grid.index_at(place)).astype(int))] == RIGHT


@pytest.mark.parametrize("hu", [40.0, -1000.0])
def test_where_there_are_no_lungs_there_are_no_labels(hu: float) -> None:
    volume = make_volume(lambda lps: np.full(lps.shape[:-1], hu), (12, 40, 40), (5.0, 4.0, 4.0))
    assert not find_lungs(volume, STAGE).any()


def test_the_same_volume_gives_the_same_bytes() -> None:
    volume = chest_volume()
    assert find_lungs(volume, STAGE).tobytes() == find_lungs(volume, STAGE).tobytes()
