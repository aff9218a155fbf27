"""Grids and resampling: places in the patient stay where they are."""

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dicom_node.infer.inputs import (
    Grid,
    clip_voxels,
    fit,
    grid_of,
    labels_on_source,
    prepare,
    resample,
    resample_volume,
    scale,
    target_grid,
)
from dicom_node.package import Input, Intensity
from dicom_node.values import Form, FrameRef, Geometry, Volume

from .examples import ORIENTATIONS, inside_ball, make_volume

MM = st.floats(1.0, 5.0)
CODES = st.permutations(["LR", "AP", "SI"]).flatmap(lambda pairs: st.tuples(*[st.sampled_from(pair) for pair in pairs])).map("".join)


@settings(deadline=None)
@given(st.sampled_from(sorted(ORIENTATIONS)), st.tuples(MM, MM, MM), st.lists(st.floats(-300, 300), min_size=3, max_size=3))
def test_from_index_to_lps_and_back_is_the_identity(orientation: str, spacing_mm: tuple[float, float, float], index: list[float]) -> None:
    grid = grid_of(make_volume(lambda lps: lps[..., 0], (2, 3, 4), spacing_mm, orientation, (11.0, -7.0, 3.0)).geometry)
    np.testing.assert_allclose(grid.index_at(grid.lps_at(index)), index, atol=1e-6)
    np.testing.assert_allclose(grid.spacing_mm, spacing_mm, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(ORIENTATIONS)), st.tuples(MM, MM, MM), CODES, st.tuples(MM, MM, MM))
@example("coronal", (5.0, 0.7, 0.7), "SPL", (2.0, 2.0, 2.0))
@example("axial", (1.0, 1.0, 1.0), "SPL", (1.0, 1.0, 1.0))
def test_a_linear_function_of_the_place_is_itself_on_any_grid(
    orientation: str, own_mm: tuple[float, float, float], codes: str, wanted_mm: tuple[float, float, float]
) -> None:
    """Linear interpolation, thinned or not, gives a linear function back exactly, away from the edge of the field."""
    # float32 keeps the function as it is; whole numbers would round it
    volume = make_volume(lambda lps: 1e5 + lps @ [3.0, -5.0, 7.0], (14, 15, 16), own_mm, orientation, (40.0, -30.0, 20.0))
    grid = target_grid(grid_of(volume.geometry), Input(orientation=codes, spacing_mm=wanted_mm))
    values = resample_volume(volume, grid)
    index = np.argwhere(np.ones(grid.shape))
    source_index = grid_of(volume.geometry).index_at(grid.lps_at(index))
    margin = 1 + 1.5 * max(wanted_mm) / np.array(own_mm)  # how far a mean may reach
    inner = np.all((source_index >= margin) & (source_index <= np.array([13, 14, 15]) - margin), axis=1)
    expected = 1e5 + grid.lps_at(index) @ [3.0, -5.0, 7.0]
    np.testing.assert_allclose(values.reshape(-1)[inner], expected[inner], atol=0.15)


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
def test_axes_grow_as_their_codes_say(orientation: str) -> None:
    source = grid_of(make_volume(lambda lps: lps[..., 0], (4, 5, 6), (3.0, 1.0, 2.0), orientation).geometry)
    grid = target_grid(source, Input(orientation="SPL"))
    along = grid.matrix[:3, :3] / np.array(grid.spacing_mm)
    assert along[2, 0] > 0.9
    assert along[1, 1] > 0.9
    assert along[0, 2] > 0.9
    assert sorted(grid.shape) == [4, 5, 6]


def test_a_mere_permutation_changes_no_value() -> None:
    rng = np.random.default_rng(1)
    volume = make_volume(lambda lps: rng.integers(-1000, 1000, lps.shape[:-1]), (5, 6, 7), (2.5, 0.7, 0.7), "coronal")
    grid = target_grid(grid_of(volume.geometry), Input(orientation="SPL"))
    np.testing.assert_array_equal(resample_volume(volume, grid), volume.voxels.transpose(1, 0, 2)[::-1])


def test_what_is_finer_than_the_new_grid_is_averaged() -> None:
    """Noise of single voxels: the mean of some 64 of them is left, where plain interpolation leaves that of 8."""
    rng = np.random.default_rng(5)
    volume = make_volume(lambda lps: rng.normal(0, 400, lps.shape[:-1]), (48, 48, 48), (1.0, 1.0, 1.0))
    grid = target_grid(grid_of(volume.geometry), Input(spacing_mm=(4.0, 4.0, 4.0)))
    assert resample_volume(volume, grid).std() < 400 / 8


@pytest.mark.parametrize("orientation", sorted(ORIENTATIONS))
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8)])
def test_a_mask_found_on_the_wanted_grid_lies_on_the_anatomy_of_the_source(
    orientation: str, spacing_mm: tuple[float, float, float]
) -> None:
    shape = (20, 64, 60) if spacing_mm[0] == 3.0 else (48, 50, 52)
    volume = make_volume(lambda lps: 100.0 * inside_ball(lps, (6.0, -4.0, 3.0), 12.0, 0.5), shape, spacing_mm, orientation)
    source = grid_of(volume.geometry)
    grid = target_grid(source, Input(orientation="SPL", spacing_mm=(2.0, 2.0, 2.0)))
    found = labels_on_source((resample_volume(volume, grid) > 50).astype(np.uint8), grid, source) == 1
    truth = volume.voxels > 50
    assert 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.93


def test_labels_are_kept_apart_and_background_stays_background() -> None:
    labels = np.zeros((6, 8, 10), dtype=np.uint8)
    labels[1:5, 1:4, 1:9], labels[1:5, 4:7, 1:9] = 3, 200
    source = grid_of(make_volume(lambda lps: lps[..., 0], (18, 24, 30), (1.0, 1.0, 1.0)).geometry)
    grid = target_grid(source, Input(spacing_mm=(3.0, 3.0, 3.0)))
    found = labels_on_source(labels, grid, source)
    np.testing.assert_array_equal(found[1::3, 1::3, 1::3], labels)  # the coarse voxels' own centres
    assert set(np.unique(found)) == {0, 3, 200}


def test_the_labels_of_long_and_of_short_volumes_are_the_same() -> None:
    """Slices are brought back in blocks; no border of a block may show."""
    rng = np.random.default_rng(2)
    labels = (rng.random((10, 9, 8)) > 0.5).astype(np.uint8)
    source = grid_of(make_volume(lambda lps: lps[..., 0], (40, 9, 8), (1.0, 2.0, 2.0)).geometry)
    grid = target_grid(source, Input(spacing_mm=(4.0, 2.0, 2.0)))
    whole = labels_on_source(labels, grid, source)
    part = (slice(11, 30), slice(0, 9), slice(0, 8))
    np.testing.assert_array_equal(labels_on_source(labels, grid, source.cropped(part)), whole[part])


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
)
def test_padding_and_cropping_move_nothing_in_the_patient(shape: tuple[int, int, int], size: tuple[int, int, int]) -> None:
    volume = make_volume(lambda lps: lps[..., 0] + 10 * lps[..., 1] + 100 * lps[..., 2], shape, (2.0, 2.0, 2.0))
    grid = grid_of(volume.geometry)
    values, fitted = fit(volume.voxels.astype(np.float32), grid, size)
    assert values.shape == fitted.shape == size
    index = np.argwhere(np.ones(size))
    own = np.rint(grid.index_at(fitted.lps_at(index))).astype(int)
    is_there = np.all((own >= 0) & (own < shape), axis=1)
    np.testing.assert_array_equal(values.reshape(-1)[is_there], volume.voxels[tuple(own[is_there].T)])
    assert np.all(values.reshape(-1)[~is_there] == volume.voxels.min())


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        (Intensity(clip=(-1000, 400), scale="to-unit"), [0.0, 0.0, 0.5, 1.0]),
        (Intensity(clip=(-1000, 400), scale="none"), [-1000.0, -1000.0, -300.0, 400.0]),
        (Intensity(scale="affine", subtract=-300, divide=100), [-17.0, -7.0, 0.0, 33.0]),
        (Intensity(clip=(-1000.5, 400), scale="none"), [-1000.5, -1000.0, -300.0, 400.0]),
    ],
)
def test_intensities_are_clipped_then_scaled(intensity: Intensity, expected: list[float]) -> None:
    volume = make_volume(lambda _: np.array([-2000.0, -1000.0, -300.0, 3000.0]).reshape(1, 1, 4), (1, 1, 4), (1.0, 1.0, 1.0))
    values, _ = prepare(volume, Input(), intensity)
    np.testing.assert_allclose(values.ravel(), expected, rtol=1e-6)


def test_z_score_has_mean_0_and_deviation_1() -> None:
    values = scale(np.random.default_rng(3).normal(200, 30, (4, 5, 6)).astype(np.float32), Intensity(scale="z-score"))
    assert abs(values.mean()) < 1e-4
    assert abs(values.std() - 1) < 1e-4


def test_clipping_keeps_whole_numbers_small() -> None:
    volume = make_volume(lambda lps: lps[..., 0] * 100, (2, 2, 40), (1.0, 1.0, 1.0))
    assert clip_voxels(volume.voxels, (-1000.0, 400.0)).dtype == np.int16
    assert clip_voxels(volume.voxels, (-1000.0, 400.0)).min() == -1000


def test_a_projection_keeps_its_rows_and_columns() -> None:
    voxels = np.arange(30, dtype=np.int16).reshape(1, 5, 6)
    geometry = Geometry(Form.PROJECTION, (FrameRef("1.2", 1),), (1, 5, 6), (0.0, 0.2, 0.1), None, None, None)
    values, grid = prepare(Volume(geometry, voxels), Input(orientation="SPL"), Intensity())
    np.testing.assert_array_equal(values, voxels)
    assert grid.spacing_mm[1:] == pytest.approx((0.2, 0.1))


def test_grids_that_are_turned_against_each_other_are_refused() -> None:
    axes: npt.NDArray[np.float64] = np.eye(4)
    turned = axes.copy()
    turned[:2, :2] = [[1, 1], [1, 1]]
    grids = [Grid((3, 3, 3), tuple(tuple(map(float, row)) for row in matrix)) for matrix in (axes, turned)]  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        resample(np.zeros((3, 3, 3)), *grids)


@pytest.mark.parametrize("codes", ["SPL", "LPS", "IAR"])
def test_resampling_holds_the_new_values_and_a_few_planes(codes: str) -> None:
    """Clipped whole, and once more before the last axis, it took several times the volume."""
    volume = make_volume(lambda lps: lps[..., 0], (60, 90, 100), (2.0, 2.0, 2.0), "axial")
    clip = (-50.0, 50.0)
    grid = target_grid(grid_of(volume.geometry), Input(orientation=codes))
    tracemalloc.start()
    values = resample_volume(volume, grid, clip)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1.25 * values.nbytes
    assert (values.min(), values.max()) == clip
