"""Pictures show the slices on which findings are largest, in a window in which they can be seen."""

import numpy as np
import numpy.typing as npt
import pytest

from dicom_node.infer.pictures import LONGEST_SIDE, PICTURES_MOST, make_pictures
from dicom_node.values import CodedConcept, Finding, Form, FrameRef, Geometry, Volume
from tests.encode.results import finding

LUNG = CodedConcept("39607008", "SCT", "Lung")
LIVER = CodedConcept("10200004", "SCT", "Liver")


def volume_of(voxels: npt.NDArray[np.int16] | npt.NDArray[np.float32], is_padding: npt.NDArray[np.bool_] | None = None) -> Volume:
    slices, rows, columns = voxels.shape
    affine = ((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    frames = tuple(FrameRef(f"1.2.{number}", 1) for number in range(slices))
    return Volume(Geometry(Form.CLASSIC, frames, (slices, rows, columns), (1.0, 1.0, 1.0), 1.0, affine, "1.2"), voxels, is_padding)


def ramp(shape: tuple[int, int, int] = (30, 16, 20)) -> npt.NDArray[np.int16]:
    """Another value in each voxel."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 2000


def found_on(number: int, index: int, site: CodedConcept | None = LUNG) -> Finding:
    """A finding whose largest slice is `index`, with less of it on both sides."""
    voxels = np.ones((3, 3, 3), dtype=bool)
    voxels[0, 0] = voxels[2, 0] = False
    return finding(number, (index - 1, 4, 5), voxels, site=site)


def test_each_slice_is_shown_once_in_the_order_of_the_findings() -> None:
    findings = [found_on(number, index) for number, index in enumerate((7, 3, 7, 12), 1)]
    pictures = make_pictures(volume_of(ramp()), findings, "CT")
    assert [picture.slice_index for picture in pictures] == [7, 3, 12]
    assert [picture.slice_index for picture in make_pictures(volume_of(ramp()), findings, "CT", at_most=2)] == [7, 3]
    assert make_pictures(volume_of(ramp()), [], "CT") == ()


def test_there_are_no_more_pictures_than_a_person_looks_at() -> None:
    findings = [found_on(number, number) for number in range(1, 28)]
    assert len(make_pictures(volume_of(ramp()), findings, "CT")) == PICTURES_MOST == 20


@pytest.mark.parametrize(("site", "centre", "width"), [(LUNG, -600.0, 1500.0), (LIVER, 40.0, 400.0), (None, 40.0, 400.0)])
def test_the_window_on_ct_is_that_of_the_place(site: CodedConcept | None, centre: float, width: float) -> None:
    voxels = np.full((30, 16, 20), -3000, dtype=np.int16)
    lowest, highest = centre - width / 2, centre + width / 2
    voxels[7, 0, :5] = lowest - 1, lowest, centre, highest, highest + 1
    (picture,) = make_pictures(volume_of(voxels), [found_on(1, 7, site)], "CT")
    assert (picture.window_centre, picture.window_width, picture.reduced_by) == (centre, width, 1)
    assert picture.pixels[0, :5].tolist() in ([0, 0, 127, 255, 255], [0, 0, 128, 255, 255])
    assert (picture.pixels.shape, picture.pixels.dtype, picture.pixels.flags.writeable) == ((16, 20), np.uint8, False)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_window_of_other_modalities_is_that_of_the_slice_without_its_extremes(dtype: type) -> None:
    voxels = np.zeros((30, 10, 100), dtype=dtype)
    voxels[7] = np.arange(1000, dtype=dtype).reshape(10, 100)
    voxels[7, 0, 0], voxels[7, 9, 99] = -20000, 20000
    (picture,) = make_pictures(volume_of(voxels), [found_on(1, 7)], "MR")
    assert picture.window_centre == pytest.approx(499.5, abs=1)
    assert picture.window_width == pytest.approx(979, abs=2)
    assert (picture.pixels[0, 0], picture.pixels[9, 99]) == (0, 255)
    assert np.all(np.diff(picture.pixels.reshape(-1).astype(int)) >= 0)


def test_padding_is_black_and_has_no_part_in_the_window() -> None:
    voxels = ramp()
    is_padding = np.zeros(voxels.shape, dtype=bool)
    is_padding[:, :, :10] = True
    voxels[is_padding] = 30000
    (picture,) = make_pictures(volume_of(voxels, is_padding), [found_on(1, 7)], "MR")
    assert not picture.pixels[:, :10].any()
    assert picture.pixels[:, 10:].max() == 255
    assert picture.window_centre < 1000
    (picture,) = make_pictures(volume_of(voxels, is_padding), [found_on(1, 7)], "CT")
    assert not picture.pixels[:, :10].any()


def test_a_slice_of_one_value_and_one_of_padding_alone_have_a_window() -> None:
    voxels = np.full((3, 4, 4), 7, dtype=np.int16)
    for is_padding in (None, np.ones(voxels.shape, dtype=bool)):
        (picture,) = make_pictures(volume_of(voxels, is_padding), [finding(1, (1, 0, 0), np.ones((1, 2, 2), dtype=bool))], "MR")
        assert picture.window_width >= 1


def test_a_radiograph_is_reduced_to_what_a_page_shows() -> None:
    voxels = np.zeros((1, 2 * LONGEST_SIDE + 1, 900), dtype=np.int16)
    voxels[0, 30:33, 60:63] = 1000
    (picture,) = make_pictures(volume_of(voxels), [finding(1, (0, 30, 60), np.ones((1, 3, 3), dtype=bool), site=LIVER)], "CT")
    assert (picture.reduced_by, picture.pixels.shape) == (3, (683, 300))
    assert np.unique(picture.pixels).tolist() == [102, 255]  # 0 HU and 1000 HU
    assert np.argwhere(picture.pixels == 255).tolist() == [[10, 20]]
    assert not picture.pixels.flags.writeable
