"""References of a report to its images."""

from collections.abc import Iterator

import highdicom as hd
from highdicom.sr import CodedConcept as Code
from pydicom.sr.codedict import codes

from dicom_node.values import Geometry

from .inputs import Inputs

_CONTEXT = hd.sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS
_SOURCE = Code("260753009", "SCT", "Source")
_PIXELS = Code("{pixels}", "UCUM", "Pixels")
_MODALITIES = {code.value: code for code in codes.cid33.concepts.values()}


def references(inputs: Inputs) -> Iterator[tuple[str, str, list[int] | None]]:
    """SOP class and instance of each source, in slice order, and the frames where only some of its frames are in the volume."""
    used: dict[str, list[int]] = {uid: [] for uid in inputs.instances}
    for frame in inputs.result.geometry.frames:
        used[frame.sop_instance_uid].append(frame.frame_number)
    for uid, headers in inputs.instances.items():
        is_part = len(used[uid]) < len(headers.frames)
        yield headers.instance.sop_class_uid, uid, sorted(used[uid]) if is_part else None


def image_library(inputs: Inputs) -> hd.sr.ContainerContentItem:
    """All sources as one group, with what they share said once.

    Source: PS3.16 TID 1600, 1601, 1602, 1604.
    """
    group = hd.sr.ContainerContentItem(name=codes.DCM.ImageLibraryGroup, relationship_type=_CONTAINS)
    group.ContentSequence = hd.sr.ContentSequence([*_descriptors(inputs.result.geometry, inputs.source.modality), *_entries(inputs)])
    library = hd.sr.ContainerContentItem(name=codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = hd.sr.ContentSequence([group])
    return library


def _entries(inputs: Inputs) -> Iterator[hd.sr.ContentItem]:
    for sop_class_uid, sop_instance_uid, frame_numbers in references(inputs):
        yield hd.sr.ImageContentItem(
            name=_SOURCE,
            referenced_sop_class_uid=sop_class_uid,
            referenced_sop_instance_uid=sop_instance_uid,
            referenced_frame_numbers=frame_numbers,
            relationship_type=_CONTAINS,
        )


def _descriptors(geometry: Geometry, modality: str) -> Iterator[hd.sr.ContentItem]:
    if modality in _MODALITIES:
        yield hd.sr.CodeContentItem(name=codes.DCM.Modality, value=_MODALITIES[modality], relationship_type=_CONTEXT)
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
