"""A network moved over a volume in overlapping windows, slab by slab along the first axis.

Only the slab under the window is held for all channels. What its weights add up to is computed for each slice as the slice is finished:
a product over the axes with a floor, whose sum is no product of sums, and would have to be held for half a window's slices.
"""

from collections.abc import Callable, Iterator
from typing import assert_never

import numpy as np
import numpy.typing as npt

from dicom_node.errors import ModelUnusable
from dicom_node.package import Skip, Window

from .inputs import Box, Floats

# A batch of inputs to the network's outputs; here (windows, 1, slices, rows, columns) to (windows, channels, slices, rows, columns).
Network = Callable[[Floats], Floats]

_Place = tuple[int, int]  # of a window in its slab: first row, first column

_SIGMA = 0.125  # of the window's length, and
_LEAST_WEIGHT = 1e-3  # of the middle's: MONAI's SlidingWindowInferer
_SLICES_AT_ONCE = 8  # finished ones: bounds the memory, the result does not depend on it


def slide(values: Floats, window: Window | None, network: Network) -> Iterator[tuple[int, Floats]]:
    """The network's output over the whole of (slices, rows, columns), as finished slices in order.

    Each part is (index of its first slice, (channels, slices, rows, columns)): the weighted mean of all windows over a voxel. Where the
    volume is smaller than the window it lies in the window's middle, and its lowest value is round it. A window that is skipped counts
    as one that the network answered with `outside`. Without a window the network runs once over the whole.

    Source: monai.inferers.sliding_window_inference, MONAI 1.6.1 (weights; where windows lie with `places` "step").
    """
    window = window or Window(size=values.shape, overlap=0.0, weights="constant")
    padded, inner = _pad(values, window.size)
    if padded.shape == window.size:  # one window: its output is the mean
        output = _outside(window.skip, window.size) if _is_skipped(padded, window.skip) else network(padded[None, None])[0]
        yield 0, output[:, *inner]
        return
    starts = [_starts(extent, size, window) for extent, size in zip(padded.shape, window.size, strict=True)]
    places = [(row, column) for row in starts[1] for column in starts[2]]
    weight = _weigh(window)
    slab: Floats | None = None
    for first, following in zip(starts[0], [*starts[0][1:], padded.shape[0]], strict=True):
        for place, output in _outputs(padded[first : first + window.size[0]], places, window, network):
            if slab is None:
                slab = np.zeros((output.shape[0], window.size[0], *padded.shape[1:]), dtype=np.float32)
            _add(slab, output, weight, place)
        assert slab is not None
        finished = range(max(first, inner[0].start), min(following, inner[0].stop))
        for at in range(0, len(finished), _SLICES_AT_ONCE):
            part = finished[at : at + _SLICES_AT_ONCE]
            sums = np.stack([_sum_of_weights(index, starts, weight, padded.shape)[inner[1:]] for index in part])
            yield part.start - inner[0].start, slab[:, part.start - first : part.stop - first, inner[1], inner[2]] / sums
        _move_up(slab, following - first)


def with_channels(network: Network, window: Window | None, model: str) -> Network:
    """The network; where the package says what it answers outside, that must be as many channels as it has, or ModelUnusable."""
    if window is None or window.skip is None:
        return network
    count = len(window.skip.outside)

    def run(batch: Floats) -> Floats:
        output = network(batch)
        if output.shape[1] != count:
            raise ModelUnusable(model=model)
        return output

    return run


def _pad(values: Floats, size: tuple[int, int, int]) -> tuple[Floats, Box]:
    """The values, at least as large as the window, and where in them those that were given lie."""
    missing = [max(0, wanted - found) for wanted, found in zip(size, values.shape, strict=True)]
    inner = tuple(slice(lack // 2, lack // 2 + extent) for lack, extent in zip(missing, values.shape, strict=True))
    if not any(missing):
        return values, inner
    return np.pad(values, [(lack // 2, lack - lack // 2) for lack in missing], constant_values=values.min()), inner


def _starts(extent: int, size: int, window: Window) -> list[int]:
    """Where windows begin along an axis: at least as dense as the overlap asks, the last at the end."""
    step = max(1, int(size * (1 - window.overlap)))
    count = -(-(extent - size) // step) + 1
    match window.places:
        case "even":
            return [round(number * (extent - size) / max(count - 1, 1)) for number in range(count)]
        case "step":
            return [min(number * step, extent - size) for number in range(count)]
        case _:
            assert_never(window.places)


def _weigh(window: Window) -> Floats:
    """What each voxel of a window counts, (slices, rows, columns)."""
    if window.weights == "constant":
        return np.ones(window.size, dtype=np.float32)
    slices, rows, columns = (_profile(size) for size in window.size)
    weight: Floats = slices[:, None, None] * rows[:, None] * columns
    return np.maximum(weight, np.float32(_LEAST_WEIGHT), out=weight)


def _profile(size: int) -> Floats:
    place = (np.arange(size) - (size - 1) / 2) / (_SIGMA * size)
    return np.exp(-(place**2) / 2).astype(np.float32)


def _sum_of_weights(index: int, starts: list[list[int]], weight: Floats, shape: tuple[int, ...]) -> Floats:
    """What all windows over the slice `index` count there, (rows, columns)."""
    _, rows, columns = weight.shape
    window = sum((weight[index - start] for start in starts[0] if 0 <= index - start < len(weight)), np.zeros_like(weight[0]))
    strip = np.zeros((rows, shape[2]), dtype=np.float32)
    for column in starts[2]:
        strip[:, column : column + columns] += window
    plane = np.zeros(shape[1:], dtype=np.float32)
    for row in starts[1]:
        plane[row : row + rows] += strip
    return plane


def _outputs(rows: Floats, places: list[_Place], window: Window, network: Network) -> Iterator[tuple[_Place, Floats]]:
    """Each window of a slab with its output (channels, slices, rows, columns), which lasts until the next one is asked for."""
    seen = []
    for place in places:
        if _is_skipped(_at(rows, place, window), window.skip):
            yield place, _outside(window.skip, window.size)
        else:
            seen.append(place)
    batch = np.empty((min(window.batch, len(seen)), 1, *window.size), dtype=np.float32)
    for number in range(0, len(seen), window.batch):
        now = seen[number : number + window.batch]
        for item, place in zip(batch, now, strict=False):
            item[0] = _at(rows, place, window)
        yield from zip(now, network(batch[: len(now)]), strict=True)


def _at(rows: Floats, place: _Place, window: Window) -> Floats:
    row, column = place
    return rows[:, row : row + window.size[1], column : column + window.size[2]]


def _is_skipped(values: Floats, skip: Skip | None) -> bool:
    return skip is not None and bool(values.max() < skip.below)


def _outside(skip: Skip | None, size: tuple[int, int, int]) -> Floats:
    """The output of a window that is skipped."""
    assert skip is not None
    return np.broadcast_to(np.array(skip.outside, dtype=np.float32)[:, None, None, None], (len(skip.outside), *size))


def _add(slab: Floats, output: Floats, weight: Floats, place: _Place) -> None:
    """Slice by slice, so that a product is still in the processor's cache when it is added."""
    row, column = place
    _, rows, columns = weight.shape
    product = np.empty((rows, columns), dtype=np.float32)
    for channel, values in zip(slab[:, :, row : row + rows, column : column + columns], output, strict=True):
        for target, one, own in zip(channel, values, weight, strict=True):
            np.multiply(one, own, out=product)
            target += product


def _move_up(slab: Floats, done: int) -> None:
    """Drop the slices that are finished; the ones behind them come to the front, one by one, so that no copy of the slab is made."""
    left = slab.shape[1] - done
    for number in range(left):
        slab[:, number] = slab[:, number + done]
    slab[:, left:] = 0


def is_finite(values: npt.NDArray[np.float32]) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(np.isfinite(values).all())
