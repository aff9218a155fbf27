"""On real patients: lungs, a known nodule, a chest that is none, and a foreign network. Skipped where there are no real images."""

from pathlib import Path

import numpy as np
import pytest

from dicom_node import assemble
from dicom_node.infer.inputs import grid_of
from dicom_node.infer.process import Candidate, Sessions, find_blobs, find_lungs, grow
from dicom_node.infer.segment import LabelMap, check_limits, find_labels
from dicom_node.package import BlobDetect, GrowthSegment, Input, Intensity, NetworkSegment, ThresholdSegment
from dicom_node.package.stages import Limits
from dicom_node.values import Geometry, Volume
from dicom_node.values.reasons import OutsideLimits
from tests.make.assembled import headers_of_files

from .examples import bright_package

LUNGS = ThresholdSegment(
    kind="segment", by="threshold", name="lungs", below=-400.0, limits=Limits(lowest_ml=1500.0, highest_ml=9000.0)
)  # fmt: skip
BLOBS = BlobDetect(
    kind="detect", by="blobs", name="places", inside="lungs", intensity=Intensity(clip=(-1000, 200)),
    sigmas_mm=(1.5, 2.1, 3.0, 4.2, 6.0, 8.0), least_response=60.0, regions_above=-500.0,
)  # fmt: skip
OUTLINE = GrowthSegment(kind="segment", by="growth", name="outlines", of="places", inside="lungs")
NODULE_LPS = (56.21, 86.34, -115.87)  # LUNA16, 23.35 mm


def read(folder: Path, root: Path) -> Volume:
    headers = headers_of_files(sorted(folder.glob("*.dcm")), root)
    (geometry,) = assemble.find_volumes(headers)
    assert isinstance(geometry, Geometry)
    volume = assemble.read_volume(root, headers, geometry)
    assert isinstance(volume, Volume)
    return volume


def sides_ml(volume: Volume, labels: np.ndarray) -> tuple[float, float]:
    voxel_ml = grid_of(volume.geometry).voxel_mm3 / 1000
    return np.count_nonzero(labels == 1) * voxel_ml, np.count_nonzero(labels == 2) * voxel_ml


def test_a_whole_chest_gives_both_lungs_and_its_nodule(shared_data: Path, tmp_path: Path) -> None:
    volume = read(shared_data / "ct" / "lidc_0001", tmp_path)
    lungs = find_lungs(volume, LUNGS)
    right_ml, left_ml = sides_ml(volume, lungs)
    assert 1900 < right_ml < 2200
    assert 1600 < left_ml < 1900
    found = find_blobs(volume, lungs, BLOBS)
    assert len(found) < 3000
    ranks = [rank for rank, one in enumerate(found) if np.linalg.norm(np.subtract(one.centre_lps, NODULE_LPS)) < 5]
    assert ranks
    assert ranks[0] < 20
    (region,) = grow(volume, [found[ranks[0]]], lungs, OUTLINE)
    volume_mm3 = np.count_nonzero(region.mask.voxels) * grid_of(volume.geometry).voxel_mm3
    assert 4500 < volume_mm3 < 8500  # a ball of 23.35 mm has 6666
    index = np.argwhere(region.mask.voxels).mean(axis=0) + region.mask.origin
    assert np.linalg.norm(grid_of(volume.geometry).lps_at(index) - NODULE_LPS) < 3


@pytest.mark.parametrize(
    ("name", "right_ml", "left_ml"),
    [("lungx_ct003", (2200, 2500), (1600, 1850)), ("lung_dx_a0001_soft_kernel", (3100, 3400), (2200, 2500))],
)
def test_lungs_of_other_scanners(
    shared_data: Path, tmp_path: Path, name: str, right_ml: tuple[float, float], left_ml: tuple[float, float]
) -> None:
    """A sharp kernel, a table of foam, the chest at the edge of the picture; thick slices."""
    volume = read(shared_data / "ct" / name, tmp_path)
    right, left = sides_ml(volume, find_lungs(volume, LUNGS))
    assert right_ml[0] < right < right_ml[1]
    assert left_ml[0] < left < left_ml[1]


def test_an_abdomen_is_no_chest(shared_data: Path, tmp_path: Path) -> None:
    volume = read(shared_data / "ct" / "other" / "abdomen_c3l00189", tmp_path)
    labels = find_lungs(volume, LUNGS)
    assert isinstance(check_limits(labels, grid_of(volume.geometry).voxel_mm3, "lungs", LUNGS.limits, 100.0), OutsideLimits)


def test_a_nodule_at_the_edge_of_a_slab_is_outlined(shared_data: Path, tmp_path: Path) -> None:
    volume = read(shared_data / "ct" / "lidc_0003_slab", tmp_path)
    lungs = find_lungs(volume, LUNGS)
    assert all(ml > 300 for ml in sides_ml(volume, lungs))
    best = find_blobs(volume, lungs, BLOBS)[:40]
    regions = grow(volume, best, lungs, OUTLINE)
    assert regions
    assert all(isinstance(region.candidate, Candidate) for region in regions)


def test_a_foreign_network_finds_the_brain_of_a_sagittal_series(shared_data: Path, tmp_path: Path) -> None:
    """MeshNet (brainchop) wants 1 mm and left, inferior, anterior; the series is sagittal. White 514 and grey 623 mL are published."""
    volume = read(shared_data / "mr" / "t1_adult_philips_dicom", tmp_path)
    package = bright_package(tmp_path / "package", 0.0)
    (tmp_path / "package" / "bright.onnx").write_bytes((shared_data / "models" / "meshnet_gwm_light" / "model.onnx").read_bytes())
    highest = float(np.percentile(volume.voxels, 99.9))
    stage = NetworkSegment(
        kind="segment", by="network", name="brain", model="bright.onnx", input=Input(orientation="LIA", spacing_mm=(1.0, 1.0, 1.0)),
        intensity=Intensity(clip=(0.0, highest), scale="to-unit"),
    )  # fmt: skip
    found = find_labels(volume, stage, Sessions(2).network(package, "bright.onnx"))
    assert isinstance(found, LabelMap)
    white_ml, grey_ml = sides_ml(volume, found.labels)
    assert white_ml == pytest.approx(514, rel=0.15)
    assert grey_ml == pytest.approx(623, rel=0.15)
