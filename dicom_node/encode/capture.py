"""Secondary Captures, RGB: the summary of a result, then a page for each of its pictures; or one notice that there is no result.

What a viewer shows that knows nothing else.

No text of the patient is drawn: a viewer shows that itself, from the header, and pixels are not corrected with it.

Source: PS3.3 A.8.1, C.8.6.1, C.8.6.2, C.7.6.1, C.7.6.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image
from pydicom.dataset import Dataset

from dicom_node.texts import Language, render_report
from dicom_node.values import ObjectKind, Picture

from .captions import sentence_for
from .elements import Elements, Values, sequence_value, tag_of
from .images import references
from .inputs import AnyInputs, Inputs, InputsOfRefusal
from .kinds import KINDS
from .notice import draw_notice
from .plate import draw_plate, find_directions
from .seg import empty_patient_and_study
from .sentences import earlier_sentences, no_result_sentences, sentence_of
from .summary import draw_summary
from .titles import series_description, title_of


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    """An image as it is drawn, what it is, which images it was made from, and where in the patient its rows and columns run to."""

    image: Image.Image
    derivation: str
    sources: tuple[Elements, ...]
    directions: tuple[str, str] = ("", "")


def make_captures(inputs: Inputs, kind: ObjectKind) -> Iterator[tuple[Dataset, Values]]:
    """One instance for each page, in one series, in their order; each with its elements that are encoded already."""
    language, pictures = inputs.profile.language, inputs.result.pictures
    summaries = draw_summary(inputs, len(pictures))
    derivation, sources = render_report("derived-summary", language), _name_all(inputs)
    for number, image in enumerate(summaries, 1):
        yield _make(_Page(image, derivation, sources), inputs, kind, number)
    count = len(summaries) + len(pictures)
    for number, picture in enumerate(pictures, len(summaries) + 1):
        yield _make(_draw(picture, inputs, language, number, count), inputs, kind, number)


def make_notice(inputs: InputsOfRefusal, kind: ObjectKind) -> tuple[Dataset, Values]:
    """One page that says that there is no result, and why; its header says it too, in Image Comments."""
    notice = _Page(draw_notice(inputs), render_report(sentence_of("derived-notice", inputs.result), inputs.language), _name_all(inputs))
    dataset, encoded = _make_image(notice, title_of(inputs.result), inputs, kind, number=1)
    dataset.ImageComments = "\r\n".join([*no_result_sentences(inputs.result, inputs.language), *earlier_sentences(inputs)])
    return dataset, {**encoded, **inputs.source.series("BodyPartExamined", "RequestAttributesSequence")}


def _draw(picture: Picture, inputs: Inputs, language: Language, number: int, count: int) -> _Page:
    geometry = inputs.result.geometry
    slices = {"number": picture.slice_index + 1, "count": len(geometry.frames)}
    return _Page(
        image=draw_plate(inputs, picture, number, count),
        derivation=render_report(sentence_for("derived-picture", geometry), language, **slices),
        sources=(_name_source(inputs, picture.slice_index),),
        directions=find_directions(inputs, picture.slice_index),
    )


def _make(page: _Page, inputs: Inputs, kind: ObjectKind, number: int) -> tuple[Dataset, Values]:
    title = series_description(inputs.result.package, render_report("pictures", inputs.language))
    dataset, encoded = _make_image(page, title, inputs, kind, number)
    copied = {tag: element for tag, element in inputs.source.image.items() if tag != tag_of("PositionReferenceIndicator")}
    return dataset, {**copied, **encoded}


def _make_image(page: _Page, title: str, inputs: AnyInputs, kind: ObjectKind, number: int) -> tuple[Dataset, Values]:
    """What every page has: `title` is its Series Description."""
    names = inputs.names(kind, number)
    dataset = empty_patient_and_study(inputs.result)
    dataset.SOPClassUID, dataset.SOPInstanceUID = KINDS[kind].sop_class_uid, names["sop_instance_uid"]
    dataset.InstanceNumber = number
    dataset.Modality = "OT"
    dataset.SeriesInstanceUID, dataset.SeriesNumber = names["series_instance_uid"], names["series_number"]
    dataset.SeriesDescription = title
    dataset.Manufacturer, dataset.ManufacturerModelName = names["manufacturer"], names["manufacturer_model_name"]
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = names["software_versions"], names["device_serial_number"]
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = page.derivation
    dataset.PatientOrientation = list(page.directions) if all(page.directions) else None
    dataset.BurnedInAnnotation = "NO"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.Columns, dataset.Rows = page.image.size
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    return dataset, {
        tag_of("SourceImageSequence"): ("SQ", sequence_value(page.sources)),
        tag_of("PixelData"): ("OB", page.image.tobytes()),
    }


def _name_all(inputs: AnyInputs) -> tuple[Elements, ...]:
    return tuple(_reference(sop_class_uid, uid, numbers or []) for sop_class_uid, uid, numbers in references(inputs))


def _name_source(inputs: Inputs, index: int) -> Elements:
    """The image that a slice comes from, and its frame where it has several."""
    frame = inputs.result.geometry.frames[index]
    instance = inputs.instances[frame.sop_instance_uid]
    numbers = [frame.frame_number] if len(instance.frames) > 1 else []
    return _reference(instance.instance.sop_class_uid, frame.sop_instance_uid, numbers)


def _reference(sop_class_uid: str, sop_instance_uid: str, frame_numbers: list[int]) -> Elements:
    one: Elements = {
        tag_of("ReferencedSOPClassUID"): ("UI", sop_class_uid.encode()),
        tag_of("ReferencedSOPInstanceUID"): ("UI", sop_instance_uid.encode()),
    }
    if frame_numbers:
        one[tag_of("ReferencedFrameNumber")] = ("IS", "\\".join(map(str, frame_numbers)).encode())
    return one
