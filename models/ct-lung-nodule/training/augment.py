"""What a patch may look like on another scanner: place, size, orientation, kernel, noise, JPEG."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from network import CHANNEL_OFFSETS_MM
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
    return _exposure(_kernel(view, rng), rng)


def augment_stack(stack: NDArray[np.uint8], rng: np.random.Generator) -> torch.Tensor:
    """Turn stacks (n, 21, 64, 64) into one random view each, (n, 5, 40, 40) of 0..1."""
    count = len(stack)
    size = np.exp(rng.uniform(math.log(0.8), math.log(1.25), count))
    angle = rng.integers(0, 4, count) * (math.pi / 2) + rng.uniform(-0.25, 0.25, count)
    # Up to 15 degrees of lean, shifts up to 2 mm along the body: candidates lie on a 2 mm grid.
    return _exposure(
        _kernel(
            _resample_stack(
                torch.from_numpy(stack).float()[:, None] / 255,
                size,
                angle,
                mirrored=rng.random((count, 2)) < 0.5,
                shift_mm=rng.uniform(-2.0, 2.0, (count, 3)),
                lean=rng.uniform(-0.25, 0.25, (count, 2)),
            ),
            rng,
        ),
        rng,
    )


def derive_stack_view(stack: NDArray[np.uint8]) -> torch.Tensor:
    """Turn stacks into what the node would sample."""
    count = len(stack)
    still = np.zeros(count)
    source = torch.from_numpy(stack).float()[:, None] / 255
    return _resample_stack(source, still + 1, still, np.zeros((count, 2)) > 0, np.zeros((count, 3)), np.zeros((count, 2)))


def _exposure(view: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    count = len(view)
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


def _resample_stack(
    source: torch.Tensor,
    size: NDArray[np.float64],
    angle: NDArray[np.float64],
    mirrored: NDArray[np.bool_],
    shift_mm: NDArray[np.float64],
    lean: NDArray[np.float64],
) -> torch.Tensor:
    """Sample the channels' planes; `shift_mm` is (column, row, slice), `lean` moves the picture per mm along the body."""
    count = len(source)
    half_mm = SOURCE_SIZE * SPACING_MM / 2
    half_slices_mm = source.shape[2] / 2
    reach_mm = size * SIZE * SPACING_MM / 2
    flip = np.where(mirrored, -1.0, 1.0)
    # Built plane by plane, because the channels are not evenly placed pixels of a grid in general.
    planes: list[torch.Tensor] = []
    for offset_mm in CHANNEL_OFFSETS_MM:
        along_mm = size * offset_mm * flip[:, 1]
        affine = np.zeros((count, 2, 3), dtype=np.float32)
        affine[:, 0, 0] = reach_mm / half_mm * np.cos(angle) * flip[:, 0]
        affine[:, 0, 1] = -reach_mm / half_mm * np.sin(angle)
        affine[:, 1, 0] = reach_mm / half_mm * np.sin(angle) * flip[:, 0]
        affine[:, 1, 1] = reach_mm / half_mm * np.cos(angle)
        affine[:, :, 2] = (shift_mm[:, :2] + lean * along_mm[:, None]) / half_mm
        flat = functional.affine_grid(torch.from_numpy(affine), [count, 1, SIZE, SIZE], align_corners=False)
        depth = torch.from_numpy(((along_mm + shift_mm[:, 2]) / half_slices_mm).astype(np.float32))
        planes.append(torch.cat([flat, depth[:, None, None, None].expand(-1, SIZE, SIZE, 1)], dim=3))
    grid = torch.stack(planes, dim=1)
    return functional.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]


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
    c = picture.shape[1]
    tap = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    picture = functional.conv2d(functional.pad(picture, (2, 2, 0, 0), mode="replicate"), tap.view(1, 1, 1, 5).expand(c, 1, 1, 5), groups=c)
    return functional.conv2d(functional.pad(picture, (0, 0, 2, 2), mode="replicate"), tap.view(1, 1, 5, 1).expand(c, 1, 5, 1), groups=c)


def _jpeg(patch: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Send a third of the patches through JPEG: the LUNA16 set has been through it, DICOM has not."""
    coded = patch.copy()
    for i in np.flatnonzero(rng.random(len(patch)) < 0.33):
        memory = io.BytesIO()
        Image.fromarray(patch[i]).save(memory, "JPEG", quality=int(rng.integers(60, 96)))
        coded[i] = np.asarray(Image.open(memory))
    return coded
