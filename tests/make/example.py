"""The `example/` folder of a model package: `python -m tests.make.example models/ct-lung-nodule` makes it anew.

The input is a slab of the generated chest, of nobody. Expected are the planted nodules that the package finds in it, where they
were planted; the sizes are those that it measures now. The tolerances are wide enough for another machine and for a network
trained anew; a package that finds none of them gets no example.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import dist
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from dicom_node.infer import process
from dicom_node.package import find_failure, load_package
from dicom_node.values import Analysed, Finding

from .chest import Nodule, chest

# A thin slab, so that there are few candidates and it runs in seconds, with a nodule on either side. Finer than this the file
# grows, coarser the network sees too little.
SHAPE, SPACING_MM, FIRST_VOXEL_LPS = (8, 150, 194), (2.5, 1.5, 1.5), (-145.0, -106.0, -21.5)
NODULES = (Nodule((-84.0, 30.0, -13.0), 12.0, "right", 40.0), Nodule((88.0, 24.0, -12.0), 13.0, "left", 35.0))
STEP_HU = 16  # values are rounded to this, about the noise: the file is half as large
WITHIN_MM = 6.0
# What a network may take for a nodule besides, in images as coarse as these; the candidates are some hundred.
AT_MOST = 40


@dataclass(frozen=True, slots=True)
class Place:
    """Where an example's voxels lie, as `example.toml` says it."""

    spacing_mm: tuple[float, float, float] = SPACING_MM
    first_voxel_lps: tuple[float, float, float] = FIRST_VOXEL_LPS
    orientation: str = "SPL"


def write_example(package: Path, voxels: npt.NDArray[np.int16], place: Place, findings: Sequence[Mapping[str, Any]], at_most: int) -> None:
    """Write `example/` into a package's folder."""
    folder = package / "example"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "volume.npz", voxels=voxels)
    lines = [
        "# A generated input, of nobody, and what the package must find in it. Made by tests/make/example.py; the keys are",
        "# explained in dicom_node/package/example.py.",
        f"findings_at_most = {at_most}",
        "",
        "[volume]",
        f'orientation = "{place.orientation}"',
        f"spacing_mm = {list(place.spacing_mm)}",
        f"first_voxel_lps = {list(place.first_voxel_lps)}",
    ]
    for finding in findings:
        lines += ["", "[[findings]]", *(f"{key} = {_toml(value)}" for key, value in finding.items())]
    (folder / "example.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_ball_example(package: Path, hu: int, *, radius_mm: float = 12.0) -> None:
    """The example of a small package for tests: a ball of `hu` in water, off the centre, which must be found."""
    centre = (4.0, -6.0, 3.0)
    grid = np.stack(np.meshgrid(*[(np.arange(20) - 9.5) * 3.0] * 3, indexing="ij"), axis=-1)[..., ::-1]
    voxels = np.where(np.linalg.norm(grid - centre, axis=-1) < radius_mm, hu, 0).astype(np.int16)
    write_example(package, voxels, Place((3.0,) * 3, (-28.5,) * 3), [{"centre_lps": centre, "within_mm": 3.0}], 1)


def write_chest_example(package: Path) -> Analysed:
    """Make the example of a lung package and see that the package passes it; gives the result."""
    voxels = chest_slab()
    write_example(package, voxels, Place(), [_placed(nodule) for nodule in NODULES], AT_MOST)
    result = run(package)
    expected = [wanted for nodule in NODULES if (wanted := _expected(nodule, result.findings)) is not None]
    if not expected:
        raise SystemExit("the package finds no nodule of the example")
    write_example(package, voxels, Place(), expected, AT_MOST)
    if (failure := find_failure(load_package(package).example, result)) is not None:
        raise SystemExit(f"the package does not pass: {failure}")
    return result


def chest_slab() -> npt.NDArray[np.int16]:
    """Hounsfield units of the slab, (slices, rows, columns) growing to superior, posterior, left."""
    sample, _ = chest(nodules=NODULES)
    axes = [start + mm * np.arange(count) for start, mm, count in zip(FIRST_VOXEL_LPS[::-1], SPACING_MM, SHAPE, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return (np.rint(sample(np.stack([x, y, z], axis=-1)) / STEP_HU) * STEP_HU).astype(np.int16)


def run(folder: Path) -> Analysed:
    """What a package makes of its example."""
    package = load_package(folder)
    identity = process.RunIdentity("example", "", "")
    result = process.run_stages(package, package.example.volume, identity, process.Sessions(process.count_threads()), monotonic)
    if not isinstance(result, Analysed):
        raise SystemExit(f"the package does not analyse its example: {result.reason}")
    return result


def _placed(nodule: Nodule) -> dict[str, Any]:
    return {"centre_lps": nodule.centre_lps, "within_mm": WITHIN_MM, "laterality": nodule.side[0].upper()}


def _expected(nodule: Nodule, found: Sequence[Finding]) -> dict[str, Any] | None:
    """The nodule as an expected finding, with a range round the volume that the package measures; None where it is not found."""
    for finding in found:
        if dist(finding.centre_lps, nodule.centre_lps) <= WITHIN_MM / 2:
            measured_mm3 = int(finding.mask.voxels.sum()) * float(np.prod(SPACING_MM))
            return {**_placed(nodule), "volume_mm3": (round(0.6 * measured_mm3), round(1.6 * measured_mm3))}
    return None


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)


def main() -> None:
    """Make the example of the package in the folder that is named."""
    folder = Path(sys.argv[1])
    result = write_chest_example(folder)
    for finding in result.findings:
        print(f"{finding.laterality} {finding.centre_lps} score {finding.score} voxels {int(finding.mask.voxels.sum())}")
    for stage in result.stages:
        print(f"{stage.name} {stage.seconds} s {dict(stage.given)}")
    expected = len(load_package(folder).example.findings)
    size_kb = sum(file.stat().st_size for file in (folder / "example").iterdir()) / 1000
    print(f"example: expected={expected} found={len(result.findings)} kB={size_kb:.0f}")


if __name__ == "__main__":
    main()
