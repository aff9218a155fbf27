"""Simulated vessels and balls in real lung, for the stacks: there are too few real ones with depth.

Three patients give no variety of vessels that run along the body or aslant, which in a single slice look like nodules.
Said in the model card: a quarter of the stacks that the second step draws are such.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from patches import SPACING_MM, scale_hu
from scans import FloatArray

VESSEL_DIAMETER_MM = (2.0, 11.0)
BALL_DIAMETER_MM = (4.0, 24.0)
TISSUE_HU = (-150.0, 150.0)
REACH_MM = 40.0                                   # beyond the corners of a stack


def insert_vessel(stack: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lay a bent tube through the middle of a stack (21, 64, 64); every third has a branch that starts there."""
    radius_mm = rng.uniform(*VESSEL_DIAMETER_MM) / 2
    points = _grid_mm(stack.shape) - rng.uniform(-1, 1, 3).astype(np.float32)
    direction = _direction(rng)
    distance_mm = _distance_to_line_mm(points, direction, -REACH_MM, rng)
    if rng.random() < 0.33:
        thinner = _distance_to_line_mm(points, _direction(rng), 0.0, rng) + radius_mm * rng.uniform(0.0, 0.5)
        distance_mm = np.minimum(distance_mm, thinner)
    return _blend(stack, radius_mm - distance_mm, rng)


def insert_ball(stack: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lay a ball, not quite round, in the middle of a stack (21, 64, 64)."""
    radius_mm = rng.uniform(*BALL_DIAMETER_MM) / 2
    points = _grid_mm(stack.shape) / rng.uniform(0.85, 1.15, 3).astype(np.float32)
    return _blend(stack, radius_mm - np.linalg.norm(points, axis=-1), rng)


def _grid_mm(shape: tuple[int, ...]) -> FloatArray:
    """Give the place of each pixel (slices, rows, columns, 3) from the middle of the stack, planes 1 mm apart."""
    steps_mm = (1.0, SPACING_MM, SPACING_MM)
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, steps_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)


def _direction(rng: np.random.Generator) -> FloatArray:
    vector = rng.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def _distance_to_line_mm(
    points: FloatArray, direction: FloatArray, start_mm: float, rng: np.random.Generator
) -> FloatArray:
    """Give each point's distance from a line through the origin that bends with a radius of at least 30 mm."""
    along = np.arange(start_mm, REACH_MM, 1.0, dtype=np.float32)
    bend = np.cross(direction, _direction(rng)).astype(np.float32)
    bend *= rng.uniform(0, 1 / 30)
    line = along[:, None] * direction + along[:, None] ** 2 / 2 * bend
    # |p - l|^2 spelt out: one product of matrices instead of a pass over the stack for each point of the line.
    flat = points.reshape(-1, 3)
    square = (flat**2).sum(axis=1)[:, None] + (line**2).sum(axis=1) - 2 * flat @ line.T
    return np.asarray(np.sqrt(np.maximum(0, square.min(axis=1))).reshape(points.shape[:3]), dtype=np.float32)


def _blend(stack: NDArray[np.uint8], depth_mm: FloatArray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Raise the stack to tissue where `depth_mm` is positive; edges are as soft as pixels and slices make them."""
    share = np.clip(depth_mm / 1.0 + 0.5, 0, 1)
    share = ndimage.gaussian_filter(share, (rng.uniform(0, 1.2), 0.4, 0.4))
    tissue = float(scale_hu(np.array(rng.uniform(*TISSUE_HU), dtype=np.float32))) * 255
    grey = stack.astype(np.float32)
    return np.round(np.maximum(grey, grey + share * (tissue - grey))).astype(np.uint8)
