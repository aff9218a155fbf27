"""A network moved over a volume in overlapping windows, slab by slab along the first axis.

Only the slab under the window is held for all channels. Weights are the product of one profile per axis, so their sum over all
windows is such a product too, and is known beforehand.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from dicom_node.package import Window

from .inputs import Floats

# A batch of inputs to the network's outputs; here (windows, 1, slices, rows, columns) to (windows, channels, slices, rows, columns).
Network = Callable[[Floats], Floats]

_SIGMA = 0.125  # of the window's length: the profile of the common frameworks
_LEAST_WEIGHT = 1e-3


def slide(values: Floats, window: Window | None, network: Network) -> Iterator[tuple[int, Floats]]:
    """The network's output over the whole of (slices, rows, columns), as finished slabs in order.

    Each slab is (index of its first slice, (channels, slices, rows, columns)): the weighted mean of all windows over a voxel.
    Where the volume is smaller than the window it is padded with its lowest value. Without a window it runs once over the whole.
    """
    window = window or Window(size=values.shape, overlap=0.0, weights="constant")
    padded = _pad(values, window.size)
    starts = [_starts(extent, size, window.overlap) for extent, size in zip(padded.shape, window.size, strict=True)]
    profiles = [_profile(size, window.weights) for size in window.size]
    sums = [_sum(extent, own, profile) for extent, own, profile in zip(padded.shape, starts, profiles, strict=True)]
    weight: Floats = profiles[0][:, None, None] * profiles[1][:, None] * profiles[2]
    plane_sum = sums[1][:, None] * sums[2]
    slab: Floats | None = None
    for number, first in enumerate(starts[0]):
        rows = padded[first : first + window.size[0]]
        places = [(row, column) for row in starts[1] for column in starts[2]]
        for batch in _batches(places, window.batch):
            out = network(np.stack([rows[:, r : r + window.size[1], c : c + window.size[2]] for r, c in batch])[:, None])
            if slab is None:
                slab = np.zeros((out.shape[1], window.size[0], *padded.shape[1:]), dtype=np.float32)
            for (r, c), one in zip(batch, out, strict=True):
                slab[:, :, r : r + window.size[1], c : c + window.size[2]] += one * weight
        assert slab is not None
        is_last = number + 1 == len(starts[0])
        done = window.size[0] if is_last else starts[0][number + 1] - first
        finished = np.divide(slab[:, :done], sums[0][first : first + done, None, None] * plane_sum, dtype=np.float32)
        kept = min(done, values.shape[0] - first)
        yield first, finished[:, :kept, : values.shape[1], : values.shape[2]]
        slab[:, : window.size[0] - done] = slab[:, done:].copy()
        slab[:, window.size[0] - done :] = 0


def _pad(values: Floats, size: tuple[int, int, int]) -> Floats:
    missing = [(0, max(0, wanted - found)) for wanted, found in zip(size, values.shape, strict=True)]
    if not any(after for _, after in missing):
        return values
    return np.pad(values, missing, constant_values=values.min())


def _starts(extent: int, size: int, overlap: float) -> list[int]:
    """Where windows begin, at least as dense as the overlap asks, spread evenly, the last at the end."""
    step = max(1, int(size * (1 - overlap)))
    count = -(-(extent - size) // step) + 1
    return [round(number * (extent - size) / max(count - 1, 1)) for number in range(count)]


def _profile(size: int, weights: str) -> Floats:
    if weights == "constant":
        return np.ones(size, dtype=np.float32)
    place = (np.arange(size) - (size - 1) / 2) / (_SIGMA * size)
    return np.maximum(np.exp(-(place**2) / 2), _LEAST_WEIGHT).astype(np.float32)


def _sum(extent: int, starts: list[int], profile: Floats) -> Floats:
    total = np.zeros(extent, dtype=np.float32)
    for start in starts:
        total[start : start + len(profile)] += profile
    return total


def _batches(places: list[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    waiting = iter(places)
    while batch := list(islice(waiting, size)):
        yield batch


def is_finite(values: npt.NDArray[np.float32]) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(np.isfinite(values).all())
