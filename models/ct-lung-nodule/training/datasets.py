"""The training table: every source brought to one shape, with what is known of its pixel size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import csv
import numpy as np
from numpy.typing import NDArray

from candidates import LEAST_IN_TRAINING_HU, find_candidates, find_slice_candidates
from patches import SOURCE_SIZE, SPACING_MM, sample_scan, sample_slice, scale_hu
from scans import FloatArray, Finding, read_findings, read_scan, read_slices
from splits import held_out_patients, read_matched_rows, split_rows

# The LUNA16 patch set does not say its pixel size; this is the median of lidc_series.csv (5 % to 95 %: 0.56 to 0.83).
LUNA16_PIXEL_MM = 0.698
# Measured, as the set does not say: quantiles of the cube of patient 0001 against the scan, and the modes of lung and
# of soft tissue (grey 56 and 198, for -850 and 40 HU).
CUBE_WINDOW_HU = (-1200.0, 400.0)
MARGIN_MM = 5.0                                   # a negative keeps this distance from the edge of every finding
BRIGHTEST = 60                                    # negatives per slice: the brightest spots ...
OTHERS = 30                                       # ... and some of the rest


@dataclass(frozen=True, slots=True)
class Table:
    """Patches (n, 64, 64) as 0..255, with label, pixel size in mm and the source's name."""

    patch: NDArray[np.uint8]
    label: NDArray[np.uint8]
    pixel_mm: FloatArray
    source: NDArray[np.str_]


def read_training(folder: Path) -> Table:
    """Read everything that may be trained on; held-out patients and blocks are not in it."""
    held_out = held_out_patients(read_slices(folder))
    return join(
        [
            read_luna16_patches(folder)[0],
            read_slice_table(folder, patients_in=None, patients_out=held_out),
            _read_cubes(folder, held_out),
            _read_volumes(folder, held_out),
            read_scan_table(folder, "lidc_0002_slab"),
            read_scan_table(folder, "lidc_0003_slab"),
        ]
    )


def join(tables: list[Table]) -> Table:
    """Put tables under each other."""
    return Table(
        np.concatenate([table.patch for table in tables]),
        np.concatenate([table.label for table in tables]),
        np.concatenate([table.pixel_mm for table in tables]),
        np.concatenate([table.source for table in tables]),
    )


def read_luna16_patches(folder: Path) -> tuple[Table, Table, NDArray[np.int64]]:
    """Read the LUNA16 patch set as (training, held-out blocks, candidate rows of the held-out)."""
    with np.load(folder / "luna16_candidates_2d.npz") as archive:
        patch, label, row = archive["patch"], archive["label"], archive["candidate_row"].astype(np.int64)
    training, held_out = split_rows(row, read_matched_rows(folder, patch, row))
    border = (SOURCE_SIZE - patch.shape[1]) // 2
    padded = np.pad(patch, ((0, 0), (border, border), (border, border)), mode="edge")
    both = [_table(padded[mask], label[mask], LUNA16_PIXEL_MM, "luna16_candidates_2d") for mask in (training, held_out)]
    return both[0], both[1], row[held_out]


def read_slice_table(
    folder: Path, patients_in: frozenset[str] | None, patients_out: frozenset[str] = frozenset()
) -> Table:
    """Cut nodules and bright spots off all findings from the LUNA16 slice set, at the network's pixel size."""
    tables: list[Table] = []
    rng = np.random.default_rng(0)
    for piece in read_slices(folder):
        if piece.patient in patients_out or (patients_in is not None and piece.patient not in patients_in):
            continue
        nodules = np.array([finding.index[1:] for finding in piece.findings if finding.is_nodule])
        tables.append(_cut_table(sample_slice(piece.hu, piece.spacing_mm, nodules, SOURCE_SIZE), 1, f"slices/{piece.patient}"))
        spots = find_slice_candidates(piece.hu, piece.spacing_mm)
        spots = spots[is_clear(np.pad(spots, ((0, 0), (1, 0))), piece.findings, (1.0, piece.spacing_mm, piece.spacing_mm))]
        rest = spots[BRIGHTEST:]
        spots = np.concatenate([spots[:BRIGHTEST], rng.permutation(rest)[:OTHERS]])
        tables.append(_cut_table(sample_slice(piece.hu, piece.spacing_mm, spots, SOURCE_SIZE), 0, f"slices/{piece.patient}"))
    return join(tables)


def read_scan_table(folder: Path, name: str, cap: int = 1000) -> Table:
    """Cut nodules and candidates off all findings from a DICOM scan."""
    scan = read_scan(folder, name)
    findings = read_findings(folder, scan)
    nodules = np.array([finding.index for finding in findings if finding.is_nodule]).reshape(-1, 3)
    index = find_candidates(scan, cap, LEAST_IN_TRAINING_HU).index
    index = index[is_clear(index, findings, scan.spacing_mm)]
    return join(
        [
            _cut_table(sample_scan(scan, nodules, SOURCE_SIZE), 1, f"scan/{name}"),
            _cut_table(sample_scan(scan, index, SOURCE_SIZE), 0, f"scan/{name}"),
        ]
    )


def _read_cubes(folder: Path, held_out: frozenset[str]) -> Table:
    """Cut three axial slices, one coronal and one sagittal through each nodule of the 1 mm cubes."""
    tables: list[Table] = []
    with np.load(folder / "lidc_nodule_cubes_3d.npz") as archive:
        for cube, packed, patient in zip(archive["cube"], archive["mask"], archive["patient"], strict=True):
            if patient in held_out:
                continue
            mask = np.unpackbits(packed, axis=-1)[..., : cube.shape[-1]].astype(bool)
            centre = np.argwhere(mask).mean(axis=0)
            third = max(1, int(round(np.ptp(np.argwhere(mask)[:, 0]) / 4)))
            for axis, steps in ((0, (-third, 0, third)), (1, (0,)), (2, (0,))):
                for step in steps:
                    plane = np.take(cube, int(round(centre[axis])) + step, axis=axis)
                    row, column = np.delete(centre, axis)
                    shift = (int(round(row)) - cube.shape[0] // 2, int(round(column)) - cube.shape[0] // 2)
                    padded = np.pad(plane, 16, mode="edge")
                    square = padded[8 + shift[0] : 8 + shift[0] + SOURCE_SIZE, 8 + shift[1] : 8 + shift[1] + SOURCE_SIZE]
                    grey = np.round(scale_hu(cube_hu(square)) * 255).astype(np.uint8)
                    tables.append(_table(grey[None], np.ones(1), 1.0, f"cubes/{patient}"))
    return join(tables)


def cube_hu(cube: NDArray[np.uint8]) -> FloatArray:
    """Turn the grey of the 1 mm cubes back to HU."""
    low, high = CUBE_WINDOW_HU
    return cube.astype(np.float32) / 255 * (high - low) + low


def _read_volumes(folder: Path, held_out: frozenset[str]) -> Table:
    """Cut the middle slice of each native nodule volume that at least three readers marked."""
    tables: list[Table] = []
    rows = list(csv.DictReader((folder / "lidc_nodule_volumes.csv").open()))
    with np.load(folder / "lidc_nodule_volumes.npz") as archive:
        for row in rows:
            if row["patient"] in held_out or int(row["readers"]) < 3:
                continue
            volume = archive[row["key"]]
            middle = scale_hu(volume[:, :, volume.shape[2] // 2].astype(np.float32))
            grey = np.round(middle * 255).astype(np.uint8)
            tables.append(_table(grey[None], np.ones(1), float(row["pixel_spacing_mm"]), f"volumes/{row['patient']}"))
    return join(tables)


def is_clear(
    index: NDArray[np.float64], findings: tuple[Finding, ...], spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Tell which places (slice, row, column) lie off every finding, those that count neither way included."""
    clear = np.ones(len(index), dtype=bool)
    for finding in findings:
        distance_mm = np.linalg.norm((index - np.array(finding.index)) * np.array(spacing_mm), axis=1)
        clear &= distance_mm > finding.diameter_mm / 2 + MARGIN_MM
    return clear


def _cut_table(patches: FloatArray, label: int, source: str) -> Table:
    grey = np.round(patches * 255).astype(np.uint8)
    return _table(grey, np.full(len(grey), label), SPACING_MM, source)


def _table(patch: NDArray[np.uint8], label: NDArray[np.generic], pixel_mm: float, source: str) -> Table:
    count = len(patch)
    return Table(patch, label.astype(np.uint8), np.full(count, pixel_mm, dtype=np.float32), np.full(count, source, dtype="<U40"))
