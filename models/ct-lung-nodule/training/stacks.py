"""The second training table: stacks of axial planes, for what one slice cannot tell (a vessel along the body is round).

There are few of them: the 1 mm cubes and the native volumes for nodules, the two slabs for vessels, and simulated vessels
and balls in the lung of both.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from candidates import LEAST_IN_TRAINING_HU, find_candidates
from datasets import cube_hu, is_clear
from patches import SOURCE_SIZE, sample_scan
from scans import Scan, read_findings, read_scan, read_slices
from splits import held_out_patients
from vessels import insert_ball, insert_vessel

PLANES = 21                                       # 1 mm apart: 20 mm, enough for a shift beyond the outer channels
OFFSETS_MM = tuple(float(step) for step in range(-(PLANES // 2), PLANES // 2 + 1))
VESSELS = 500
BALLS = 200
OFF_CENTRE_MM = 13.0                              # a cube's border enters the picture beyond this


@dataclass(frozen=True, slots=True)
class Stacks:
    """Stacks (n, 21, 64, 64) as 0..255 with 0.8 mm pixels and planes 1 mm apart, label and source."""

    stack: NDArray[np.uint8]
    label: NDArray[np.uint8]
    source: NDArray[np.str_]


def read_stacks(folder: Path) -> Stacks:
    """Read every stack that may be trained on."""
    held_out = held_out_patients(read_slices(folder))
    parts = [
        *_cut_cubes(folder, held_out),
        *_cut_volumes(folder, held_out),
        *cut_scan(folder, "lidc_0002_slab"),
        *cut_scan(folder, "lidc_0003_slab"),
    ]
    real = _join(parts)
    return _join([real, *_simulate(real)])


def _simulate(real: Stacks) -> list[Stacks]:
    """Lay vessels and balls into stacks that hold no nodule."""
    rng = np.random.default_rng(0)
    grounds = real.stack[real.label == 0]
    vessels = [insert_vessel(grounds[rng.integers(len(grounds))], rng) for _ in range(VESSELS)]
    balls = [insert_ball(grounds[rng.integers(len(grounds))], rng) for _ in range(BALLS)]
    return [
        Stacks(np.stack(vessels), np.zeros(VESSELS, dtype=np.uint8), np.full(VESSELS, "vessels", dtype="<U40")),
        Stacks(np.stack(balls), np.ones(BALLS, dtype=np.uint8), np.full(BALLS, "balls", dtype="<U40")),
    ]


def _join(parts: list[Stacks]) -> Stacks:
    return Stacks(
        np.concatenate([part.stack for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.source for part in parts]),
    )


def cut_scan(folder: Path, name: str, cap: int = 1000) -> list[Stacks]:
    """Cut the nodules of a scan, and its candidates off all findings."""
    scan = read_scan(folder, name)
    findings = read_findings(folder, scan)
    nodules = np.array([finding.index for finding in findings if finding.is_nodule]).reshape(-1, 3)
    index = find_candidates(scan, cap, LEAST_IN_TRAINING_HU).index
    index = index[is_clear(index, findings, scan.spacing_mm)]
    return [_cut(scan, nodules, 1, f"scan/{name}"), _cut(scan, index, 0, f"scan/{name}")]


def _cut_cubes(folder: Path, held_out: frozenset[str]) -> list[Stacks]:
    """Cut the nodule and what lies beside it from each 1 mm cube, with each of its axes once as the body's axis.

    A nodule has no preferred direction, and a vessel seen from another side is another vessel.
    """
    parts: list[Stacks] = []
    with np.load(folder / "lidc_nodule_cubes_3d.npz") as archive:
        for cube, packed, patient in zip(archive["cube"], archive["mask"], archive["patient"], strict=True):
            if patient in held_out:
                continue
            mask = np.unpackbits(packed, axis=-1)[..., : cube.shape[-1]].astype(bool)
            hu = cube_hu(cube)
            for axis in range(3):
                scan = Scan(str(patient), str(patient), np.moveaxis(hu, axis, 0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
                turned = np.moveaxis(mask, axis, 0)
                centre = np.argwhere(turned).mean(axis=0)
                parts.append(_cut(scan, centre[None], 1, f"cubes/{patient}"))
                beside = _find_bright_spots(scan.hu)
                to_nodule_mm = ndimage.distance_transform_edt(~turned)
                far = to_nodule_mm[tuple(beside.T)] > 6
                inside = np.abs(beside - 23.5).max(axis=1) < OFF_CENTRE_MM
                parts.append(_cut(scan, beside[far & inside].astype(float), 0, f"cubes/{patient}"))
    return parts


def _cut_volumes(folder: Path, held_out: frozenset[str]) -> list[Stacks]:
    """Cut the nodule of each native volume that at least three readers marked.

    What lies beside it is not used: these patients have further nodules, whose places the set does not give.
    """
    parts: list[Stacks] = []
    with np.load(folder / "lidc_nodule_volumes.npz") as archive:
        for row in csv.DictReader((folder / "lidc_nodule_volumes.csv").open()):
            if row["patient"] in held_out or int(row["readers"]) < 3:
                continue
            hu = np.moveaxis(archive[row["key"]], 2, 0).astype(np.float32)
            pixel_mm = float(row["pixel_spacing_mm"])
            spacing_mm = (float(row["slice_distance_mm"]), pixel_mm, pixel_mm)
            scan = Scan(row["key"], row["patient"], hu, spacing_mm, (0.0, 0.0, 0.0))
            middle = np.array([[n // 2 for n in hu.shape]], dtype=float)
            parts.append(_cut(scan, middle, 1, f"volumes/{row['patient']}"))
    return parts


def _find_bright_spots(hu: NDArray[np.float32]) -> NDArray[np.int64]:
    """Find blobs of vessel size in a cube of lung with 1 mm voxels."""
    response = np.max(
        [-(sigma**2) * ndimage.gaussian_laplace(np.clip(hu, -1000, 200), sigma) for sigma in (1.5, 2.1, 3.0)], axis=0
    )
    return np.argwhere((response == ndimage.maximum_filter(response, size=5)) & (response > 120)).astype(np.int64)


def _cut(scan: Scan, index: NDArray[np.float64], label: int, source: str) -> Stacks:
    planes = [sample_scan(scan, index, SOURCE_SIZE, offset_mm) for offset_mm in OFFSETS_MM]
    stack = np.round(np.stack(planes, axis=1) * 255).astype(np.uint8)
    return Stacks(stack, np.full(len(index), label, dtype=np.uint8), np.full(len(index), source, dtype="<U40"))
