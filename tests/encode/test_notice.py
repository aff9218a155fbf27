"""That there is no result, as a picture and as a page: whole, readable, in both languages, and never to be taken for a result."""

import dataclasses
import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.config import PROFILES
from dicom_node.encode.inputs import read_inputs_of_refusal
from dicom_node.encode.kinds import KINDS
from dicom_node.encode.notice import draw_notice
from dicom_node.encode.sentences import notice_details
from dicom_node.errors import EncodingError
from dicom_node.texts import ENGLISH, Language, Reader, find_languages, render_reason, render_report
from dicom_node.values import ObjectKind, Reason
from dicom_node.values.reasons import Localizer, MixedPatient, ReportMismatch, Unreadable
from tests.encode.conftest import SHAPE, SPACING_MM, Case
from tests.encode.results import PACKAGE, read_headers
from tests.encode.test_objects import new_complaints
from tests.encode.test_page import text_of
from tests.encode.test_refusal import GAP, TOO_SMALL, refusal_of, refused
from tests.encode.test_reports import report_of, spoilt, with_objects
from tests.make import base_anatomy, make_series

CAPTURE, PAGE = ObjectKind.CAPTURE, ObjectKind.PAGE
NOTICES = [CAPTURE, PAGE]
SAYERS = [kind for kind in ObjectKind if kind.value.startswith("report-")] + NOTICES
ORANGE = (178, 71, 0)
LONG_PACKAGE = dataclasses.replace(
    PACKAGE, title="lung nodules, " * 9 + "more", name="ct-lung-nodule-" * 8, manufacturer="Maison Œuvre, " * 20
)


def notice_of(case: Case, kind: ObjectKind, language: str = "en", **changes: object) -> Dataset:
    result = refusal_of(case, **changes)  # type: ignore[arg-type]
    objects = encode.encode_refusal(result, case.headers, with_objects(kind, language=language))
    assert encode.compare_refusal(objects, result) is None
    return report_of(objects, kind)


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("kind", NOTICES)
def test_dciodvfy_finds_nothing(tmp_path: Path, validator: Callable[[str], str], kind: ObjectKind, language: str, enhanced: bool) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    for package in (PACKAGE, None):
        result = refused(headers, package=package)
        objects = encode.encode_refusal(result, headers, with_objects(kind, language=language))
        assert encode.compare_refusal(objects, result) is None
        assert [(one.kind, one.sop_class_uid) for one in objects] == [(kind, KINDS[kind].sop_class_uid)]
        assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


def test_the_picture_is_one_rgb_image_in_a_series_of_its_own(case: Case) -> None:
    result, profile = refusal_of(case), with_objects(CAPTURE, PAGE)
    objects = encode.encode_refusal(result, case.headers, profile)
    assert [one.kind for one in objects] == NOTICES
    answers = encode.encode(dataclasses.replace(case.result, findings=()), case.headers, profile)
    assert len({one.series_instance_uid for one in (*objects, *answers)}) == 4
    assert len({one.sop_instance_uid for one in (*objects, *answers)}) == 4
    image = report_of(objects, CAPTURE)
    assert (image.ConversionType, image.BurnedInAnnotation, image.InstanceNumber, image.Modality) == ("WSD", "NO", 1, "OT")
    assert image.pixel_array.shape == (image.Rows, image.Columns, 3)
    assert {one.ReferencedSOPInstanceUID for one in image.SourceImageSequence} == {one.SOPInstanceUID for one in case.datasets}
    assert image.PatientID == case.datasets[0].PatientID


@pytest.mark.parametrize("language", find_languages())
@pytest.mark.parametrize("reason", [Localizer(), TOO_SMALL, GAP], ids=lambda reason: type(reason).__name__)
def test_the_picture_says_why_in_its_header(case: Case, reason: Reason, language: Language) -> None:
    image = notice_of(case, CAPTURE, language, reason=reason)
    first, second = image.ImageComments.split("\r\n")
    assert first == render_reason(reason, Reader.RADIOLOGIST, language)
    assert second == render_report("no-result", language, model="ct-lung-nodule", version="1.2.3")
    assert image.SeriesDescription == "AI lung nodules RESEARCH - not analysed"


@pytest.mark.parametrize("language", find_languages())
def test_the_page_says_everything(case: Case, tmp_path: Path, language: Language) -> None:
    page = notice_of(case, PAGE, language, reason=TOO_SMALL)
    text = text_of(page, tmp_path).strip()
    wanted = [
        render_report("notice", language),
        render_reason(TOO_SMALL, Reader.RADIOLOGIST, language),
        render_report("no-result", language, model="ct-lung-nodule", version="1.2.3"),
        render_report("series-not-analysed", language, number=1, count=8),
        render_report("model", language, title="lung nodules", version="1.2.3"),
        render_report("maker", language, algorithm="ct-lung-nodule", manufacturer="Somebody"),
        render_report("research", language),
    ]
    assert [sentence for sentence in wanted if sentence not in text] == []
    assert text.startswith(wanted[0])
    assert page.DocumentTitle == {"en": "Not analysed: lung nodules", "fr": "Non analysé : lung nodules"}[language]
    assert "ConceptNameCodeSequence" in page
    assert not page.ConceptNameCodeSequence


def test_without_a_model_it_says_that_none_was_suitable(case: Case, tmp_path: Path) -> None:
    for language in find_languages():
        text = text_of(notice_of(case, PAGE, language, package=None), tmp_path)
        assert render_report("no-model", language) in text
        assert render_report("no-algorithm", language) in text
        assert render_report("no-algorithm", language) in notice_of(case, CAPTURE, language, package=None).ImageComments
    assert notice_of(case, CAPTURE, package=None).SeriesDescription == "AI - not analysed"


def test_frames_and_unreadable_instances_are_counted(tmp_path: Path) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=True)
    headers = read_headers(datasets, tmp_path)
    headers = dataclasses.replace(headers, unreadable=(("2.25.7", Unreadable("PatientName")),))
    inputs = read_inputs_of_refusal(refused(headers), headers, with_objects(PAGE))
    assert "Series without a result: number 1. Images: 9." in notice_details(inputs)


def test_a_series_without_a_number(make_case: Callable[..., Case], tmp_path: Path) -> None:
    def change(dataset: Dataset, _: int) -> None:
        dataset.SeriesNumber = None

    text = text_of(notice_of(make_case(change=change), PAGE, "fr"), tmp_path)
    assert "Série sans résultat : elle n'a pas de numéro. Images : 8." in text


@pytest.mark.parametrize("kind", NOTICES)
def test_nothing_that_could_be_the_patients_is_drawn(make_case: Callable[..., Case], kind: ObjectKind) -> None:
    """Nor the description of the series, into which people write what they like."""

    def change(dataset: Dataset, _: int) -> None:
        dataset.SeriesDescription = "Quibbleworth, Zenobia"

    drawn = []
    for case in (make_case(), make_case(patient={"PatientName": "Other^Person", "PatientID": "OTHER"}, change=change, name="other")):
        result = refusal_of(case, study_instance_uid="2.25.1", series_instance_uid="2.25.2")
        notice = report_of(encode.encode_refusal(result, case.headers, with_objects(kind)), kind)
        drawn.append(notice.PixelData if kind is CAPTURE else notice.EncapsulatedDocument)
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("language", find_languages())
@pytest.mark.parametrize("package", [PACKAGE, LONG_PACKAGE, None], ids=["short", "long", "none"])
def test_the_bar_and_the_text_are_all_on_the_picture(case: Case, language: Language, package: object) -> None:
    """Nothing touches an edge but the bar, also where there is much to say; the bar is on no page that says that nothing was found."""
    result = refusal_of(case, TOO_SMALL, package=package)
    page = np.asarray(draw_notice(read_inputs_of_refusal(result, case.headers, with_objects(CAPTURE, language=language))))
    is_bar = (page == ORANGE).all(axis=(1, 2))
    bar_px = int(np.flatnonzero(is_bar)[-1]) + 1
    assert is_bar[0]
    assert 150 <= bar_px <= page.shape[0] / 3
    assert (page[:bar_px, :40] == ORANGE).all()
    assert (page[:bar_px, -40:] == ORANGE).all()
    body = page[bar_px:].any(axis=2)
    assert body[40:-40, 40:-40].any()
    body[38:-38, 38:-38] = False
    assert not body.any()
    nothing = encode.encode(dataclasses.replace(case.result, findings=()), case.headers, with_objects(CAPTURE, language=language))
    assert not (report_of(nothing, CAPTURE).pixel_array == ORANGE).all(axis=2).any()


@pytest.mark.parametrize("language", find_languages())
def test_a_page_with_much_to_say_is_still_whole(case: Case, tmp_path: Path, language: Language) -> None:
    notice = notice_of(case, PAGE, language, reason=TOO_SMALL, package=LONG_PACKAGE)
    text = text_of(notice, tmp_path)
    assert text.count("Maison Œuvre") == 20
    assert notice.SeriesDescription.endswith(" RESEARCH - not analysed")
    assert len(notice.SeriesDescription) <= 64


@pytest.mark.parametrize("language", find_languages())
def test_it_cannot_be_taken_for_nothing_found(case: Case, tmp_path: Path, language: Language) -> None:
    page = notice_of(case, PAGE, language)
    nothing = report_of(
        encode.encode(dataclasses.replace(case.result, findings=()), case.headers, with_objects(PAGE, language=language)), PAGE
    )
    assert page.SeriesDescription != nothing.SeriesDescription
    assert page.DocumentTitle != nothing.DocumentTitle
    texts = text_of(page, tmp_path), notice_of(case, CAPTURE, language).ImageComments
    assert not any(re.search(r"normal|negati|négati|detect|détect|found|trouv", text, re.IGNORECASE) for text in texts)
    assert render_report("notice", language) not in text_of(nothing, tmp_path)


@pytest.mark.parametrize("kind", NOTICES)
def test_nothing_found_is_no_notice_and_a_notice_no_result(case: Case, kind: ObjectKind) -> None:
    nothing = dataclasses.replace(case.result, findings=())
    answer = encode.encode(nothing, case.headers, with_objects(kind))
    notice = encode.encode_refusal(refusal_of(case), case.headers, with_objects(kind))
    assert encode.compare(answer, nothing) is None
    assert isinstance(encode.compare(notice, nothing), ReportMismatch)
    try:
        assert encode.compare_refusal(answer, refusal_of(case)) == ReportMismatch(1)
    except EncodingError:
        assert kind is CAPTURE  # what a notice says in its header is not there at all


def test_the_same_bytes_each_time_and_another_uid_for_another_reason(case: Case) -> None:
    profile = with_objects(*NOTICES)
    first, again = (encode.encode_refusal(refusal_of(case), case.headers, profile) for _ in range(2))
    assert first == again
    document = report_of(first, PAGE).EncapsulatedDocument
    assert re.findall(rb'[A-Za-z]*Date="?([0-9-]*)', document) == [b"2025-01-02"]  # of the images, not of today
    others = encode.encode_refusal(refusal_of(case, Localizer()), case.headers, profile)
    assert len({one.sop_instance_uid for one in (*first, *others)}) == 4


# -- headers of every sort ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NOTICES)
@pytest.mark.parametrize(
    "raw",
    [
        {"PatientName": b"M\xfcller", "SpecificCharacterSet": b""},
        {"SpecificCharacterSet": b"ISO_IR 4711"},
        {"SeriesNumber": b"many"},
        {"StudyDate": b"yesterday ", "PatientSex": b"Male", "SeriesDescription": b"\x1b$B\x00"},
    ],
    ids=["text that cannot be decoded", "a set that nobody knows", "a number that is none", "odd values"],
)
def test_broken_headers(make_case: Callable[..., Case], kind: ObjectKind, raw: dict[str, bytes]) -> None:
    case = make_case(raw=raw)
    for language, package in itertools.product(find_languages(), (PACKAGE, None)):
        assert notice_of(case, kind, language, reason=TOO_SMALL, package=package).SOPClassUID == KINDS[kind].sop_class_uid


@pytest.mark.parametrize("kind", NOTICES)
def test_headers_without_a_place_or_a_frame(case: Case, kind: ObjectKind) -> None:
    """As of images that are none, or whose header breaks off behind its identity."""
    instances = tuple(dataclasses.replace(one, frames=(), rows=0, columns=0, attributes=()) for one in case.headers.instances)
    headers = dataclasses.replace(case.headers, instances=instances)
    result = refused(headers)
    objects = encode.encode_refusal(result, headers, with_objects(kind))
    assert encode.compare_refusal(objects, result) is None
    assert len(objects) == 1


@pytest.mark.parametrize("kind", NOTICES)
def test_images_of_two_patients_are_put_in_nobodys_folder(tmp_path: Path, kind: ObjectKind) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.PatientID = f"P{index % 2}"

    headers = read_headers(make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, change=change), tmp_path)
    assert encode.encode_refusal(refused(headers, MixedPatient("PatientID")), headers, with_objects(kind)) == ()


# -- destinations ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_whoever_takes_anything_that_can_say_it_is_told(case: Case, name: str) -> None:
    """For every profile, whatever classes a destination refuses of it and of what may take its place."""
    wanted, result = PROFILES[name], refusal_of(case)
    classes = encode.find_classes(wanted)
    sayers = {KINDS[kind].sop_class_uid for kind in SAYERS}
    told: dict[tuple[ObjectKind, ...], int] = {}
    for count in range(len(classes) + 1):
        for refused_classes in itertools.combinations(classes, count):
            kinds, _ = encode.step_down(wanted, refused_classes)
            if kinds not in told:
                objects = encode.encode_refusal(result, case.headers, with_objects(*kinds))
                assert encode.compare_refusal(objects, result) is None
                told[kinds] = len(objects)
            if sayers & set(classes) - set(refused_classes):
                assert told[kinds] > 0, (kinds, refused_classes)
    assert len(told) > 5


def test_a_plain_pacs_is_told_three_times(case: Case) -> None:
    """Each of its viewers shows one of them."""
    objects = encode.encode_refusal(refusal_of(case), case.headers, with_objects(*PROFILES["plain-pacs"]))
    assert [one.kind for one in objects] == [ObjectKind.REPORT_COMPREHENSIVE, CAPTURE, PAGE]
    assert len({one.series_instance_uid for one in objects}) == 3


# -- compare -----------------------------------------------------------------------------------------------------------------


def other_title(notice: Dataset) -> None:
    notice.SeriesDescription = "AI lung nodules RESEARCH - pictures"


def other_study(notice: Dataset) -> None:
    notice.StudyInstanceUID = "2.25.1"


def other_reason(image: Dataset) -> None:
    image.ImageComments = image.ImageComments.replace("Not analysed", "Nodule not detected")


def other_model(image: Dataset) -> None:
    image.ImageComments = image.ImageComments.replace("1.2.3", "1.2.4")


def other_derivation(image: Dataset) -> None:
    image.DerivationDescription = render_report("derived-summary", ENGLISH)


def other_language(image: Dataset) -> None:
    image.DerivationDescription = render_report("derived-notice", Language("fr"))


def no_bar(image: Dataset) -> None:
    image.PixelData = image.pixel_array[::-1].tobytes()


def nothing_on_the_bar(image: Dataset) -> None:
    pixels = image.pixel_array.copy()
    pixels[:150] = ORANGE
    image.PixelData = pixels.tobytes()


def swapped_colours(image: Dataset) -> None:
    image.PixelData = image.pixel_array[..., ::-1].tobytes()


def other_rows(image: Dataset) -> None:
    image.Rows += 1


def cut(page: Dataset) -> None:
    page.EncapsulatedDocument = page.EncapsulatedDocument[:-100]


def title_of_a_result(page: Dataset) -> None:
    page.DocumentTitle = "Algorithm result: lung nodules"


def file_of_a_result(page: Dataset) -> None:
    page.EncapsulatedDocument = page.EncapsulatedDocument.replace(b">Not analysed: lung nodules<", b">Found nothing: lung nodule<")


def reason_of_another(page: Dataset) -> None:
    page.EncapsulatedDocument = page.EncapsulatedDocument.replace(b">Not analysed: slices", b">Not analysed: nodule")


BOTH = [other_title, other_study]
OF_IMAGE = [other_reason, other_model, other_derivation, other_language, no_bar, nothing_on_the_bar, swapped_colours, other_rows]
OF_PAGE = [cut, title_of_a_result, file_of_a_result, reason_of_another]


@pytest.mark.parametrize(
    ("kind", "fault"), [*((CAPTURE, fault) for fault in BOTH + OF_IMAGE), *((PAGE, fault) for fault in BOTH + OF_PAGE)]
)
def test_a_fault_is_seen(case: Case, kind: ObjectKind, fault: Callable[[Dataset], None]) -> None:
    result = refusal_of(case)
    objects = encode.encode_refusal(result, case.headers, with_objects(kind))
    assert encode.compare_refusal(spoilt(objects, kind, lambda _: None), result) is None
    broken = spoilt(objects, kind, fault)
    assert broken[0].content != spoilt(objects, kind, lambda _: None)[0].content
    assert encode.compare_refusal(broken, result) == ReportMismatch(1)
    assert encode.compare_refusal(objects, refusal_of(case, TOO_SMALL)) == ReportMismatch(1)


def test_bytes_that_are_no_object_are_an_error_of_ours(case: Case) -> None:
    for kind in NOTICES:
        (one,) = encode.encode_refusal(refusal_of(case), case.headers, with_objects(kind))
        with pytest.raises(EncodingError):
            encode.compare_refusal((dataclasses.replace(one, content=b"nothing of the kind"),), refusal_of(case))
        assert pydicom.dcmread(io.BytesIO(one.content)).SOPInstanceUID == one.sop_instance_uid
