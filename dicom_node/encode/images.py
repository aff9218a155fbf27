"""References of a report to its images.

highdicom makes the report with the first image alone; here all of them take its place wherever it is named, as bytes: each of some
hundred images is a tree of its own to highdicom, which it copies and walks several times.
"""

from collections.abc import Iterator, Sequence

import highdicom as hd
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.values import Geometry

from .elements import Elements, encode_around, encode_element, encode_item, read_elements, sequence_value, tag_of
from .inputs import AnyInputs, Inputs
from .words import Words

_CONTEXT = hd.sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS
_SOURCE = Code("260753009", "SCT", "Source")
_PIXELS = Code("{pixels}", "UCUM", "Pixels")
_MODALITIES = {code.value: code for code in codes.cid33.concepts.values()}


Reference = tuple[str, str, list[int] | None]  # SOP class and instance, and the frames where not all are meant


def references(inputs: AnyInputs) -> Iterator[Reference]:
    """Each source, in slice order, with its frames where only some of them are in the volume."""
    used: dict[str, set[int]] = {uid: {frame.frame_number for frame in headers.frames} for uid, headers in inputs.instances.items()}
    if isinstance(inputs, Inputs):
        used = {uid: set() for uid in inputs.instances}
        for frame in inputs.result.geometry.frames:
            used[frame.sop_instance_uid].add(frame.frame_number)
    for uid, headers in inputs.instances.items():
        is_part = len(used[uid]) < len(headers.frames)
        yield headers.instance.sop_class_uid, uid, sorted(used[uid]) if is_part else None


def reference_of_slice(inputs: Inputs, index: int) -> Reference:
    """The image that a slice comes from, with its frame where it has several."""
    frame = inputs.result.geometry.frames[index]
    headers = inputs.instances[frame.sop_instance_uid]
    return headers.instance.sop_class_uid, frame.sop_instance_uid, [frame.frame_number] if len(headers.frames) > 1 else None


def image_library(inputs: AnyInputs) -> hd.sr.ContainerContentItem:
    """All sources as one group, with what they share said once.

    Source: PS3.16 TID 1600, 1601, 1602, 1604.
    """
    group = hd.sr.ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
    group.ContentSequence = hd.sr.ContentSequence([*_descriptors(inputs), *_entries(inputs)])
    library = hd.sr.ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = hd.sr.ContentSequence([group])
    return library


def _entries(inputs: AnyInputs) -> Iterator[hd.sr.ContentItem]:
    for sop_class_uid, sop_instance_uid, frame_numbers in references(inputs):
        yield hd.sr.ImageContentItem(
            name=_SOURCE,
            referenced_sop_class_uid=sop_class_uid,
            referenced_sop_instance_uid=sop_instance_uid,
            referenced_frame_numbers=frame_numbers,
            relationship_type=_CONTAINS,
        )


def _descriptors(inputs: AnyInputs) -> Iterator[hd.sr.ContentItem]:
    if inputs.source.modality in _MODALITIES:
        yield hd.sr.CodeContentItem(name=codes.DCM.Modality, value=_MODALITIES[inputs.source.modality], relationship_type=_CONTEXT)
    if isinstance(inputs, Inputs):
        yield from _describe_grid(inputs.result.geometry)


def _describe_grid(geometry: Geometry) -> Iterator[hd.sr.ContentItem]:
    if geometry.frame_of_reference_uid is not None:
        yield hd.sr.UIDRefContentItem(name=codes.DCM.FrameOfReferenceUID, value=geometry.frame_of_reference_uid, relationship_type=_CONTEXT)
    _, rows, columns = geometry.shape
    slices_mm, rows_mm, columns_mm = geometry.spacing_mm
    yield _number(codes.DCM.PixelDataRows, rows, _PIXELS)
    yield _number(codes.DCM.PixelDataColumns, columns, _PIXELS)
    if geometry.lps_from_index is None:
        return
    yield _number(codes.DCM.HorizontalPixelSpacing, columns_mm, codes.UCUM.Millimeter)
    yield _number(codes.DCM.VerticalPixelSpacing, rows_mm, codes.UCUM.Millimeter)
    yield _number(codes.DCM.SpacingBetweenSlices, slices_mm, codes.UCUM.Millimeter)
    if geometry.slice_thickness_mm is not None:
        yield _number(codes.DCM.SliceThickness, geometry.slice_thickness_mm, codes.UCUM.Millimeter)


def _number(name: Code, value: float, unit: Code) -> hd.sr.NumContentItem:
    return hd.sr.NumContentItem(name=name, value=value, unit=unit, relationship_type=_CONTEXT)


def encode_content(items: Sequence[Dataset], inputs: AnyInputs, words: Words) -> bytes:
    """Content items and what they contain, in which all images are named where the first one is."""
    (_, first, _), *_ = references(inputs)
    tag, encoded = tag_of("ReferencedSOPSequence"), list[bytes]()
    for item in items:
        elements = read_elements(item, words.encoding, without="ContentSequence")
        if "ContentSequence" in item:
            elements[tag_of("ContentSequence")] = ("SQ", encode_content(item.ContentSequence, inputs, words))
        if "ReferencedSOPSequence" in item and item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first:
            before, behind = encode_around(elements, tag)
            encoded += [encode_item(before + encode_element(tag, "SQ", sequence_value([one])) + behind) for one in _name_images(inputs)]
        else:
            encoded.append(sequence_value([elements]))
    return b"".join(encoded)


def encode_evidence(studies: Sequence[Dataset], inputs: AnyInputs, words: Words) -> bytes:
    """Items of Current Requested Procedure Evidence Sequence (0040,A375), with all images in the series of the first one."""
    images = [{tag: value for tag, value in one.items() if tag != tag_of("ReferencedFrameNumber")} for one in _name_images(inputs)]
    encoded = []
    for study in studies:
        all_series = []
        for series in study.ReferencedSeriesSequence:
            elements = read_elements(series, words.encoding)
            if series.SeriesInstanceUID == inputs.result.series_instance_uid:
                elements[tag_of("ReferencedSOPSequence")] = ("SQ", sequence_value(images))
            all_series.append(elements)
        whole = read_elements(study, words.encoding) | {tag_of("ReferencedSeriesSequence"): ("SQ", sequence_value(all_series))}
        encoded.append(sequence_value([whole]))
    return b"".join(encoded)


def _name_images(inputs: AnyInputs) -> list[Elements]:
    """A reference to each image."""
    return [encode_reference(one) for one in references(inputs)]


def encode_reference(reference: Reference) -> Elements:
    """An item of Referenced SOP Sequence (0008,1199)."""
    sop_class_uid, sop_instance_uid, frame_numbers = reference
    one: Elements = {
        tag_of("ReferencedSOPClassUID"): ("UI", sop_class_uid.encode()),
        tag_of("ReferencedSOPInstanceUID"): ("UI", sop_instance_uid.encode()),
    }
    if frame_numbers is not None:
        one[tag_of("ReferencedFrameNumber")] = ("IS", "\\".join(map(str, frame_numbers)).encode())
    return one
