"""Outlines lie where the masks are, on the images that they belong to, and a viewer that obeys the standard shows the images as before."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.presentation import MOST_SLICES, choose_slices
from dicom_node.errors import EncodingError
from dicom_node.values import ObjectKind, Role
from dicom_node.values.reasons import ReportMismatch
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.results import PROFILE, finding, geometry_of, opened, read_headers, result_of
from tests.encode.test_compare import changed
from tests.encode.test_objects import new_complaints
from tests.make import base_anatomy, make_series

OUTLINES = dataclasses.replace(PROFILE, objects=(*PROFILE.objects, ObjectKind.OUTLINES))


def state_of(case: Case) -> Dataset:
    objects = encode.encode(case.result, case.headers, OUTLINES)
    assert encode.compare(objects, case.result) is None
    return opened(objects, Role.OUTLINES)


def area_of(lines: list[Dataset]) -> float:
    """Between closed lines, by the shoelace formula; holes run the other way."""
    points = [np.array(line.GraphicData).reshape(-1, 2) for line in lines]
    return sum(float(a[0] * b[1] - b[0] * a[1]) for line in points for a, b in itertools.pairwise(line)) / 2


def test_each_slice_of_a_finding_has_its_outline_on_its_own_image(case: Case) -> None:
    state = state_of(case)
    assert (state.SOPClassUID, state.Modality) == ("1.2.840.10008.5.1.4.1.1.11.1", "PR")
    uids = [str(dataset.SOPInstanceUID) for dataset in case.datasets]
    for one in case.result.findings:
        drawn: dict[int, list[Dataset]] = {}
        for item in state.GraphicAnnotationSequence:
            (image,) = item.ReferencedImageSequence
            own = [line for line in item.GraphicObjectSequence if line.TrackingUID == one.tracking_uid]
            drawn.setdefault(uids.index(image.ReferencedSOPInstanceUID), []).extend(own)
            assert {(line.GraphicType, line.GraphicFilled, line.GraphicAnnotationUnits) for line in own} <= {("POLYLINE", "N", "PIXEL")}
        first = one.mask.origin[0]
        assert {index: area_of(lines) for index, lines in drawn.items() if lines} == {
            first + number: plane.sum() for number, plane in enumerate(one.mask.voxels) if plane.any()
        }


def test_number_and_label_stand_once_where_a_finding_is_largest(case: Case) -> None:
    state = state_of(case)
    texts = [
        (text.UnformattedTextValue, item.ReferencedImageSequence[0].ReferencedSOPInstanceUID)
        for item in state.GraphicAnnotationSequence
        for text in item.get("TextObjectSequence", ())
    ]
    assert sorted(texts) == [("1 Nodule 1", case.datasets[3].SOPInstanceUID), ("2 Nodule 2", case.datasets[3].SOPInstanceUID)]


def test_the_images_keep_their_window_and_rescale(case: Case) -> None:
    """PS3.4 N.2: what a presentation state does not have is not applied."""
    state = state_of(case)
    (voi,) = state.SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (40, 400)
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (1, -1024, "HU")
    assert state.PresentationLUTShape == "IDENTITY"
    (area,) = state.DisplayedAreaSelectionSequence
    assert (area.DisplayedAreaBottomRightHandCorner, area.PresentationPixelSpacing) == ([24, 20], [1.5, 1.25])


def test_images_with_windows_of_their_own_keep_them(make_case: Callable[..., Case]) -> None:
    def change(dataset: Dataset, number: int) -> None:
        dataset.WindowCenter = "40" if number % 2 else "-600"

    state = state_of(make_case(change=change))
    windows = {
        str(voi.WindowCenter): [image.ReferencedSOPInstanceUID for image in voi.ReferencedImageSequence]
        for voi in state.SoftcopyVOILUTSequence
    }
    images = [image.ReferencedSOPInstanceUID for image in state.ReferencedSeriesSequence[0].ReferencedImageSequence]
    assert set(windows) == {"40", "-600"}
    assert sorted(uid for uids in windows.values() for uid in uids) == sorted(images)


def test_of_an_enhanced_image_the_frames_are_named(tmp_path: Path, validator: Callable[[str], str]) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=True)
    headers = read_headers(datasets, tmp_path)
    result = two_findings(headers, datasets)
    objects = encode.encode(result, headers, OUTLINES)
    assert encode.compare(objects, result) is None
    state = opened(objects, Role.OUTLINES)
    frames = [int(item.ReferencedImageSequence[0].ReferencedFrameNumber) for item in state.GraphicAnnotationSequence]
    assert frames == [3, 4, 5]  # of one layer; finding 1 lies on all three
    assert list(state.ReferencedSeriesSequence[0].ReferencedImageSequence[0].ReferencedFrameNumber) == [3, 4, 5]
    assert state.SoftcopyVOILUTSequence[0].WindowCenter == 40
    assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_dciodvfy_finds_nothing(tmp_path: Path, validator: Callable[[str], str], modality: str) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, modality=modality)
    headers = read_headers(datasets, tmp_path)
    objects = encode.encode(two_findings(headers, datasets), headers, OUTLINES)
    assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


def test_a_finding_on_many_slices_is_drawn_where_it_is_largest(tmp_path: Path) -> None:
    shape = (70, 20, 80)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=SPACING_MM)
    headers = read_headers(datasets, tmp_path)
    voxels = np.zeros((70, 6, 70), dtype=bool)
    for number in range(70):
        voxels[number, :, : 1 + min(number, 69 - number)] = True
    even = np.ones((70, 2, 3), dtype=bool)
    result = result_of(headers, geometry_of(datasets, shape, SPACING_MM), finding(1, (0, 3, 2), voxels), finding(2, (0, 15, 2), even))
    assert choose_slices(result.findings[0], range(70)) == tuple(range(5, 65))
    assert 35 in choose_slices(result.findings[1], range(70))
    objects = encode.encode(result, headers, OUTLINES)
    assert encode.compare(objects, result) is None
    lines = [line for item in opened(objects, Role.OUTLINES).GraphicAnnotationSequence for line in item.GraphicObjectSequence]
    assert len(lines) == 2 * MOST_SLICES


def test_an_outline_of_very_many_points_is_written_as_lines_that_join(tmp_path: Path) -> None:
    """An FL has room for 16383 numbers (PS3.5 7.1.2)."""
    shape = (2, 160, 160)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=SPACING_MM)
    headers = read_headers(datasets, tmp_path)
    tree = np.zeros((1, 160, 160), dtype=bool)
    tree[0, :, 0] = tree[0, 1::4, :] = tree[0, ::4, ::2] = tree[0, 2::4, ::2] = True  # a trunk, its branches, and what grows on these
    result = result_of(headers, geometry_of(datasets, shape, SPACING_MM), finding(1, (0, 0, 0), tree))
    objects = encode.encode(result, headers, OUTLINES)
    assert encode.compare(objects, result) is None
    (item,) = opened(objects, Role.OUTLINES).GraphicAnnotationSequence
    lines = list(item.GraphicObjectSequence)
    assert len(lines) > 1
    assert all(list(one.GraphicData[-2:]) == list(other.GraphicData[:2]) for one, other in itertools.pairwise(lines))
    assert area_of(lines) == tree.sum()


def shift_a_point(state: Dataset) -> None:
    line = state.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    line.GraphicData = [value + 1 for value in line.GraphicData]


def other_image(state: Dataset) -> None:
    first, second = state.GraphicAnnotationSequence[0], state.GraphicAnnotationSequence[1]
    first.ReferencedImageSequence = second.ReferencedImageSequence


def other_finding(state: Dataset) -> None:
    state.GraphicAnnotationSequence[0].GraphicObjectSequence[0].TrackingUID = "2.25.1"


def drop_an_item(state: Dataset) -> None:
    state.GraphicAnnotationSequence = list(state.GraphicAnnotationSequence)[1:]


def drop_the_texts(state: Dataset) -> None:
    for item in state.GraphicAnnotationSequence:
        item.pop("TextObjectSequence", None)


def swap_numbers(state: Dataset) -> None:
    for item in state.GraphicAnnotationSequence:
        for text in item.get("TextObjectSequence", ()):
            text.UnformattedTextValue = {"1": "2", "2": "1"}[text.UnformattedTextValue[0]] + text.UnformattedTextValue[1:]


def half_a_pixel(state: Dataset) -> None:
    line = state.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    line.GraphicData = [value + 0.5 for value in line.GraphicData]


@pytest.mark.parametrize("change", [shift_a_point, other_image, other_finding, drop_an_item, drop_the_texts, swap_numbers])
def test_a_fault_is_seen(case: Case, change: Callable[[Dataset], None]) -> None:
    objects = changed(encode.encode(case.result, case.headers, OUTLINES), Role.OUTLINES, change)
    assert isinstance(encode.compare(objects, case.result), ReportMismatch)


def test_a_line_off_the_corners_of_pixels_cannot_be_read(case: Case) -> None:
    objects = changed(encode.encode(case.result, case.headers, OUTLINES), Role.OUTLINES, half_a_pixel)
    with pytest.raises(EncodingError):
        encode.compare(objects, case.result)
