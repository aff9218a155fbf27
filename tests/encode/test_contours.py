"""Contours lie where the masks are, in the patient, by readings that do not know how they were drawn; and what reads them can."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.contours import MOST_POINTS
from dicom_node.encode.keyholes import outline_whole
from dicom_node.encode.outlines import enclosed_area
from dicom_node.errors import EncodingError
from dicom_node.values import ObjectKind, Role
from dicom_node.values.reasons import ReportMismatch
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.results import PROFILE, finding, geometry_of, opened, read_headers, result_of
from tests.encode.test_compare import changed
from tests.encode.test_objects import new_complaints
from tests.encode.test_seg import ORIENTATIONS
from tests.make import base_anatomy, make_series

CONTOURS = dataclasses.replace(PROFILE, objects=(*PROFILE.objects, ObjectKind.CONTOURS))

Bools = npt.NDArray[np.bool_]


def structures_of(case: Case, language: str = "en") -> Dataset:
    objects = encode.encode(case.result, case.headers, dataclasses.replace(CONTOURS, language=language))
    assert encode.compare(objects, case.result) is None
    return opened(objects, Role.CONTOURS)


def is_inside(place: tuple[float, float], line: npt.ArrayLike) -> bool:
    """Whether a line winds around a place: the sum of the angles under which its edges are seen. No rule of crossings, and slow."""
    away = np.asarray(line) - place
    angles = np.arctan2(away[:, 1], away[:, 0])
    turns = np.diff([*angles, angles[0]])
    return bool(abs(((turns + np.pi) % (2 * np.pi) - np.pi).sum()) > 1)


def fill(lines: list[npt.ArrayLike], shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """How many lines wind around the centre of each pixel, (rows, columns)."""
    return np.array([[sum(is_inside((x + 0.5, y + 0.5), line) for line in lines) for x in range(shape[1])] for y in range(shape[0])])


def planes(rows: int, columns: int) -> st.SearchStrategy[Bools]:
    return st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns).map(lambda bits: np.array(bits).reshape(rows, columns))


@settings(max_examples=150, deadline=None)
@given(voxels=st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda size: planes(*size)), most=st.sampled_from([4, 12, 1000]))
def test_each_line_alone_encloses_its_part_of_the_region(voxels: Bools, most: int) -> None:
    """Whether a reader joins lines, or takes those inside of others for holes: no pixel lies in two, and the sum of them is the region."""
    lines = outline_whole(voxels, (0, 0), most)
    assert np.array_equal(fill(list(lines), voxels.shape), voxels.astype(int))
    assert sum(enclosed_area([*line, line[0]]) for line in lines) == voxels.sum()


def test_a_ring_is_one_line_with_a_keyhole() -> None:
    ring = np.ones((5, 5), dtype=bool)
    ring[1:4, 1:4] = False
    (line,) = outline_whole(ring, (10, 20), 1000)
    assert len(line) == 4 + 4 + 4
    assert len({place for place in line if line.count(place) == 2}) == 2
    assert enclosed_area([*line, line[0]]) == 16
    assert len(outline_whole(ring, (10, 20), 11)) > 1


def test_holes_below_each_other_and_within_islands_are_opened() -> None:
    voxels = np.ones((15, 11), dtype=bool)
    voxels[2, 3:8] = voxels[4, 3:8] = voxels[6:13, 2:9] = False
    voxels[8:11, 4:7] = True  # an island in the lowest hole
    voxels[9, 5] = False  # with a hole of its own
    lines = outline_whole(voxels, (0, 0), 1000)
    assert len(lines) == 2
    assert np.array_equal(fill(list(lines), voxels.shape), voxels.astype(int))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    spacing_mm=st.tuples(st.floats(0.5, 6), st.floats(0.3, 2), st.floats(0.3, 2)),
    centre_lps=st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(-900, 900)),
    enhanced=st.booleans(),
    voxels=st.lists(planes(5, 6), min_size=3, max_size=3).map(np.stack).filter(np.any),
)
def test_every_voxel_lies_where_it_lay(
    tmp_path_factory: pytest.TempPathFactory,
    orientation: str,
    spacing_mm: tuple[float, float, float],
    centre_lps: tuple[float, float, float],
    enhanced: bool,
    voxels: Bools,
) -> None:
    """The centres of the mask's voxels are inside of contours of their own slice, those of its box that are not True are not: in LPS."""
    shape, axes = (4, 8, 9), ORIENTATIONS[orientation]
    datasets = make_series(base_anatomy, enhanced=enhanced, shape=shape, spacing_mm=spacing_mm, orientation=axes, centre_lps=centre_lps)
    headers = read_headers(datasets, tmp_path_factory.mktemp("spool"))
    result = result_of(headers, geometry_of(datasets, shape, spacing_mm, axes, centre_lps), finding(1, (1, 2, 3), voxels))
    structures = structures_of(Case(datasets, headers, result))
    lps_from_index = np.array(result.geometry.lps_from_index)
    across, down = np.array(axes[:3]), np.array(axes[3:])
    slices: dict[int, list[npt.NDArray[np.float64]]] = {}
    for contour in structures.ROIContourSequence[0].ContourSequence:
        (image,) = contour.ContourImageSequence
        place = str(image.ReferencedSOPInstanceUID), int(image.get("ReferencedFrameNumber", 1))
        index = [(frame.sop_instance_uid, frame.frame_number) for frame in result.geometry.frames].index(place)
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        on_plane = (points - lps_from_index[:3, :3] @ [index, 0, 0] - lps_from_index[:3, 3]) @ np.cross(across, down)
        assert np.abs(on_plane).max() < 0.01
        slices.setdefault(index, []).append(points @ np.array([across, down]).T)
    for z, y, x in np.ndindex(*voxels.shape):
        centre = lps_from_index[:3, :3] @ [z + 1, y + 2, x + 3] + lps_from_index[:3, 3]
        inside = sum(is_inside((centre @ across, centre @ down), line) for line in slices.get(z + 1, []))
        assert inside == voxels[z, y, x]


def test_the_structure_set_says_whose_it_is_and_that_nobody_has_approved_it(case: Case) -> None:
    structures = structures_of(case)
    assert (structures.SOPClassUID, structures.Modality) == ("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT")
    assert structures.ApprovalStatus == "UNAPPROVED"
    assert structures.SeriesDescription == "AI lung nodules RESEARCH - contours"
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == case.datasets[0].FrameOfReferenceUID == structures.FrameOfReferenceUID
    assert (study.ReferencedSOPInstanceUID, series.SeriesInstanceUID) == (case.result.study_instance_uid, case.result.series_instance_uid)
    assert [image.ReferencedSOPInstanceUID for image in series.ContourImageSequence] == [one.SOPInstanceUID for one in case.datasets]
    for region, observation, colours in zip(
        structures.StructureSetROISequence, structures.RTROIObservationsSequence, structures.ROIContourSequence, strict=True
    ):
        assert region.ROIGenerationAlgorithm == "AUTOMATIC"
        assert (observation.RTROIInterpretedType, observation.ROIInterpreter) == ("", "")
        assert region.ROINumber == observation.ReferencedROINumber == colours.ReferencedROINumber
        assert list(colours.ROIDisplayColor) == [255, 64, 64]


def test_names_are_in_the_destinations_language_and_codes_are_the_same(case: Case) -> None:
    english, french = structures_of(case), structures_of(case, "fr")
    assert [one.ROIName for one in english.StructureSetROISequence] == ["1 Nodule, Lung, left", "2 Nodule, Lung, left"]
    assert [one.ROIName for one in french.StructureSetROISequence] == ["1 Nodule, Poumon, à gauche", "2 Nodule, Poumon, à gauche"]
    for one, other in zip(english.RTROIObservationsSequence, french.RTROIObservationsSequence, strict=True):
        (first,), (second,) = one.RTROIIdentificationCodeSequence, other.RTROIIdentificationCodeSequence
        assert (first.CodeValue, first.CodingSchemeDesignator) == (second.CodeValue, second.CodingSchemeDesignator) == ("27925004", "SCT")
    assert [one.ContourSequence for one in english.ROIContourSequence] == [one.ContourSequence for one in french.ROIContourSequence]


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_dciodvfy_finds_nothing(tmp_path: Path, validator: Callable[[str], str], modality: str, enhanced: bool) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, modality=modality, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    objects = encode.encode(two_findings(headers, datasets), headers, CONTOURS)
    assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


def test_a_contour_of_very_many_points_is_cut_into_some_that_join(tmp_path: Path) -> None:
    """A DS has room for 65534 bytes (PS3.5 7.1.2)."""
    shape = (2, 160, 160)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=SPACING_MM)
    headers = read_headers(datasets, tmp_path)
    tree = np.zeros((1, 160, 160), dtype=bool)
    tree[0, :, 0] = tree[0, 1::4, :] = tree[0, ::4, ::2] = tree[0, 2::4, ::2] = True  # a trunk, its branches, and what grows on these
    result = result_of(headers, geometry_of(datasets, shape, SPACING_MM), finding(1, (0, 0, 0), tree))
    contours = structures_of(Case(datasets, headers, result)).ROIContourSequence[0].ContourSequence
    assert len(contours) > 1
    assert max(one.NumberOfContourPoints for one in contours) <= MOST_POINTS
    assert [one.ContourNumber for one in contours] == list(range(1, len(contours) + 1))


def test_without_a_frame_of_reference_outlines_take_the_place_of_contours(case: Case) -> None:
    geometry = dataclasses.replace(case.result.geometry, frame_of_reference_uid=None)
    result = dataclasses.replace(case.result, geometry=geometry)
    profile = dataclasses.replace(PROFILE, objects=(ObjectKind.REPORT_TEXT, ObjectKind.CONTOURS))
    objects = encode.encode(result, case.headers, profile)
    assert [one.kind for one in objects] == [ObjectKind.REPORT_TEXT, ObjectKind.OUTLINES]


def test_of_a_result_without_findings_there_is_none(case: Case) -> None:
    objects = encode.encode(dataclasses.replace(case.result, findings=()), case.headers, CONTOURS)
    assert [one.kind for one in objects] == [ObjectKind.REPORT_3D]


def first_contour(structures: Dataset) -> Dataset:
    return structures.ROIContourSequence[0].ContourSequence[0]


def move(structures: Dataset, by: tuple[float, float, float]) -> None:
    points = np.array(first_contour(structures).ContourData, dtype=float).reshape(-1, 3) + by
    first_contour(structures).ContourData = [f"{value:.3f}" for value in points.ravel()]


def shift_a_pixel(structures: Dataset) -> None:
    move(structures, (1.25, 0, 0))


def shift_a_slice(structures: Dataset) -> None:
    move(structures, (0, 0, 2))


def shift_half_a_slice(structures: Dataset) -> None:
    move(structures, (0, 0, 1))


def other_image(structures: Dataset) -> None:
    contours = structures.ROIContourSequence[0].ContourSequence
    contours[0].ContourImageSequence = contours[-1].ContourImageSequence


def foreign_image(structures: Dataset) -> None:
    first_contour(structures).ContourImageSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def open_a_contour(structures: Dataset) -> None:
    first_contour(structures).ContourGeometricType = "OPEN_PLANAR"


def drop_a_point(structures: Dataset) -> None:
    first_contour(structures).ContourData = first_contour(structures).ContourData[3:]


def drop_a_contour(structures: Dataset) -> None:
    del structures.ROIContourSequence[0].ContourSequence[0]


def double_a_contour(structures: Dataset) -> None:
    structures.ROIContourSequence[0].ContourSequence.append(first_contour(structures))


def drop_a_region(structures: Dataset) -> None:
    del structures.StructureSetROISequence[0]


def swap_regions(structures: Dataset) -> None:
    for item, number in zip(structures.ROIContourSequence, (2, 1), strict=True):
        item.ReferencedROINumber = number


def swap_names(structures: Dataset) -> None:
    first, second = structures.StructureSetROISequence
    first.ROIName, second.ROIName = second.ROIName, first.ROIName


def other_code(structures: Dataset) -> None:
    structures.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0].CodeValue = "4147007"


def interpret(structures: Dataset) -> None:
    structures.RTROIObservationsSequence[0].RTROIInterpretedType = "GTV"


def approve(structures: Dataset) -> None:
    structures.ApprovalStatus = "APPROVED"


def drop_an_image(structures: Dataset) -> None:
    series = structures.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    del series.ContourImageSequence[-1]


def other_frame_of_reference(structures: Dataset) -> None:
    structures.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "2.25.1"


def by_hand(structures: Dataset) -> None:
    structures.StructureSetROISequence[0].ROIGenerationAlgorithm = "MANUAL"


@pytest.mark.parametrize(
    "change",
    [
        *(shift_a_pixel, shift_a_slice, shift_half_a_slice, other_image, foreign_image, open_a_contour, drop_a_point, drop_a_contour),
        *(double_a_contour, drop_a_region, swap_regions, swap_names, other_code, interpret, approve, drop_an_image),
        *(other_frame_of_reference, by_hand),
    ],
)
def test_a_fault_is_seen(case: Case, change: Callable[[Dataset], None]) -> None:
    objects = changed(encode.encode(case.result, case.headers, CONTOURS), Role.CONTOURS, change)
    assert isinstance(encode.compare(objects, case.result), ReportMismatch)


def test_a_file_that_breaks_off_cannot_be_read(case: Case) -> None:
    objects = encode.encode(case.result, case.headers, CONTOURS)
    cut = tuple(dataclasses.replace(one, content=one.content[:-9]) if one.role is Role.CONTOURS else one for one in objects)
    with pytest.raises(EncodingError):
        encode.compare(cut, case.result)


def test_the_same_inputs_give_the_same_bytes(case: Case) -> None:
    first, second = (encode.encode(case.result, case.headers, CONTOURS) for _ in range(2))
    assert [one.content for one in first] == [one.content for one in second]
    assert pydicom.dcmread(io.BytesIO(first[-1].content)).SOPClassUID == first[-1].sop_class_uid
