"""Measurements by hand: millimetres of both spacings, in the plane of the source."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_node.infer.inputs import grid_of
from dicom_node.infer.measure import find_axes_mm, measure
from dicom_node.infer.regions import find_mask
from dicom_node.package import Measure

from .examples import inside_ball, make_volume

STAGE = Measure(kind="measure", name="sizes", of="outlines", measurements=("volume", "long-axis", "short-axis", "mean"))


def axes_mm(plane: np.ndarray, row_mm: float, column_mm: float) -> tuple[float, float]:
    grid = grid_of(make_volume(lambda lps: lps[..., 0], (1, *plane.shape), (3.0, row_mm, column_mm)).geometry)
    return find_axes_mm(plane[None].astype(bool), grid)


def test_a_row_of_pixels_is_as_long_as_it_is() -> None:
    assert axes_mm(np.ones((1, 5)), 0.9, 0.6) == pytest.approx((5 * 0.6, 0.9))
    assert axes_mm(np.ones((5, 1)), 0.9, 0.6) == pytest.approx((5 * 0.9, 0.6))
    assert axes_mm(np.ones((1, 1)), 0.9, 0.6) == pytest.approx((0.9, 0.6))


@settings(max_examples=40, deadline=None)
@given(st.floats(6, 14), st.floats(0.4, 1), st.floats(0, np.pi), st.floats(0.5, 1.0), st.floats(0.5, 1.0))
def test_an_ellipse_has_its_two_axes_however_it_is_turned(
    half_mm: float, ratio: float, angle: float, row_mm: float, column_mm: float
) -> None:
    y, x = np.meshgrid(np.arange(-20, 20, row_mm), np.arange(-20, 20, column_mm), indexing="ij")
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    long_mm, short_mm = axes_mm((u / half_mm) ** 2 + (v / (half_mm * ratio)) ** 2 <= 1, row_mm, column_mm)
    assert long_mm == pytest.approx(2 * half_mm, abs=max(row_mm, column_mm))
    assert short_mm == pytest.approx(2 * half_mm * ratio, abs=1.6 * max(row_mm, column_mm))
    assert short_mm <= long_mm + 1e-9


def test_the_slice_with_the_longest_axis_counts() -> None:
    voxels = np.zeros((3, 20, 20), dtype=bool)
    voxels[0, 5:15, 5:15] = True  # a larger area
    voxels[1, 2, :] = True  # a longer extent
    grid = grid_of(make_volume(lambda lps: lps[..., 0], (3, 20, 20), (5.0, 1.0, 1.0)).geometry)
    assert find_axes_mm(voxels, grid) == pytest.approx((20.0, 1.0))


def test_all_measurements_of_a_box() -> None:
    """4 x 6 x 10 voxels of 2.5 x 0.5 x 0.8 mm with values 0 and 100 by turns."""
    volume = make_volume(lambda lps: 100.0 * (np.indices(lps.shape[:-1])[2] % 2), (8, 12, 16), (2.5, 0.5, 0.8))
    voxels = np.zeros((8, 12, 16), dtype=bool)
    voxels[2:6, 3:9, 4:14] = True
    mask = find_mask(voxels)
    assert mask is not None
    assert mask.origin == (2, 3, 4)
    found = {one.concept.meaning: one for one in measure(volume, mask, STAGE)}
    assert found["Volume"].value == 240.0
    assert found["Long Axis"].value == 8.4  # from the middle of a corner pixel's edge to that of the other corner's: 8.0 by 5 x 0.5
    assert found["Attenuation Coefficient"].value == 50.0
    assert [(one.concept.value, one.concept.scheme, one.unit.value, one.digits) for one in found.values()] == [
        ("118565006", "SCT", "mm3", 1),
        ("103339001", "SCT", "mm", 1),
        ("103340004", "SCT", "mm", 1),
        ("112031", "DCM", "[hnsf'U]", 1),
    ]
    derivation = found["Attenuation Coefficient"].derivation
    assert derivation is not None
    assert (derivation.value, derivation.scheme, derivation.meaning) == ("373098007", "SCT", "Mean")


def test_only_what_is_declared_is_measured_in_its_order() -> None:
    volume = make_volume(lambda lps: 0 * lps[..., 0], (4, 4, 4), (1.0, 1.0, 1.0))
    mask = find_mask(np.ones((4, 4, 4), dtype=bool))
    assert mask is not None
    asked = STAGE.model_copy(update={"measurements": ("mean", "volume")})
    assert [one.concept.meaning for one in measure(volume, mask, asked)] == ["Attenuation Coefficient", "Volume"]


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal", "oblique"])
def test_a_ball_has_its_diameter_in_the_sources_plane(orientation: str) -> None:
    volume = make_volume(lambda lps: 100 * inside_ball(lps, (1.0, 2.0, 3.0), 9.0), (14, 30, 30), (2.5, 0.9, 0.9), orientation)
    mask = find_mask(volume.voxels > 50)
    assert mask is not None
    size, long_axis, short_axis, _ = measure(volume, mask, STAGE)
    assert size.value == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.05)
    assert long_axis.value == pytest.approx(18, abs=0.9)
    assert short_axis.value == pytest.approx(18, abs=1.2)
