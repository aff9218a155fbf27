"""A network in windows sees what it would see at once."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.infer.windows import slide
from dicom_node.package import Window

Floats = npt.NDArray[np.float32]


def pointwise(batch: Floats) -> Floats:
    """Three channels that hang on each voxel alone."""
    return np.concatenate([batch, 2 * batch - 1, np.sin(batch)], axis=1).astype(np.float32)


def whole(values: Floats, window: Window | None) -> Floats:
    parts = list(slide(values, window, pointwise))
    assert [first for first, _ in parts] == list(np.cumsum([0, *[part.shape[1] for _, part in parts]])[:-1])
    return np.concatenate([part for _, part in parts], axis=1)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 14)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.floats(0, 0.9), st.sampled_from(["gaussian", "constant"]),
    st.integers(1, 5),
)  # fmt: skip
def test_a_pointwise_network_gives_the_same_as_over_the_whole(
    shape: tuple[int, int, int], size: tuple[int, int, int], overlap: float, weights: str, batch: int
) -> None:
    values = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    window = Window(size=size, overlap=overlap, weights=weights, batch=batch)  # type: ignore[arg-type]
    expected = pointwise(values[None, None])[0]
    np.testing.assert_allclose(whole(values, window), expected, atol=2e-5)


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
