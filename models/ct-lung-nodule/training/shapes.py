"""Spheres and tubes in noisy lung: a sanity check that no real scan can give, since here the truth is known.

Not trained on, but vessels.py lays similar shapes into real lung for the stack head.
"""

from __future__ import annotations

import numpy as np

from scans import FloatArray, Scan

SPACING_MM = (1.25, 0.7, 0.7)
LUNG_HU = -850.0
NOISE_HU = 25.0
EXTENT = (65, 120, 120)                           # slices, rows, columns: 81 x 84 x 84 mm
DIRECTIONS: dict[str, tuple[float, float, float]] = {   # slice, row, column
    "in the slice": (0.0, 0.6, 0.8),
    "oblique": (0.577, 0.577, 0.577),
    "along the body": (1.0, 0.0, 0.0),
}


def make_sphere(diameter_mm: float, hu: float, seed: int) -> Scan:
    """Make a scan with one sphere in its middle."""
    z, y, x = _grid_mm(seed)
    return _scan(np.sqrt(z**2 + y**2 + x**2), diameter_mm, hu, seed)


def make_tube(diameter_mm: float, hu: float, direction: tuple[float, float, float], seed: int) -> Scan:
    """Make a scan with one tube through its middle, from border to border."""
    z, y, x = _grid_mm(seed)
    a, b, c = direction
    along = a * z + b * y + c * x
    return _scan(np.sqrt(np.maximum(0, z**2 + y**2 + x**2 - along**2)), diameter_mm, hu, seed)


def _grid_mm(seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the distance of each voxel from a middle that falls on another part of a voxel with each seed."""
    part = np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    axes = [(np.arange(n) - n // 2 + p) * mm for n, p, mm in zip(EXTENT, part, SPACING_MM, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z.astype(np.float32), y.astype(np.float32), x.astype(np.float32)


def _scan(distance_mm: FloatArray, diameter_mm: float, hu: float, seed: int) -> Scan:
    """Fill with a soft edge of one pixel, as partial volume makes it, and add noise."""
    inside = np.clip((diameter_mm / 2 - distance_mm) / SPACING_MM[1] + 0.5, 0, 1)
    noise = np.random.default_rng(seed + 1000).normal(0, NOISE_HU, distance_mm.shape)
    grey = LUNG_HU + (hu - LUNG_HU) * inside + noise
    return Scan("shape", "", grey.astype(np.float32), SPACING_MM, (0.0, 0.0, 0.0))
