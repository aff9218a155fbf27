"""What a patch may look like on another scanner: place, size, orientation, kernel, noise, JPEG."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from patches import SIZE, SOURCE_SIZE, SPACING_MM


def augment(patch: NDArray[np.uint8], pixel_mm: NDArray[np.float32], rng: np.random.Generator) -> torch.Tensor:
    """Turn source patches (n, 64, 64) into one random view each, (n, 1, 40, 40) of 0..1."""
    count = len(patch)
    source = torch.from_numpy(_jpeg(patch, rng)).float()[:, None] / 255
    view = _resample(
        source,
        scale=SPACING_MM / pixel_mm * np.exp(rng.uniform(math.log(0.8), math.log(1.25), count)),
        angle=rng.integers(0, 4, count) * (math.pi / 2) + rng.uniform(-0.25, 0.25, count),
        mirrored=rng.random(count) < 0.5,
        shift_mm=rng.uniform(-2.4, 2.4, (count, 2)),
    )
    view = _kernel(view, rng)
    contrast = torch.from_numpy(rng.uniform(0.9, 1.1, (count, 1, 1, 1))).float()
    offset = torch.from_numpy(rng.uniform(-0.03, 0.03, (count, 1, 1, 1))).float()
    return (view * contrast + offset).clamp(0, 1)


def derive_view(patch: NDArray[np.uint8], pixel_mm: NDArray[np.float32]) -> torch.Tensor:
    """Turn source patches into what the node would sample: centred, at the network's pixel size."""
    count = len(patch)
    still = np.zeros(count)
    source = torch.from_numpy(patch).float()[:, None] / 255
    return _resample(source, SPACING_MM / pixel_mm, still, still > 0, np.zeros((count, 2)))


def _resample(
    source: torch.Tensor,
    scale: NDArray[np.floating],
    angle: NDArray[np.float64],
    mirrored: NDArray[np.bool_],
    shift_mm: NDArray[np.float64],
) -> torch.Tensor:
    """Sample SIZE x SIZE pixels; `scale` is source pixels per pixel of the view."""
    reach = scale * SIZE / SOURCE_SIZE
    flip = np.where(mirrored, -1.0, 1.0)
    affine = np.zeros((len(source), 2, 3), dtype=np.float32)
    affine[:, 0, 0] = reach * np.cos(angle) * flip
    affine[:, 0, 1] = -reach * np.sin(angle)
    affine[:, 1, 0] = reach * np.sin(angle) * flip
    affine[:, 1, 1] = reach * np.cos(angle)
    affine[:, :, 2] = shift_mm * (scale / SPACING_MM * 2 / SOURCE_SIZE)[:, None]
    grid = functional.affine_grid(torch.from_numpy(affine), [len(source), 1, SIZE, SIZE], align_corners=False)
    return functional.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _kernel(view: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Blur, sharpen or leave, then add noise that is fine or coarse, as reconstruction kernels do."""
    count = len(view)
    amount = torch.from_numpy(rng.choice([0.0, 0.0, 1.0, -1.0], (count, 1, 1, 1)) * rng.uniform(0.2, 1.0, (count, 1, 1, 1))).float()
    blurred = _blur(view)
    view = torch.where(amount > 0, view + amount * (blurred - view), view - 1.2 * amount * (view - blurred))
    noise = torch.from_numpy(rng.standard_normal(view.shape).astype(np.float32))
    coarse = torch.from_numpy(rng.random((count, 1, 1, 1)) < 0.5)
    noise = torch.where(coarse, 2.5 * _blur(noise), noise)
    level = torch.from_numpy(rng.uniform(0, 0.06, (count, 1, 1, 1)) * (rng.random((count, 1, 1, 1)) < 0.6)).float()
    return view + level * noise


def _blur(picture: torch.Tensor) -> torch.Tensor:
    tap = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    picture = functional.conv2d(functional.pad(picture, (2, 2, 0, 0), mode="replicate"), tap.view(1, 1, 1, 5))
    return functional.conv2d(functional.pad(picture, (0, 0, 2, 2), mode="replicate"), tap.view(1, 1, 5, 1))


def _jpeg(patch: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Send a third of the patches through JPEG: the LUNA16 set has been through it, DICOM has not."""
    coded = patch.copy()
    for i in np.flatnonzero(rng.random(len(patch)) < 0.33):
        memory = io.BytesIO()
        Image.fromarray(patch[i]).save(memory, "JPEG", quality=int(rng.integers(60, 96)))
        coded[i] = np.asarray(Image.open(memory))
    return coded
