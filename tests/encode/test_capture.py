"""Pages of pictures: whole, in order, each finding outlined where it is, and a fault in any of them is seen."""

import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode.captions import describe
from dicom_node.encode.compare_captures import count_wrong_pages
from dicom_node.encode.inputs import read_inputs
from dicom_node.encode.plate import name_directions
from dicom_node.encode.summary import _body, draw_summary
from dicom_node.errors import EncodingError
from dicom_node.infer.pictures import make_pictures
from dicom_node.texts import ENGLISH, Language, find_languages, render_report
from dicom_node.values import Analysed, DicomObject, Form, Mask, ObjectKind, Picture, Reservation, Role, Volume
from dicom_node.values.reasons import ReportMismatch
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.results import PROFILE, finding, geometry_of, read_headers, result_of
from tests.encode.test_compare import changed
from tests.encode.test_objects import new_complaints
from tests.make import AXIAL, CORONAL, OBLIQUE, SAGITTAL, base_anatomy, make_series

ALL = dataclasses.replace(PROFILE, objects=(*PROFILE.objects, ObjectKind.CAPTURE))
ALONE = dataclasses.replace(PROFILE, objects=(ObjectKind.CAPTURE,))
FRENCH = dataclasses.replace(ALONE, language="fr")

CLASS = "1.2.840.10008.5.1.4.1.1.7"


def voxels_of(datasets: list[Dataset]) -> npt.NDArray[np.int16]:
    """What was stored, in Hounsfield units."""
    planes = np.concatenate([np.atleast_3d(one.pixel_array.T).T for one in datasets])
    return (planes.astype(np.int32) - 1024).astype(np.int16)


def shown(case: Case, **changes: Any) -> Case:
    """The case with the pictures that the inference process makes of its findings."""
    result = dataclasses.replace(case.result, **changes)
    pictures = make_pictures(Volume(result.geometry, voxels_of(case.datasets)), result.findings, "CT")
    return dataclasses.replace(case, result=dataclasses.replace(result, pictures=pictures))


def on_two_slices(case: Case) -> Case:
    """Its two findings largest on slices 3 and 5, and not on each other's."""
    first, second = case.result.findings
    return shown(case, findings=(first, dataclasses.replace(second, mask=Mask((5, 14, 1), second.mask.voxels))))


def pages_of(objects: tuple[DicomObject, ...]) -> list[Dataset]:
    return [pydicom.dcmread(io.BytesIO(one.content)) for one in objects if one.role is Role.CAPTURE]


def many_findings(case: Case, count: int, **changes: Any) -> Case:
    places = [(number % 8, number // 8 * 2, number % 5 * 4) for number in range(count)]
    findings = tuple(finding(number, place, np.ones((1, 2, 3), dtype=bool)) for number, place in enumerate(places, 1))
    return shown(case, findings=findings, **changes)


def words_of(result: Analysed, case: Case, language: str) -> str:
    """Everything between title and foot of the summary."""
    inputs = read_inputs(result, case.headers, dataclasses.replace(ALONE, language=language))  # type: ignore[arg-type]
    return " ".join(line.text for block in _body(inputs, Language(language)) for line in block.lines)


# -- the series -------------------------------------------------------------------------------------------------------------


def test_there_is_a_summary_and_a_page_for_each_picture_in_a_series_of_their_own(case: Case) -> None:
    case = on_two_slices(case)
    objects = encode.encode(case.result, case.headers, ALL)
    assert [one.role for one in objects] == [Role.SEGMENTATION, Role.REPORT, *[Role.CAPTURE] * 3]
    assert {one.sop_class_uid for one in objects[2:]} == {CLASS}
    assert len({one.sop_instance_uid for one in objects}) == 5
    assert len({one.series_instance_uid for one in objects}) == 3
    pages = pages_of(objects)
    assert [page.InstanceNumber for page in pages] == [1, 2, 3]
    assert {(page.SeriesNumber, page.SeriesDescription, page.Modality) for page in pages} == {
        (pages[0].SeriesNumber, "AI lung nodules RESEARCH - pictures", "OT")
    }
    others = [pydicom.dcmread(io.BytesIO(one.content)).SeriesNumber for one in objects[:2]]
    assert len({pages[0].SeriesNumber, *others, case.datasets[0].SeriesNumber}) == 4


def test_a_page_is_an_rgb_image_of_8_bits_that_says_how_it_was_made(case: Case) -> None:
    case = on_two_slices(case)
    for page in pages_of(encode.encode(case.result, case.headers, ALL)):
        assert (page.ConversionType, list(page.ImageType), page.BurnedInAnnotation) == ("WSD", ["DERIVED", "SECONDARY"], "NO")
        assert (page.PhotometricInterpretation, page.PlanarConfiguration, page.BitsAllocated) == ("RGB", 0, 8)
        assert page.pixel_array.shape == (page.Rows, page.Columns, 3)
        assert 768 <= page.Columns <= 1024
        assert page.DerivationDescription
        assert page.PatientName == case.datasets[0].PatientName
        assert page.StudyInstanceUID == case.result.study_instance_uid


@pytest.mark.parametrize("enhanced", [False, True])
def test_a_picture_names_the_image_that_it_shows_and_the_summary_all(tmp_path: Path, enhanced: bool) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    case = on_two_slices(Case(datasets, headers, two_findings(headers, datasets)))
    summary, *pictures = pages_of(encode.encode(case.result, case.headers, ALL))
    assert [one.ReferencedSOPInstanceUID for one in summary.SourceImageSequence] == [one.SOPInstanceUID for one in datasets]
    indices = [3, 5]
    assert [picture.slice_index for picture in case.result.pictures] == indices
    for page, index in zip(pictures, indices, strict=True):
        (source,) = page.SourceImageSequence
        assert source.ReferencedSOPInstanceUID == datasets[0 if enhanced else index].SOPInstanceUID
        assert source.get("ReferencedFrameNumber") == (index + 1 if enhanced else None)


def test_the_same_inputs_give_the_same_bytes(case: Case) -> None:
    case = on_two_slices(case)
    again = encode.encode(case.result, case.headers, ALL)
    assert [one.content for one in again] == [one.content for one in encode.encode(case.result, case.headers, ALL)]


def test_nothing_of_the_patient_is_drawn(make_case: Callable[..., Case]) -> None:
    """So that a correction of the header corrects the picture."""
    cases = [on_two_slices(make_case(patient=patient)) for patient in ({}, {"PatientName": "Other^Person", "PatientID": "OTHER"})]
    first, second = (pages_of(encode.encode(one.result, one.headers, ALL)) for one in cases)
    assert first[0].PatientID != second[0].PatientID
    assert [page.PixelData for page in first] == [page.PixelData for page in second]


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_dciodvfy_finds_nothing_that_the_source_has_not(
    tmp_path: Path, validator: Callable[[str], str], modality: str, enhanced: bool, language: str
) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, modality=modality, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    case = on_two_slices(Case(datasets, headers, two_findings(headers, datasets)))
    profile = dataclasses.replace(ALONE, language=language)
    for result in (case.result, dataclasses.replace(case.result, findings=(), pictures=())):
        for one in encode.encode(result, headers, profile):
            assert new_complaints(validator, headers, tmp_path, (one,), tmp_path) == set()


# -- the summary ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "fr"])
def test_nothing_found_is_said_as_what_was_looked_for(case: Case, language: str) -> None:
    result = dataclasses.replace(case.result, findings=(), pictures=())
    (page,) = pages_of(encode.encode(result, case.headers, dataclasses.replace(ALL, language=language)))
    assert page.InstanceNumber == 1
    text = words_of(result, case, language)
    assert render_report("not-detected", Language(language), what="Nodule").split(".")[0] in re.sub("\N{NO-BREAK SPACE}", " ", text)
    assert render_report("can-miss", Language(language)) in text
    assert not re.search(r"normal|negati|négati|clear|healthy|sain", text, re.IGNORECASE)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_summary_says_everything_of_every_finding(case: Case, language: str) -> None:
    case = many_findings(case, 25, reservations=tuple(Reservation), predecessor_key="cd" * 32)
    text = words_of(case.result, case, language).replace("\N{NO-BREAK SPACE}", " ")
    flat = re.sub(r"\s+", " ", text)
    comma = "," if language == "fr" else "."
    assert flat.count(f"523{comma}1 mm³") == flat.count(f"10{comma}4 mm") == flat.count(f"0{comma}81") == 25
    assert flat.count("à gauche" if language == "fr" else "left") >= 25
    for name in (*Reservation, "predecessor"):
        assert render_report(name, Language(language)) in flat
    assert f"{len(case.datasets)}." in flat


def test_many_findings_take_more_pages_and_nothing_touches_their_edges(case: Case) -> None:
    for language in ("en", "fr"):
        case = many_findings(case, 25)
        inputs = read_inputs(case.result, case.headers, dataclasses.replace(ALONE, language=language))  # type: ignore[arg-type]
        pages = draw_summary(inputs, 0)
        assert len(pages) >= 2
        for page in pages:
            pixels = np.asarray(page).any(axis=2)
            assert pixels[40:-40, 40:-40].any()
            pixels[38:-38, 38:-38] = False
            assert not pixels.any()


def test_findings_that_no_picture_shows_are_named(case: Case) -> None:
    """As of a result that was kept before there were pictures."""
    objects = encode.encode(case.result, case.headers, ALL)
    assert len(pages_of(objects)) == 1
    assert encode.compare(objects, case.result) is None
    assert render_report("regions-not-shown", ENGLISH, numbers="1, 2") in words_of(case.result, case, "en")


# -- the pictures -----------------------------------------------------------------------------------------------------------


def boxes_on(page: Dataset, colour: tuple[int, int, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(first row, first column), (last row, last column) of the pixels of a colour."""
    places = np.argwhere((page.pixel_array == colour).all(axis=2))
    assert len(places), "the colour is not there"
    return places.min(axis=0), places.max(axis=0)


@pytest.mark.parametrize("reduced_by", [1, 2])
@pytest.mark.parametrize("spacing_mm", [(2.0, 1.5, 1.25), (2.0, 0.7, 2.1)])
def test_an_outline_lies_round_its_pixels(case: Case, spacing_mm: tuple[float, float, float], reduced_by: int) -> None:
    """Pixels of the mask are white, all others black: what is drawn encloses what is white, which is enlarged with its proportions."""
    voxels = np.zeros((1, 12, 24), dtype=bool)
    voxels[0, 2:6, 14:20] = True
    pixels = np.zeros((20 // reduced_by, 24 // reduced_by), dtype=np.uint8)
    pixels[(4 + 2) // reduced_by : (4 + 6) // reduced_by, 14 // reduced_by : 20 // reduced_by] = 255
    geometry = dataclasses.replace(case.result.geometry, spacing_mm=spacing_mm)
    marked = finding(1, (3, 4, 0), voxels, colour_rgb=(1, 200, 2))
    result = dataclasses.replace(
        case.result, geometry=geometry, findings=(marked,), pictures=(Picture(3, pixels, 40.0, 400.0, reduced_by),)
    )
    _, page = pages_of(encode.encode(result, case.headers, ALONE))
    pixel_array = page.pixel_array
    first, last = boxes_on(page, (1, 200, 2))
    inside = pixel_array[first[0] + 8 : last[0] - 8, first[1] + 8 : first[1] + 60]
    assert inside.mean() > 200
    scale = 768 / max(20 * spacing_mm[1], 24 * spacing_mm[2])
    height_px, width_px = 4 * spacing_mm[1] * scale, 6 * spacing_mm[2] * scale
    assert last[0] - first[0] == pytest.approx(height_px, abs=3)
    right = first[1] + width_px
    assert (pixel_array[first[0] : last[0], int(right) - 3 : int(right) + 4] == (1, 200, 2)).all(axis=2).any(axis=1).all()
    grey = (pixel_array.max(axis=2) > 128) & (pixel_array.max(axis=2) == pixel_array.min(axis=2))
    rows, columns = slice(first[0] - 25, last[0] + 25), slice(max(first[1] - 25, 0), int(right) + 3)
    white = np.argwhere(grey[rows, columns]) + np.array([rows.start, columns.start])
    assert np.abs(white.min(axis=0) - first).max() <= 0.5 * scale * max(spacing_mm[1:])
    assert np.abs(white.max(axis=0) - (last[0], right)).max() <= 0.5 * scale * max(spacing_mm[1:])


def test_findings_on_one_slice_are_all_seen_though_they_cover_each_other(case: Case) -> None:
    """The smaller over the larger one, and numbers beside each other."""
    large = np.ones((1, 12, 12), dtype=bool)
    findings = (
        finding(1, (3, 4, 4), large[:, :2, :2], colour_rgb=(250, 1, 1)),
        finding(2, (3, 4, 4), large, colour_rgb=(1, 250, 1)),
        finding(3, (3, 4, 4), large, colour_rgb=(1, 1, 250)),
    )
    case = shown(case, findings=findings)
    objects = encode.encode(case.result, case.headers, ALONE)
    _, page = pages_of(objects)
    for one in findings:
        first, last = boxes_on(page, one.colour_rgb)
        assert (last - first).min() >= 5
    assert count_wrong_pages([one.content for one in objects], case.result) == 0


@pytest.mark.parametrize(
    ("orientation", "directions"),
    [(AXIAL, ("L", "P")), (CORONAL, ("L", "F")), (SAGITTAL, ("P", "F")), (OBLIQUE, ("LF", "PH"))],
)
def test_the_edges_name_the_sides_of_the_patient(
    tmp_path: Path, orientation: tuple[float, float, float, float, float, float], directions: tuple[str, str]
) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, orientation=orientation)
    geometry = geometry_of(datasets, SHAPE, SPACING_MM, orientation)
    assert name_directions(geometry) == directions
    headers = read_headers(datasets, tmp_path)
    result = result_of(headers, geometry, finding(1, (2, 3, 6), np.ones((2, 3, 3), dtype=bool)))
    case = shown(Case(datasets, headers, result))
    summary, page = pages_of(encode.encode(case.result, headers, ALONE))
    assert list(page.PatientOrientation) == list(directions)
    assert not summary.PatientOrientation


def test_an_image_without_a_place_in_the_patient_names_no_sides(case: Case) -> None:
    geometry = dataclasses.replace(case.result.geometry, form=Form.PROJECTION, lps_from_index=None)
    case = shown(case, geometry=geometry)
    for page in pages_of(encode.encode(case.result, case.headers, ALONE)):
        assert not page.PatientOrientation


def test_a_caption_in_both_languages(case: Case) -> None:
    (one, _) = case.result.findings
    texts = {one_language: describe(one, case.result, one_language).replace("\N{NO-BREAK SPACE}", " ") for one_language in find_languages()}
    assert texts == {
        ENGLISH: "1 Nodule 1, Lung, left: volume 523.1 mm³, long axis 10.4 mm, attenuation (mean) −31.2 HU, score 0.81",
        Language("fr"): "1 Nodule 1, Poumon, à gauche : volume 523,1 mm³, grand axe 10,4 mm, atténuation (moyenne) −31,2 UH, score 0,81",
    }


# -- compare ----------------------------------------------------------------------------------------------------------------


def other_source(page: Dataset) -> None:
    page.SourceImageSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def second_source(page: Dataset) -> None:
    page.SourceImageSequence = [page.SourceImageSequence[0]] * 2


def other_frame(page: Dataset) -> None:
    page.SourceImageSequence[0].ReferencedFrameNumber = 2


def no_colour(page: Dataset) -> None:
    page.PixelData = bytes(len(page.PixelData))


def other_colour(page: Dataset) -> None:
    pixels = page.pixel_array.copy()
    page.PixelData = pixels[..., ::-1].tobytes()


def other_rows(page: Dataset) -> None:
    page.Rows += 1


def by_plane(page: Dataset) -> None:
    page.PlanarConfiguration = 1


def wide(page: Dataset) -> None:
    page.BitsAllocated = 16


def other_number(page: Dataset) -> None:
    page.InstanceNumber += 1


PICTURE_FAULTS = [other_source, second_source, other_frame, no_colour, other_colour, other_rows, by_plane, wide, other_number]


def test_what_was_written_equals_the_result(case: Case) -> None:
    for one in (
        on_two_slices(case),
        many_findings(case, 25),
        dataclasses.replace(case, result=dataclasses.replace(case.result, findings=())),
    ):
        objects = encode.encode(one.result, one.headers, ALL)
        assert encode.compare(objects, one.result) is None


@pytest.mark.parametrize("fault", PICTURE_FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_in_a_picture_is_seen(case: Case, fault: Callable[[Dataset], None]) -> None:
    case = on_two_slices(case)

    def change(page: Dataset) -> None:
        if page.InstanceNumber == 2:
            fault(page)

    objects = changed(encode.encode(case.result, case.headers, ALL), Role.CAPTURE, change)
    assert encode.compare(objects, case.result) == ReportMismatch(1)


@pytest.mark.parametrize("fault", [other_rows, wide, by_plane, other_number, other_source], ids=lambda fault: fault.__name__)
def test_a_fault_in_a_summary_is_seen(case: Case, fault: Callable[[Dataset], None]) -> None:
    result = dataclasses.replace(case.result, findings=(), pictures=())
    objects = changed(encode.encode(result, case.headers, ALL), Role.CAPTURE, fault)
    assert encode.compare(objects, result) == ReportMismatch(1)


def test_a_page_that_is_not_there_or_in_another_place_is_seen(case: Case) -> None:
    case = on_two_slices(case)
    *others, summary, first, second = encode.encode(case.result, case.headers, ALL)
    for pages in ([first, second], [summary, first], [summary, second], [summary, second, first], [summary], [first]):
        assert isinstance(encode.compare([*others, *pages], case.result), ReportMismatch)


def test_a_page_that_breaks_off_is_an_error_of_ours(case: Case) -> None:
    case = on_two_slices(case)
    objects = encode.encode(case.result, case.headers, ALL)
    broken = [*objects[:-1], dataclasses.replace(objects[-1], content=b"nothing of the kind")]
    with pytest.raises(EncodingError):
        encode.compare(broken, case.result)
