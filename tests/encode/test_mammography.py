"""Mammography CAD: valid by two judges, each mark where the finding is, and what cannot be said so is said otherwise."""

import dataclasses
import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_node import assemble, encode
from dicom_node.config import PROFILES
from dicom_node.encode.captions import name_slice
from dicom_node.encode.drawing import WHITE, height_of
from dicom_node.encode.inputs import read_inputs
from dicom_node.encode.plate import _head
from dicom_node.infer.pictures import make_pictures
from dicom_node.texts import ENGLISH, Language, load_catalogue
from dicom_node.values import Analysed, CodedConcept, DicomObject, Finding, ObjectKind, ReportRef, Volume
from dicom_node.values.reasons import ReportMismatch
from tests.encode.conftest import CALCIFICATION, CLUSTER, Case, mark
from tests.encode.results import PROFILE, named, walk
from tests.encode.test_meanings import codes_of
from tests.encode.test_objects import new_complaints
from tests.encode.test_reports import report_of, spoilt

CAD, COMPREHENSIVE = ObjectKind.MAMMOGRAPHY_CAD, ObjectKind.REPORT_COMPREHENSIVE
ALONE = dataclasses.replace(PROFILE, objects=(CAD,))
FRENCH = dataclasses.replace(ALONE, language="fr")
MASS = CodedConcept("129788004", "SCT", "Mammographic breast mass")
UNABLE = ("VR checker does not support", "template constraints not yet supported")
FINDING, CENTRE, OUTLINE, CERTAINTY = "111059", "111010", "111041", "111012"


def made_of(case: Case, result: Analysed | None = None, profile: encode.Profile = ALONE) -> tuple[DicomObject, ...]:
    return encode.encode(result or case.result, case.headers, profile)


def value_of(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def many(case: Case, count: int) -> Analysed:
    """As many single calcifications, one for each few pixels."""
    places = [(0, 2 + number // 20 * 3, 2 + number % 20 * 4) for number in range(count)]
    found = [mark(number, CALCIFICATION, place, np.ones((1, 2, 2), dtype=bool)) for number, place in enumerate(places, 1)]
    return dataclasses.replace(case.result, findings=tuple(found))


# -- whole ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [ALONE, FRENCH], ids=["en", "fr"])
@pytest.mark.parametrize("views", [[("R", "MLO")], [("R", "CC"), ("L", "CC"), ("L", "MLO")]], ids=["one image", "three"])
def test_validators_find_nothing(
    tmp_path: Path,
    validator: Callable[[str], str],
    dcmtk: Callable[[str], str],
    make_mammogram_case: Callable[..., Case],
    views: list[tuple[str, str]],
    profile: encode.Profile,
) -> None:
    """dciodvfy, and DCMTK, which knows which items may stand below which in this class (PS3.3 table A.35.5-2)."""
    case = make_mammogram_case(*views)
    one = dataclasses.replace(case.result, findings=case.result.findings[:1])
    none = dataclasses.replace(case.result, findings=(), threshold=None)
    for result in (none, one, case.result, many(case, 200)):
        objects = made_of(case, result, profile)
        assert [made.sop_class_uid for made in objects] == ["1.2.840.10008.5.1.4.1.1.88.50"]
        assert encode.compare(objects, result) is None
        assert new_complaints(validator, case.headers, tmp_path / "spool-mammograms", objects, tmp_path) == set()
        assert dump(objects[0], dcmtk("dsrdump"), tmp_path).count(f"({FINDING},DCM,") == len(result.findings)


def dump(made: DicomObject, program: str, folder: Path) -> str:
    """What DCMTK shows of it; it has nothing to say against it but what it cannot do itself."""
    file = folder / "cad.dcm"
    file.write_bytes(made.content)
    done = subprocess.run([program, "--print-all-codes", str(file)], capture_output=True, text=True, check=True)
    assert [line for line in done.stderr.splitlines() if not any(what in line for what in UNABLE)] == []
    return done.stdout


def test_it_says_of_whom_it_is_and_under_which_reservations(mammograms: Case) -> None:
    report = report_of(made_of(mammograms), CAD)
    assert report.PatientName == mammograms.datasets[0].PatientName
    assert (report.VerificationFlag, report.PreliminaryFlag, report.Modality) == ("UNVERIFIED", "PRELIMINARY", "SR")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "4000"
    (text,) = named(walk(report), "111033")
    assert "RESEARCH USE ONLY" in text.TextValue
    assert "no person has checked it" in text.TextValue


def test_nothing_found_names_what_was_looked_for(mammograms: Case) -> None:
    nothing = dataclasses.replace(mammograms.result, findings=())
    report = report_of(made_of(mammograms, nothing), CAD)
    assert [value_of(item) for item in named(walk(report), "111017")] == ["111241"]
    assert [value_of(item) for item in named(walk(report), "111022")] == [CLUSTER.value, CALCIFICATION.value]
    assert [value_of(item) for code in ("111064", "111065") for item in named(walk(report), code)] == ["111222", "111225"]
    assert named(walk(report), "111034") == []
    (text,) = named(walk(report), "111033")
    assert "Calcification Cluster: not detected" in text.TextValue


def test_a_finding_is_a_mark_on_its_image(make_mammogram_case: Callable[..., Case]) -> None:
    """Of three images the second: centre and outline in pixels of that image, from its upper left corner."""
    case = make_mammogram_case(("R", "CC"), ("L", "CC"), ("L", "MLO"))
    result = dataclasses.replace(case.result, findings=(mark(1, CALCIFICATION, (1, 70, 50), np.ones((1, 2, 4), dtype=bool), score=0.29),))
    report = report_of(made_of(case, result), CAD)
    (item,) = named(walk(report), FINDING)
    assert value_of(item) == CALCIFICATION.value
    below = list(item.ContentSequence)
    (certainty,), (centre,), (outline,) = (named(below, code) for code in (CERTAINTY, CENTRE, OUTLINE))
    assert certainty.MeasuredValueSequence[0].NumericValue == 29
    assert (centre.GraphicType, list(centre.GraphicData)) == ("POINT", [52, 71])
    assert (outline.GraphicType, list(outline.GraphicData)) == ("POLYLINE", [50, 70, 54, 70, 54, 72, 50, 72, 50, 70])
    for one in (centre, outline):
        assert list(one.ContentSequence[0].ReferencedContentItemIdentifier) == [1, 2, 2]
    image = report.ContentSequence[1].ContentSequence[1]
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == case.datasets[1].SOPInstanceUID


def test_the_library_says_how_an_image_shows_the_breast(make_mammogram_case: Callable[..., Case]) -> None:
    def change(dataset: Dataset, number: int) -> None:
        if number == 1:  # codes of an older SNOMED, and a term alone, as many machines write them
            view = dataset.ViewCodeSequence[0]
            view.CodeValue, view.CodingSchemeDesignator = "R-10226", "SNM3"
            modifier = Dataset()
            modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = "R-102D6", "SNM3", "Magnification"
            view.ViewModifierCodeSequence = [modifier]
            del dataset.ViewPosition
        if number == 2:
            del dataset.ViewCodeSequence, dataset.PatientOrientation, dataset.ContentTime
        if number == 3:
            del dataset.ViewCodeSequence, dataset.ViewPosition, dataset.ImageLaterality

    case = make_mammogram_case(("R", "CC"), ("L", "MLO"), ("L", "CC"), ("R", "CC"), change=change)
    report = report_of(made_of(case), CAD)
    by_uid = {one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID: one for one in report.ContentSequence[1].ContentSequence}
    images = [by_uid[one.SOPInstanceUID] for one in sorted(case.datasets, key=lambda one: one.InstanceNumber)]
    said = [{item.ConceptNameCodeSequence[0].CodeValue: item for item in walk(image)} for image in images]
    assert [value_of(one["111027"]) for one in said[:3]] == ["73056007", "80248007", "80248007"]
    assert [value_of(one["111031"]) for one in said[:3]] == ["399162004", "399368009", "399162004"]
    assert value_of(said[1]["111032"]) == "399163009"
    assert (said[0]["111044"].TextValue, said[0]["111043"].TextValue) == ("P", "L")
    assert (said[1]["111044"].TextValue, said[1]["111043"].TextValue) == ("A", "FR")
    assert {"111044", "111043", "111019"} & set(said[2]) == set()
    assert {"111027", "111031", "111032"} & set(said[3]) == set()
    assert (said[0]["111060"].Date, said[0]["111061"].Time, said[0]["111018"].Date) == ("20250102", "100000", "20250102")
    spacing_mm = float(said[0]["111026"].MeasuredValueSequence[0].NumericValue)
    assert spacing_mm == pytest.approx(0.1 / 1.1)  # in the breast, not on the detector


def test_without_a_known_spacing_none_is_said(make_mammogram_case: Callable[..., Case]) -> None:
    case = make_mammogram_case(spacing_mm=None)
    report = report_of(made_of(case), CAD)
    assert named(walk(report), "111026") == []
    assert encode.compare(made_of(case), case.result) is None


def test_a_mass_is_the_density_that_one_image_shows_of_it(mammograms: Case) -> None:
    """CID 6014 has no mass: that is a composite feature, of several views (CID 6017)."""
    first = dataclasses.replace(mammograms.result.findings[0], type=MASS)
    result = dataclasses.replace(mammograms.result, findings=(first,), looked_for=(MASS,))
    objects = made_of(mammograms, result)
    assert encode.compare(objects, result) is None
    report = report_of(objects, CAD)
    assert [value_of(item) for code in (FINDING, "111022") for item in named(walk(report), code)] == ["129793001"] * 2


def test_every_code_has_a_french_meaning(make_mammogram_case: Callable[..., Case]) -> None:
    case = make_mammogram_case(("R", "CC"), ("L", "MLO"))
    english, french = (list(codes_of(report_of(made_of(case, None, profile), CAD))) for profile in (ALONE, FRENCH))
    assert [key for key, _ in english if key[0] != "RFC5646"] == [key for key, _ in french if key[0] != "RFC5646"]
    assert {key for key, _ in french if ":".join(key) not in load_catalogue(Language("fr")).codes} == set()
    assert {meaning for key, meaning in french if meaning != load_catalogue(Language("fr")).codes[":".join(key)]} == set()


def test_the_same_inputs_give_the_same_bytes_and_another_report_replaces_one(mammograms: Case) -> None:
    (made,) = made_of(mammograms)
    assert made_of(mammograms) == (made,)
    replaced = ReportRef(made.sop_class_uid, "2.25.1", "2.25.2")
    result = dataclasses.replace(mammograms.result, predecessor_key="cd" * 32)
    (other,) = encode.encode(result, mammograms.headers, ALONE, [replaced])
    (document,) = pydicom.dcmread(io.BytesIO(other.content)).PredecessorDocumentsSequence
    assert document.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.1"


# -- faults -----------------------------------------------------------------------------------------------------------------


def first_of(report: Dataset, code: str) -> Dataset:
    return named(walk(report), code)[0]


def move_the_centre(report: Dataset) -> None:
    first_of(report, CENTRE).GraphicData = [one + 0.5 for one in first_of(report, CENTRE).GraphicData]


def swap_the_centre(report: Dataset) -> None:
    first_of(report, CENTRE).GraphicData = list(first_of(report, CENTRE).GraphicData)[::-1]


def move_the_outline(report: Dataset) -> None:
    first_of(report, OUTLINE).GraphicData = [one + 1 for one in first_of(report, OUTLINE).GraphicData]


def open_the_outline(report: Dataset) -> None:
    first_of(report, OUTLINE).GraphicData = list(first_of(report, OUTLINE).GraphicData)[:-2]


def no_outline(report: Dataset) -> None:
    item = first_of(report, FINDING)
    item.ContentSequence = [one for one in item.ContentSequence if one.get("GraphicType") != "POLYLINE"]


def other_image(report: Dataset) -> None:
    for code in (CENTRE, OUTLINE):
        first_of(report, code).ContentSequence[0].ReferencedContentItemIdentifier = [1, 2, 2]


def no_image(report: Dataset) -> None:
    first_of(report, CENTRE).ContentSequence[0].ReferencedContentItemIdentifier = [1, 1]


def other_score(report: Dataset) -> None:
    first_of(report, CERTAINTY).MeasuredValueSequence[0].NumericValue = "0.81"


def other_type(report: Dataset) -> None:
    first_of(report, FINDING).ConceptCodeSequence[0].CodeValue = CALCIFICATION.value


def not_to_be_shown(report: Dataset) -> None:
    first_of(first_of(report, FINDING), "111056").ConceptCodeSequence[0].CodeValue = "111152"


def drop_a_finding(report: Dataset) -> None:
    del first_of(report, "111017").ContentSequence[-1]


def without_findings(report: Dataset) -> None:
    first_of(report, "111017").ConceptCodeSequence[0].CodeValue = "111241"


def other_algorithm(report: Dataset) -> None:
    first_of(first_of(report, FINDING), "111003").TextValue = "1.2.4"


def detection_failed(report: Dataset) -> None:
    first_of(report, "111064").ConceptCodeSequence[0].CodeValue = "111224"


def looked_for_less(report: Dataset) -> None:
    del first_of(report, "111063").ContentSequence[-1]


def on_fewer_images(report: Dataset) -> None:
    performed = first_of(report, "111022")
    performed.ContentSequence = [one for one in performed.ContentSequence if one.get("ReferencedContentItemIdentifier") != [1, 2, 2]]


def analysed(report: Dataset) -> None:
    first_of(report, "111065").ConceptCodeSequence[0].CodeValue = "111222"


def other_library(report: Dataset) -> None:
    report.ContentSequence[1].ContentSequence[1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def other_class(report: Dataset) -> None:
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.65"


def other_template(report: Dataset) -> None:
    report.ContentTemplateSequence[0].TemplateIdentifier = "4100"


@pytest.mark.parametrize(
    "fault",
    [
        move_the_centre, swap_the_centre, move_the_outline, open_the_outline, no_outline, other_image, no_image, other_score, other_type,
        not_to_be_shown, drop_a_finding, without_findings, other_algorithm, detection_failed, looked_for_less, on_fewer_images, analysed,
        other_library, other_class, other_template,
    ],
)  # fmt: skip
def test_a_fault_is_seen(make_mammogram_case: Callable[..., Case], fault: Callable[[Dataset], None]) -> None:
    case = make_mammogram_case(("R", "CC"), ("L", "CC"))
    objects = made_of(case)
    assert encode.compare(spoilt(objects, CAD, lambda _: None), case.result) is None
    assert isinstance(encode.compare(spoilt(objects, CAD, fault), case.result), ReportMismatch)


def test_what_was_not_detected_must_be_said(mammograms: Case) -> None:
    def silent(report: Dataset) -> None:
        first_of(report, "111033").TextValue = "RESEARCH USE ONLY"

    result = dataclasses.replace(mammograms.result, findings=mammograms.result.findings[:1])
    objects = made_of(mammograms, result)
    assert encode.compare(objects, result) is None
    assert encode.compare(spoilt(objects, CAD, silent), result) == ReportMismatch(1)


# -- pictures ---------------------------------------------------------------------------------------------------------------

PICTURES = dataclasses.replace(PROFILE, objects=(ObjectKind.CAPTURE,))
PAGE = dataclasses.replace(PROFILE, objects=(ObjectKind.PAGE,))
LARGE = (2600, 2000)


def pictured(case: Case, folder: Path, *findings: Finding) -> Case:
    """With the pictures that the inference process makes of what `assemble` reads of its images."""
    volume = assemble.read_volume(folder / "spool-mammograms", case.headers, case.result.geometry)
    assert isinstance(volume, Volume)
    findings = findings or case.result.findings
    pictures = make_pictures(volume, findings, "MG")
    return dataclasses.replace(case, result=dataclasses.replace(case.result, findings=findings, pictures=pictures))


def last_page(case: Case) -> Dataset:
    objects = encode.encode(case.result, case.headers, PICTURES)
    assert encode.compare(objects, case.result) is None
    return pydicom.dcmread(io.BytesIO(objects[-1].content))


def slice_of(page: Dataset, case: Case) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The part of a page that shows the image: 768 pixels high, above its text and below the title."""
    (picture,) = case.result.pictures
    rows, columns = picture.pixels.shape
    width = round(columns / rows * 768 / 2) * 2
    left = (page.Columns - width) // 2
    inputs = read_inputs(case.result, case.headers, PICTURES)
    top = height_of(_head(inputs, ENGLISH, page.Columns - 32)) + 32
    return np.asarray(page.pixel_array[top : top + 768, left : left + width])


@pytest.mark.parametrize("photometric_interpretation", ["MONOCHROME2", "MONOCHROME1"])
def test_a_picture_shows_a_mammogram_as_it_is_read(
    make_mammogram_case: Callable[..., Case], tmp_path: Path, photometric_interpretation: str
) -> None:
    """Dense tissue is white on black air, however it is stored; what is drawn on it is where it was found."""
    one = mark(1, CALCIFICATION, (0, 1040, 800), np.ones((1, 520, 400), dtype=bool))
    case = make_mammogram_case(shape=LARGE, photometric_interpretation=photometric_interpretation)
    case = pictured(case, tmp_path, one)
    shown = slice_of(last_page(case), case)
    assert shown[20, 20].max() == 0  # air, beyond the skin
    assert shown[384, 560].min() > 180  # the middle of the breast, at the wall of the chest
    rows, columns = np.nonzero((shown == one.colour_rgb).all(axis=2)[:, :357])  # its number stands to the right
    assert [rows.min(), rows.max()] == pytest.approx([1040 / 2600 * 768, 1560 / 2600 * 768], abs=2)
    assert [columns.min(), columns.max()] == pytest.approx([800 / 2600 * 768, 1200 / 2600 * 768], abs=2)


def test_a_scale_bar_is_as_long_as_it_says(make_mammogram_case: Callable[..., Case], tmp_path: Path) -> None:
    """0.12 mm on the detector, magnified 1.1 times: 50 mm in the breast are 458 pixels of 2600, of which a page has 768."""
    case = pictured(make_mammogram_case(shape=LARGE, spacing_mm=(0.12, 0.12)), tmp_path)
    shown = slice_of(last_page(case), case)
    (row,) = [row for row in range(740, 768) if (shown[row, 400:] == WHITE).all(axis=1).sum() > 50][:1]
    bar = np.flatnonzero((shown[row, 400:] == WHITE).all(axis=1))
    assert bar[-1] - bar[0] == pytest.approx(50 / 0.12 * 1.1 / 2600 * 768, abs=2)


def test_without_a_spacing_there_is_no_bar_and_pixels_are_square(make_mammogram_case: Callable[..., Case], tmp_path: Path) -> None:
    case = pictured(make_mammogram_case(shape=LARGE, spacing_mm=None), tmp_path)
    page = last_page(case)
    shown = slice_of(page, case)
    assert not [row for row in range(740, 768) if (shown[row, 400:] == WHITE).all(axis=1).sum() > 50]
    assert encode.encode(case.result, case.headers, PAGE)


def test_a_calcification_that_nobody_would_see_has_a_ring(make_mammogram_case: Callable[..., Case], tmp_path: Path) -> None:
    one = mark(1, CALCIFICATION, (0, 1300, 1000), np.ones((1, 3, 2), dtype=bool))
    case = pictured(make_mammogram_case(shape=LARGE), tmp_path, one)
    coloured = (slice_of(last_page(case), case) == one.colour_rgb).all(axis=2)
    row, column = 1301.5 / 2600 * 768, 1001 / 2600 * 768
    rows, columns = np.nonzero(coloured[:, : int(column) + 12])
    assert [rows.min(), rows.max()] == pytest.approx([row - 9, row + 9], abs=2)
    assert columns.min() == pytest.approx(column - 9, abs=2)


@pytest.mark.parametrize(("views", "side"), [([("L", "CC"), ("L", "MLO")], "L"), ([("L", "CC"), ("R", "CC")], "")])
def test_the_pictures_are_valid_and_of_the_side_of_their_images(
    make_mammogram_case: Callable[..., Case],
    validator: Callable[[str], str],
    tmp_path: Path,
    views: list[tuple[str, str]],
    side: str,
) -> None:
    """dciodvfy wants a side where the body part is paired."""
    case = pictured(make_mammogram_case(*views), tmp_path)
    objects = encode.encode(case.result, case.headers, dataclasses.replace(PROFILE, objects=PROFILES["plain-pacs"]))
    assert encode.compare(objects, case.result) is None
    assert new_complaints(validator, case.headers, tmp_path / "spool-mammograms", objects, tmp_path) == set()
    assert {str(pydicom.dcmread(io.BytesIO(one.content)).Laterality or "") for one in objects if one.kind is ObjectKind.CAPTURE} == {side}


def test_a_picture_says_which_side_is_which(make_mammogram_case: Callable[..., Case], tmp_path: Path) -> None:
    case = pictured(make_mammogram_case(("L", "MLO")), tmp_path)
    assert list(last_page(case).PatientOrientation) == ["A", "FR"]
    inputs = read_inputs(case.result, case.headers, PICTURES)
    assert name_slice(inputs, 0, ENGLISH) == "Image 1 of 1, Instance Number 1, left breast, medio-lateral oblique"
    assert name_slice(inputs, 0, Language("fr")) == "Image 1 sur 1, numéro d'instance 1, sein gauche, oblique médio-latérale"


def test_the_page_shows_what_lies_around_a_finding(make_mammogram_case: Callable[..., Case], tmp_path: Path) -> None:
    """Of 2600 x 2000 pixels in a picture of 866 x 666: 60 mm around the finding are 660 pixels, of which the picture has 220 or 221."""
    one = mark(1, CALCIFICATION, (0, 1300, 1000), np.ones((1, 3, 2), dtype=bool))
    case = pictured(make_mammogram_case(shape=LARGE), tmp_path, one)
    (made,) = encode.encode(case.result, case.headers, PAGE)
    content = pydicom.dcmread(io.BytesIO(made.content)).EncapsulatedDocument
    sizes = [int(size) for size in re.findall(rb"/(?:Width|Height) (\d+)", content)]
    assert len(sizes) == 2
    assert set(sizes) <= {220, 221}
