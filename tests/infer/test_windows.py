"""A network in windows sees what it would see at once."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.errors import ModelUnusable
from dicom_node.infer.windows import Network, slide, with_channels
from dicom_node.package import Skip, Window

Floats = npt.NDArray[np.float32]


def pointwise(batch: Floats) -> Floats:
    """Three channels that hang on each voxel alone."""
    return np.concatenate([batch, 2 * batch - 1, np.sin(batch)], axis=1).astype(np.float32)


def whole(values: Floats, window: Window | None, network: Network = pointwise) -> Floats:
    parts = list(slide(values, window, network))
    assert [first for first, _ in parts] == list(np.cumsum([0, *[part.shape[1] for _, part in parts]])[:-1])
    return np.concatenate([part for _, part in parts], axis=1)


def by_place(batch: Floats) -> Floats:
    """Two channels that hang on where in its window a voxel lies, and on what else the window holds."""
    ramp = np.indices(batch.shape[2:]).sum(axis=0)
    return np.concatenate([batch + ramp, ramp * batch.max(axis=(1, 2, 3, 4), keepdims=True)], axis=1).astype(np.float32)


SHAPES = st.tuples(*[st.integers(1, 20)] * 3)
WINDOWS = st.builds(
    Window,
    size=st.tuples(*[st.integers(1, 9)] * 3),
    overlap=st.floats(0, 0.9),
    weights=st.sampled_from(["gaussian", "constant"]),
    places=st.sampled_from(["even", "step"]),
    batch=st.integers(1, 5),
)


@settings(max_examples=60, deadline=None)
@given(SHAPES, WINDOWS)
def test_a_pointwise_network_gives_the_same_as_over_the_whole(shape: tuple[int, int, int], window: Window) -> None:
    values = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    expected = pointwise(values[None, None])[0]
    np.testing.assert_allclose(whole(values, window), expected, atol=2e-5)


def as_monai(values: Floats, window: Window, network: Network) -> npt.NDArray[np.float64]:
    """MONAI's sliding_window_inference (1.6.1), plainly: sums over the whole volume, in double precision.

    Its floor of the weights holds for the product over the axes. Round a small volume is 0 there; here the lowest value is.
    """
    lacks = [max(0, size - extent) for size, extent in zip(window.size, values.shape, strict=True)]
    padded = np.pad(values, [(lack // 2, lack - lack // 2) for lack in lacks], constant_values=values.min())
    weight = np.ones(window.size)
    if window.weights == "gaussian":
        for axis, size in enumerate(window.size):
            along = np.exp(-(((np.arange(size) - (size - 1) / 2) / (0.125 * size)) ** 2) / 2)
            weight = weight * along.reshape([-1 if other == axis else 1 for other in range(3)])
        weight = np.maximum(weight, max(weight.min(), 1e-3))
    starts = []
    for extent, size in zip(padded.shape, window.size, strict=True):
        step = max(1, int(size * (1 - window.overlap)))
        starts.append(sorted({min(start, extent - size) for start in range(0, extent - size + step, step)}))
    total, weights = np.zeros((2, *padded.shape)), np.zeros(padded.shape)
    for place in itertools.product(*starts):
        box = tuple(slice(start, start + size) for start, size in zip(place, window.size, strict=True))
        total[:, *box] += network(padded[box][None, None])[0] * weight
        weights[box] += weight
    inner = tuple(slice(lack // 2, lack // 2 + extent) for lack, extent in zip(lacks, values.shape, strict=True))
    return np.asarray((total / weights)[:, *inner])


@settings(max_examples=60, deadline=None)
@given(SHAPES, WINDOWS)
def test_windows_a_step_apart_give_what_monai_gives(shape: tuple[int, int, int], window: Window) -> None:
    values = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    window = window.model_copy(update={"places": "step"})
    np.testing.assert_allclose(whole(values, window, by_place), as_monai(values, window, by_place), atol=1e-4, rtol=1e-5)


def test_windows_that_fit_lie_in_the_same_places_either_way() -> None:
    values = np.random.default_rng(2).normal(size=(20, 24, 16)).astype(np.float32)
    one, other = (whole(values, Window(size=(8, 8, 8), overlap=0.5, places=places), by_place) for places in ("even", "step"))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("places", "starts"), [("even", [0, 3, 6, 9]), ("step", [0, 4, 8, 9])])
def test_windows_that_do_not_fit_are_spread_or_the_last_is_moved_back(places: str, starts: list[int]) -> None:
    seen = []

    def network(batch: Floats) -> Floats:
        seen.append(int(batch[0, 0, 0, 0, 0]))
        return batch

    values = np.arange(17, dtype=np.float32).reshape(1, 1, 17)
    list(slide(values, Window(size=(1, 1, 8), overlap=0.5, places=places), network))  # type: ignore[arg-type]
    assert seen == starts


def test_without_a_window_the_network_sees_the_whole_once() -> None:
    values = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    seen: list[tuple[int, ...]] = []

    def network(batch: Floats) -> Floats:
        seen.append(batch.shape)
        return batch

    ((first, output),) = slide(values, None, network)
    assert (first, seen) == (0, [(1, 1, 4, 5, 6)])
    np.testing.assert_array_equal(output[0], values)


def test_the_middle_of_a_window_weighs_more_than_its_border() -> None:
    """Two windows share four columns and disagree; each prevails where it is in its middle."""
    values = np.concatenate([np.zeros((1, 1, 8)), np.ones((1, 1, 4))], axis=2).astype(np.float32)

    def network(batch: Floats) -> Floats:
        return np.broadcast_to(batch[..., -1:], batch.shape).astype(np.float32)

    ((_, output),) = slide(values, Window(size=(1, 1, 8), overlap=0.5, batch=1), network)
    assert np.all(np.diff(output[0, 0, 0]) >= 0)
    assert output[0, 0, 0, 4] < 0.1
    assert output[0, 0, 0, 7] > 0.9


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_batches_are_never_larger_than_declared(batch: int) -> None:
    sizes: list[int] = []

    def network(given: Floats) -> Floats:
        sizes.append(len(given))
        return given

    list(slide(np.zeros((8, 12, 12), np.float32), Window(size=(4, 4, 4), overlap=0.0, batch=batch), network))
    assert max(sizes) <= batch
    assert sum(sizes) == 18


# -- windows that are not run ---------------------------------------------------------------------------------------------


def body(shape: tuple[int, int, int]) -> Floats:
    """Air of 0, and a body in the middle of the rows."""
    values = np.zeros(shape, np.float32)
    values[:, shape[1] // 2 - 3 : shape[1] // 2 + 2] = np.random.default_rng(3).uniform(0.5, 1.0, (shape[0], 5, shape[2]))
    return values


@pytest.mark.parametrize("batch", [1, 3])
def test_a_skipped_window_counts_as_one_that_was_answered_with_outside(batch: int) -> None:
    skip = Skip(below=0.5, outside=(4.0, -3.0))
    window, seen = Window(size=(4, 6, 5), overlap=0.5, batch=batch, skip=skip), 0

    def network(given: Floats) -> Floats:
        nonlocal seen
        seen += len(given)
        return by_place(given)

    def answering(given: Floats) -> Floats:
        """The definition: every window is run, and one without a body answers so."""
        is_empty = given.max(axis=(1, 2, 3, 4), keepdims=True) < skip.below
        outside = np.array(skip.outside, np.float32)[:, None, None, None]
        return np.where(is_empty, outside, by_place(given)).astype(np.float32)

    values = body((10, 24, 12))
    found = whole(values, window, network)
    expected = whole(values, window.model_copy(update={"skip": None}), answering)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0 < seen < sum(1 for _ in itertools.product(range(4), range(7), range(5)))  # windows along slices, rows, columns
    np.testing.assert_allclose(found[:, :, 0], np.broadcast_to([[[4.0]], [[-3.0]]], (2, 10, 12)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 3, 3), (4, 6, 5), (10, 24, 12)])
def test_a_volume_without_a_body_is_outside_everywhere_and_nothing_is_run(shape: tuple[int, int, int]) -> None:
    def network(given: Floats) -> Floats:
        raise AssertionError("it was run")

    window = Window(size=(4, 6, 5), skip=Skip(below=0.5, outside=(4.0, -3.0)))
    found = whole(np.zeros(shape, np.float32), window, network)
    np.testing.assert_allclose(found, np.broadcast_to(np.array([4.0, -3.0])[:, None, None, None], (2, *shape)), rtol=1e-6)


def test_what_is_no_number_is_not_skipped() -> None:
    values = np.full((8, 8, 8), np.nan, np.float32)
    assert np.isnan(whole(values, Window(size=(4, 4, 4), skip=Skip(below=0.5, outside=(1.0, 1.0, 1.0))))).all()


def test_a_network_of_other_channels_than_outside_declares_is_refused() -> None:
    window = Window(size=(2, 2, 2), skip=Skip(below=0.5, outside=(1.0, 0.0)))
    network = with_channels(pointwise, window, "body.onnx")
    with pytest.raises(ModelUnusable) as raised:
        network(np.zeros((1, 1, 2, 2, 2), np.float32))
    assert raised.value.model == "body.onnx"
    assert with_channels(pointwise, window.model_copy(update={"skip": None}), "body.onnx") is pointwise
