"""Who is held out, and which rows of the LUNA16 patch set belong to them.

The patch set does not name its patients. Its `candidate_row` is sorted by series, so a held-out patient is found by
looking for the patches in that patient's own slices; the rows near each match are then left out of training.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scans import SCANS, FloatArray, Slice, read_slices

BLOCK_ROWS = 27_500                               # about 45 scans; every fifth block is held out
GUARD_ROWS = 4_000                                # six scans either way: LUNA16 has about 620 candidates a scan
MATCH = 0.98                                      # normalised correlation of a patch with its own place


def held_out_patients(slices: tuple[Slice, ...]) -> frozenset[str]:
    """Every fourth patient of the slice set, and the two whole scans."""
    patients = sorted({piece.patient for piece in slices} - set(SCANS.values()))
    return frozenset(patients[::4]) | {SCANS["lidc_0001"], SCANS["lungx_ct003"]}


def split_rows(candidate_row: NDArray[np.int64], matched_rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Give (training, held-out block) masks over the patch set; rows near either border or a match are in neither."""
    block = candidate_row // BLOCK_ROWS
    held_out = block % 5 == 4
    into = candidate_row % BLOCK_ROWS
    near_border = ((block % 5 == 3) & (into > BLOCK_ROWS - GUARD_ROWS)) | ((block % 5 == 0) & (into < GUARD_ROWS))
    near_match = np.zeros(len(candidate_row), dtype=bool)
    for row in matched_rows:
        near_match |= np.abs(candidate_row - row) <= GUARD_ROWS
    return ~held_out & ~near_border & ~near_match, held_out


def find_matched_rows(
    patches: NDArray[np.uint8], candidate_row: NDArray[np.int64], pictures: list[FloatArray]
) -> NDArray[np.int64]:
    """Find the rows whose patch is a part of one of the pictures (rows, columns in HU, native pixels)."""
    small = patches[:, 9:41:2, 9:41:2].reshape(len(patches), -1).astype(np.float32)
    small -= small.mean(axis=1, keepdims=True)
    small /= np.linalg.norm(small, axis=1, keepdims=True) + 1e-6
    best = np.full(len(patches), -1.0, dtype=np.float32)
    for picture in pictures:
        grey = np.clip((picture + 1000.0) / 1400.0 * 255.0, 0, 255).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(grey, (31, 31))[:, :, ::2, ::2]
        for band in np.array_split(windows, max(1, len(windows) // 16)):
            flat = band.reshape(-1, 256).astype(np.float32)
            flat = flat[flat.std(axis=1) > 10]    # plain air or plain soft tissue matches anything
            flat -= flat.mean(axis=1, keepdims=True)
            flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
            if len(flat):
                best = np.maximum(best, (small @ flat.T).max(axis=1))
    return candidate_row[best > MATCH]


def read_matched_rows(folder: Path, patches: NDArray[np.uint8], candidate_row: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the rows of all held-out LIDC patients.

    A nodule without a match (its candidate is not in the set, or lies on another slice) gets its place from its
    neighbours: both lists are sorted by series, so LUNA16's annotation row gives the candidate row within some scans.
    """
    slices = read_slices(folder)
    held_out = held_out_patients(slices)
    annotation_row = {piece.name: int(piece.name.split("_")[1]) for piece in slices}
    anchors: dict[int, int] = {}
    wanted: list[int] = []
    for piece in slices:
        matched = [
            int(row)
            for finding in piece.findings
            if finding.is_nodule
            for row in find_matched_rows(patches, candidate_row, [_cut(piece.hu, finding.index[1], finding.index[2])])
        ]
        if matched:
            anchors[annotation_row[piece.name]] = int(np.median(matched))
        if piece.patient in held_out:
            wanted.append(annotation_row[piece.name])
    known = sorted(anchors)
    rows = np.interp(wanted, known, [anchors[key] for key in known])
    return np.unique(np.round(rows).astype(np.int64))


def _cut(hu: FloatArray, row: float, column: float, half: int = 27) -> FloatArray:
    """Cut a square round a place, padded where the picture ends."""
    padded = np.pad(hu, half, mode="edge")
    top, left = int(round(row)), int(round(column))
    return padded[top : top + 2 * half, left : left + 2 * half]
