"""Headers of stored instances as values. What cannot be read is a reason beside them; nothing is raised for what a file holds."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dicom_node.errors import SpoolFailed
from dicom_node.values import CompletenessRule, InstanceHeaders, InstanceRef, Reason, SeriesHeaders, derive_digest
from dicom_node.values.reasons import (
    IllegalValue,
    MadeByAlgorithm,
    MissingAttribute,
    NoPixels,
    NotAnImage,
    TransferSyntaxNotSupported,
    Unreadable,
)

from .attributes import read_attributes
from .elements import PIXELS, End, Syntax, Walk, walk
from .frames import read_frames
from .header import Header, Illegal, name_tag, parse_integer
from .identity import prefixes
from .refusal import Refusal, whole_number
from .usable import IMAGE_CLASSES, TRANSFER_SYNTAXES, name_of

_RESULT_MODALITIES = ("SEG", "SR", "PR", "KO", "RWV")
_OWN_NAME = "dicom-node"
_ALGORITHM = "processing algorithm"  # the purpose of AI's own item in Contributing Equipment (IHE AIR 6.5.3.1), by its meaning


def read_headers(
    root: Path,
    instances: Sequence[InstanceRef],
    series_instance_uid: str,
    study_instance_uid: str,
    rule: CompletenessRule,
    *,
    read: Callable[[Path, InstanceRef], InstanceHeaders | Reason] | None = None,
) -> SeriesHeaders:
    """The headers of a series' instances, from the files under `root`; `read` gives one of them, by default `read_instance`.

    Instances are sorted by SOP Instance UID; one that cannot be read stands in `unreadable` with Unreadable, IllegalValue,
    MissingAttribute, NotAnImage, MadeByAlgorithm, NoPixels or TransferSyntaxNotSupported. Whether the images fit together is
    asked in `assemble`. Raises SpoolFailed where a file is gone or the disk does not give it.
    """
    readable: list[InstanceHeaders] = []
    unreadable: list[tuple[str, Reason]] = []
    for instance in sorted(instances, key=lambda instance: (instance.sop_instance_uid, instance.digest)):
        headers = (read or read_instance)(root, instance)
        if isinstance(headers, Reason):
            unreadable.append((instance.sop_instance_uid, headers))
        else:
            readable.append(headers)
    return SeriesHeaders(series_instance_uid, study_instance_uid, tuple(readable), tuple(unreadable), rule)


def read_instance(root: Path, instance: InstanceRef) -> InstanceHeaders | Reason:
    """The header of one instance, or why it is none of an image that a model can use."""
    if instance.sop_class_uid not in IMAGE_CLASSES:
        return NotAnImage(name_of(instance.sop_class_uid))
    if instance.transfer_syntax_uid not in TRANSFER_SYNTAXES:
        return TransferSyntaxNotSupported(name_of(instance.transfer_syntax_uid))
    data, found = _walk_file(root, instance)
    header = Header(data, Syntax.of(instance.transfer_syntax_uid), found.elements)
    if found.end is End.BROKEN:
        return Unreadable(name_tag(found.last))
    evidence = _find_algorithm(header)
    if evidence is not None:
        return MadeByAlgorithm(evidence)
    if found.end is End.FINISHED or found.last not in PIXELS or instance.length <= 0:
        return NoPixels()
    if not _has_pixel_bytes(data, found, header.syntax):
        return NoPixels()
    try:
        return _read_image(instance, header, data[: found.position])
    except Refusal as refusal:
        return refusal.reason


def _walk_file(root: Path, instance: InstanceRef) -> tuple[bytes, Walk]:
    """The start of the data set that holds its header, and the walk over it; reads on as long as the header goes on."""
    syntax = Syntax.of(instance.transfer_syntax_uid)
    data, found = b"", Walk({}, 0, End.FINISHED, 0)
    try:
        with open(root / instance.file, "rb") as file:
            for data, is_all in prefixes(file, instance.offset, instance.length, instance.transfer_syntax_uid):
                found = walk(data, syntax, is_whole=is_all)
                # a few bytes more than the header, so that the length of the pixel data is among them
                if is_all or (found.end is End.REACHED and found.position + 12 <= len(data)):
                    break
    except OSError as cause:
        raise SpoolFailed(cause.errno or 0) from cause
    return data, found


def _has_pixel_bytes(data: bytes, found: Walk, syntax: Syntax) -> bool:
    at = found.position + (8 if syntax.explicit else 4)
    return any(data[at : at + 4])


def _find_algorithm(header: Header) -> str | None:
    """The attribute that says that software made the image from others, as results are made; None where none does."""
    if header.text("Modality") in _RESULT_MODALITIES:
        return "Modality"
    for keyword in ("ManufacturerModelName", "Manufacturer"):
        if _OWN_NAME in header.text(keyword).lower():
            return keyword
    is_derived = header.text("ImageType") == "DERIVED"
    for equipment in header.items("ContributingEquipmentSequence"):
        if any(_OWN_NAME in equipment.text(keyword).lower() for keyword in ("ManufacturerModelName", "Manufacturer")):
            return "ContributingEquipmentSequence"
        purposes = {purpose.text("CodeMeaning").lower() for purpose in equipment.items("PurposeOfReferenceCodeSequence")}
        if is_derived and _ALGORITHM in purposes:
            return "ContributingEquipmentSequence"
    return None


def _read_image(instance: InstanceRef, header: Header, data_set: bytes) -> InstanceHeaders:
    """The values of an image; raises Refusal with the reason where one that is needed is absent or illegal."""
    encodings = header.encodings()
    instance_number = parse_integer(header.text("InstanceNumber"))

    def needed(keyword: str) -> int:
        value = whole_number(header, keyword, instance_number)
        if value is None:
            raise Refusal(MissingAttribute(keyword))
        return value

    rows, columns, bits_allocated = needed("Rows"), needed("Columns"), needed("BitsAllocated")
    for keyword, value in (("Rows", rows), ("Columns", columns), ("BitsAllocated", bits_allocated)):
        if value <= 0:
            raise Refusal(IllegalValue(keyword, instance_number))
    pixel_representation = needed("PixelRepresentation")
    if pixel_representation not in (0, 1):
        raise Refusal(IllegalValue("PixelRepresentation", instance_number))
    samples_per_pixel = whole_number(header, "SamplesPerPixel", instance_number)
    bits_stored = whole_number(header, "BitsStored", instance_number) or bits_allocated
    if bits_stored > bits_allocated:
        raise Refusal(IllegalValue("BitsStored", instance_number))
    return InstanceHeaders(
        instance=instance,
        frames=read_frames(header, instance_number, encodings),
        rows=rows,
        columns=columns,
        samples_per_pixel=1 if samples_per_pixel is None else samples_per_pixel,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        pixel_representation=pixel_representation,
        photometric_interpretation=header.text("PhotometricInterpretation"),
        pixel_padding_value=_padding(header, "PixelPaddingValue", pixel_representation, instance_number),
        pixel_padding_range_limit=_padding(header, "PixelPaddingRangeLimit", pixel_representation, instance_number),
        frame_of_reference_uid=header.text("FrameOfReferenceUID") or None,
        series_instance_uid=header.text("SeriesInstanceUID"),
        study_instance_uid=header.text("StudyInstanceUID"),
        patient_identity=_identify_patient(header, encodings),
        attributes=read_attributes(header, encodings),
        data_set=data_set,
    )


def _padding(header: Header, keyword: str, pixel_representation: int, instance_number: int | None) -> int | None:
    """A value of the pixels' own type (PS3.3 C.7.5.1.1.2): its sign comes from Pixel Representation, whatever VR was written."""
    value = header.numbers(keyword)
    if value is None:
        return None
    if isinstance(value, Illegal) or len(value) != 1 or not float(value[0]).is_integer():
        raise Refusal(IllegalValue(keyword, instance_number))
    number = int(value[0])
    if not -(1 << 15) <= number < 1 << 16:
        raise Refusal(IllegalValue(keyword, instance_number))
    number &= 0xFFFF
    return number - (1 << 16) if pixel_representation == 1 and number >= 1 << 15 else number


def _identify_patient(header: Header, encodings: tuple[str, ...]) -> str:
    """A digest that differs where ID, issuer, name or study differ; from it nobody reads who it is without knowing it before."""
    keywords = ("PatientID", "IssuerOfPatientID", "PatientName", "StudyInstanceUID")
    return derive_digest(*("\\".join(header.texts(keyword, encodings)) for keyword in keywords))
