"""A BINARY or LABELMAP Segmentation on the grid of the source images: one segment for each finding, only frames that hold pixels.

Source: PS3.3 A.51, C.8.20.
"""

from collections.abc import Iterator, Sequence

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.spatial import get_volume_positions
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage
from pydicom.valuerep import format_number_as_ds

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, Finding, FrameHeaders, Geometry, Laterality, NotAnalysed, ObjectKind

from .elements import Elements, Values, sequence_value, tag_of
from .frames import FrameItems, count_frames, describe_frames, do_overlap, find_slices, pack_frames
from .identity import ObjectUids
from .inputs import AnyInputs, Inputs
from .label_map import count_planes, describe_planes, pack_labels
from .meanings import translate
from .titles import LATERALITY, content_creator, series_description

_TYPES = {
    ObjectKind.SEGMENTATION: hd.seg.SegmentationTypeValues.BINARY,
    ObjectKind.LABEL_MAP: hd.seg.SegmentationTypeValues.LABELMAP,
}


def make_segmentations(inputs: Inputs, kind: ObjectKind) -> Iterator[tuple[Dataset, Values]]:
    """The segmentations of a result that has findings, in one series: one, unless the profile wants such of few frames."""
    for number, part in enumerate(inputs.parts(), 1):
        yield _make_segmentation(part, kind, number)


def _make_segmentation(inputs: Inputs, kind: ObjectKind, number: int) -> tuple[Dataset, Values]:
    """A segmentation, and its elements that are encoded already: Pixel Data, what lies with each frame, and what is copied from the
    images.

    highdicom makes it for one slice, with one pixel for each segment; frames and references to the images take their places
    (tests/encode/test_frames.py shows that it would make the same of all). Raises EncodingError where a mask is empty, leaves the
    grid, overlaps another one in a label map, or the images have no place in the patient.
    """
    geometry, is_label_map = inputs.result.geometry, kind is ObjectKind.LABEL_MAP
    segments = find_slices(inputs.result.findings, geometry.shape)
    slices = sorted({index for segment in segments for index in segment.slices})
    count = count_planes(segments, geometry.shape) if is_label_map else count_frames(segments, geometry.shape)
    segmentation = _make_small(inputs, kind, number, slices[0])
    translate(segmentation, inputs.language)
    (example, *_) = segmentation.PerFrameFunctionalGroupsSequence
    del segmentation.PerFrameFunctionalGroupsSequence, segmentation.PixelData
    _, segmentation.Rows, segmentation.Columns = geometry.shape
    segmentation.NumberOfFrames = count
    segmentation.SegmentsOverlap = "YES" if not is_label_map and do_overlap(segments, geometry.shape) else "NO"
    positions = {index: position_of(inputs, index) for index in slices}
    if (is_label_map or len(segments) == 1) and lie_evenly(list(positions.values()), inputs.frame(0)):
        segmentation.DimensionOrganizationType = "3D"
    name_dimensions(segmentation, inputs.uids(kind))
    sources = {index: source_of(inputs, index) for index in slices}
    items = FrameItems.of(example, sources, {index: "\\".join(position).encode() for index, position in positions.items()})
    if is_label_map:
        described, pixels = describe_planes(slices[::-1], items), pack_labels(segments, slices[::-1], geometry.shape)
    else:
        described, pixels = describe_frames(segments, items), ("OB", pack_frames(segments, geometry.shape))
    return segmentation, {
        **inputs.source.image,
        **references_to_all(inputs),
        tag_of("PerFrameFunctionalGroupsSequence"): ("SQ", described),
        tag_of("PixelData"): pixels,
    }


def _make_small(inputs: Inputs, kind: ObjectKind, number: int, index: int) -> Dataset:
    """A segmentation of one slice of one row, in which each segment has one pixel."""
    count = len(inputs.result.findings)
    pixels = np.arange(1, count + 1, dtype=np.uint16).reshape(1, 1, count)
    return _make(inputs, kind, [stand_in(inputs, index, columns=count)], pixels, number)


def _make(inputs: Inputs, kind: ObjectKind, sources: Sequence[Dataset], pixels: npt.NDArray[np.integer], number: int = 1) -> Dataset:
    """What highdicom makes of stand-ins and the pixels on them, as the instance of this number."""
    result, profile = inputs.result, inputs.profile
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=_TYPES[kind],
        segment_descriptions=[_segment(finding, result) for finding in result.findings],
        content_label="AI_SEGMENTATION",
        content_description=series_description(result.package),
        content_creator_name=content_creator(profile.ae_title),  # type 2, and dcmqi warns where it is empty
        omit_empty_frames=True,
        **inputs.names(kind, number),
    )


def lie_evenly(positions: Sequence[Sequence[str]], first: FrameHeaders) -> bool:
    """Whether frames, which differ by their place alone, lie evenly along the normal (PS3.3 C.7.6.17.3)."""
    if len(positions) == 1:
        return False
    places = [[float(part) for part in position] for position in positions]
    spacing, _ = get_volume_positions(image_positions=places, image_orientation=first.image_orientation_patient or (), sort=False)
    return spacing is not None and spacing > 0


def position_of(inputs: Inputs, index: int) -> list[str]:
    """Image Position (Patient) of a slice as DS."""
    position = inputs.frame(index).image_position_patient
    if position is None:
        raise EncodingError("place of the images in the patient")
    return decimal_strings(position)


def stand_in(inputs: Inputs, index: int, columns: int) -> Dataset:
    """One slice as highdicom wants to see its source: a whole header, made from values.

    highdicom reads the patient by name and fails on odd or absent values, so patient and study are left empty and copied later.
    """
    geometry, first = inputs.result.geometry, inputs.frame(0)
    if geometry.frame_of_reference_uid is None:
        raise EncodingError("place of the images in the patient")
    dataset = empty_patient_and_study(inputs.result)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = "2.25.1"
    dataset.Modality = "CT"
    dataset.FrameOfReferenceUID = geometry.frame_of_reference_uid
    dataset.Rows, dataset.Columns = 1, columns
    dataset.ImagePositionPatient = position_of(inputs, index)
    dataset.ImageOrientationPatient = decimal_strings(first.image_orientation_patient or ())
    dataset.PixelSpacing = decimal_strings(first.pixel_spacing_mm or geometry.spacing_mm[1:])
    (dataset.SliceThickness,) = decimal_strings([thickness_mm(geometry)])
    # of the volume: highdicom would take the distance between the slices that hold a finding, or 1 mm where there is one alone
    (dataset.SpacingBetweenSlices,) = decimal_strings([geometry.spacing_mm[0]])
    return dataset


def empty_patient_and_study(result: Analysed | NotAnalysed) -> Dataset:
    """A header in which all that highdicom asks of patient and study is there and empty."""
    dataset = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        setattr(dataset, keyword, "")
    dataset.StudyDate = dataset.StudyTime = None
    dataset.StudyInstanceUID = result.study_instance_uid
    dataset.SeriesInstanceUID = result.series_instance_uid
    return dataset


def thickness_mm(geometry: Geometry) -> float:
    """Slice Thickness of the source, or the distance between slices: a segment needs some extent along the normal."""
    thickness = geometry.slice_thickness_mm
    return thickness if thickness is not None and thickness > 0 else geometry.spacing_mm[0]


def decimal_strings(values: Sequence[float]) -> list[str]:
    """DS of at most 16 characters, with as many digits as these hold.

    The shortest text of a number gives back what the source wrote, which may have done without the zero before the point.
    Source: PS3.5 6.2.
    """
    return [_decimal_string(float(value)) for value in values]


def _decimal_string(value: float) -> str:
    text = repr(value)
    if len(text) > 16 and abs(value) < 1:
        text = text.replace("0.", ".", 1)
    return text if len(text) <= 16 else format_number_as_ds(value)


def _segment(finding: Finding, result: Analysed) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=finding.number,
        segment_label=finding.label[:64],
        segmented_property_category=Code(finding.category.value, finding.category.scheme, finding.category.meaning),
        segmented_property_type=Code(finding.type.value, finding.type.scheme, finding.type.meaning),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=result.package.name,
            version=result.package.version,
            family=codes.cid7162.ArtificialIntelligence,
            source=result.package.manufacturer,
        ),
        tracking_id=finding.tracking_identifier,
        tracking_uid=finding.tracking_uid,
        anatomic_regions=[_region(finding)] if finding.site is not None else None,
        display_color=hd.color.CIELabColor.from_rgb(*finding.colour_rgb),
    )


def _region(finding: Finding) -> Code:
    assert finding.site is not None
    region = Code(finding.site.value, finding.site.scheme, finding.site.meaning)
    if finding.laterality is not None:
        region.AnatomicRegionModifierSequence = [_side(finding.laterality)]
    return region


def _side(laterality: Laterality) -> Code:
    side = LATERALITY[laterality]
    return Code(side.value, side.scheme, side.meaning)


def source_of(inputs: Inputs, index: int) -> Elements:
    """The image, and its frame where it has several, that a slice comes from."""
    frame = inputs.result.geometry.frames[index]
    source = reference_to(inputs, frame.sop_instance_uid)
    if len(inputs.instances[frame.sop_instance_uid].frames) > 1:
        source[tag_of("ReferencedFrameNumber")] = ("IS", str(frame.frame_number).encode())
    return source


def references_to_all(inputs: Inputs) -> Elements:
    """All images of the volume, in the two places where a reader looks for them (PS3.3 C.7.6.1, C.12.2)."""
    instances = sequence_value([reference_to(inputs, uid) for uid in inputs.instances])
    series: Elements = {
        tag_of("SeriesInstanceUID"): ("UI", inputs.result.series_instance_uid.encode()),
        tag_of("ReferencedInstanceSequence"): ("SQ", instances),
    }
    return {tag_of("SourceImageSequence"): ("SQ", instances), tag_of("ReferencedSeriesSequence"): ("SQ", sequence_value([series]))}


def reference_to(inputs: AnyInputs, sop_instance_uid: str) -> Elements:
    """A source instance by its SOP class and instance."""
    sop_class_uid = inputs.instances[sop_instance_uid].instance.sop_class_uid
    return {
        tag_of("ReferencedSOPClassUID"): ("UI", sop_class_uid.encode()),
        tag_of("ReferencedSOPInstanceUID"): ("UI", sop_instance_uid.encode()),
    }


def name_dimensions(segmentation: Dataset, uids: ObjectUids) -> None:
    """highdicom gives the organisation of dimensions a random UID."""
    for item in [*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence]:
        item.DimensionOrganizationUID = uids.dimension_organization
