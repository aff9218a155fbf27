"""A BINARY Segmentation on the grid of the source images: one segment for each finding, only frames that hold pixels.

Source: PS3.3 A.51, C.8.20.
"""

import re
from collections.abc import Mapping, Sequence

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, Finding, FrameHeaders, Geometry, Laterality, Role

from .identity import ObjectUids
from .inputs import Inputs
from .titles import LATERALITY, series_description

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def make_segmentation(inputs: Inputs) -> Dataset:
    """The segmentation of a result that has findings, still without what is copied from the images.

    Raises EncodingError where a mask is empty, leaves the grid, or the images have no place in the patient.
    """
    result, profile, uids = inputs.result, inputs.profile, inputs.uids(Role.SEGMENTATION)
    slices, pixels = stack_masks(result)
    stand_ins = [_stand_in(inputs, index) for index in slices]
    segmentation = hd.seg.Segmentation(
        source_images=stand_ins,
        pixel_array=pixels,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(finding, result) for finding in result.findings],
        content_label="AI_SEGMENTATION",
        content_description=series_description(result.package),
        content_creator_name=re.sub(r"[=^]", "_", profile.ae_title) + "^",  # type 2, and dcmqi warns where it is empty
        pixel_measures=_pixel_measures(result.geometry, inputs.frame(0)),
        omit_empty_frames=True,
        **inputs.names(Role.SEGMENTATION),
    )
    _refer_to_sources(segmentation, inputs)
    _name_dimensions(segmentation, uids)
    return segmentation


def stack_masks(result: Analysed) -> tuple[list[int], Pixels]:
    """The slices that hold a finding, and all masks on them.

    Gives indices of slices in ascending order, and an array (slices, rows, columns) of segment numbers where no two masks
    overlap, else (slices, rows, columns, segments) of 0 and 1: the small form for the usual case.
    """
    shape = result.geometry.shape
    if [finding.number for finding in result.findings] != list(range(1, len(result.findings) + 1)):
        raise EncodingError("segment numbers")
    for finding in result.findings:
        origin, size = np.array(finding.mask.origin), np.array(finding.mask.voxels.shape)
        if np.any(origin < 0) or np.any(origin + size > np.array(shape)) or not finding.mask.voxels.any():
            raise EncodingError("mask of a finding")
    slices = sorted({index for finding in result.findings for index in _slices(finding)})
    place = {index: number for number, index in enumerate(slices)}
    labels = np.zeros((len(slices), *shape[1:]), dtype=np.uint16 if len(result.findings) > 255 else np.uint8)
    for finding in result.findings:
        for index in _slices(finding):
            plane, mask = _paste(labels[place[index]], finding), _plane(finding, index)
            if plane[mask].any():
                return slices, _stack_overlapping(result, place)
            plane[mask] = finding.number
    return slices, labels


def _stack_overlapping(result: Analysed, place: Mapping[int, int]) -> Pixels:
    stacked = np.zeros((len(place), *result.geometry.shape[1:], len(result.findings)), dtype=np.uint8)
    for finding in result.findings:
        for index in _slices(finding):
            _paste(stacked[place[index], :, :, finding.number - 1], finding)[_plane(finding, index)] = 1
    return stacked


def _slices(finding: Finding) -> list[int]:
    return [int(index) + finding.mask.origin[0] for index in np.flatnonzero(finding.mask.voxels.any(axis=(1, 2)))]


def _plane(finding: Finding, index: int) -> npt.NDArray[np.bool_]:
    plane: npt.NDArray[np.bool_] = finding.mask.voxels[index - finding.mask.origin[0]]
    return plane


def _paste(plane: npt.NDArray[np.integer], finding: Finding) -> npt.NDArray[np.integer]:
    """The part of a whole plane that a finding's mask covers, as a view."""
    (_, row, column), (_, rows, columns) = finding.mask.origin, finding.mask.voxels.shape
    return plane[row : row + rows, column : column + columns]


def _stand_in(inputs: Inputs, index: int) -> Dataset:
    """One slice as highdicom wants to see its source: a whole header, made from values.

    highdicom takes single-frame images, or one multi-frame image with all its frames; a volume may be some frames of several.
    It reads the patient by name and fails on odd or absent values, so patient and study are left empty and copied later. The
    number of the slice stands in the SOP Instance UID.
    """
    geometry, frame, first = inputs.result.geometry, inputs.frame(index), inputs.frame(0)
    if frame.image_position_patient is None or geometry.frame_of_reference_uid is None:
        raise EncodingError("place of the images in the patient")
    dataset = empty_patient_and_study(inputs.result)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"2.25.{index + 1}"
    dataset.Modality = "CT"
    dataset.FrameOfReferenceUID = geometry.frame_of_reference_uid
    _, dataset.Rows, dataset.Columns = geometry.shape
    dataset.ImagePositionPatient = _decimal_strings(frame.image_position_patient)
    dataset.ImageOrientationPatient = _decimal_strings(first.image_orientation_patient or ())
    dataset.PixelSpacing = _decimal_strings(first.pixel_spacing_mm or ())
    dataset.SliceThickness = _decimal_strings([_thickness_mm(geometry)])[0]
    return dataset


def empty_patient_and_study(result: Analysed) -> Dataset:
    """A header in which all that highdicom asks of patient and study is there and empty."""
    dataset = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "ReferringPhysicianName"):
        setattr(dataset, keyword, "")
    dataset.StudyDate = dataset.StudyTime = None
    dataset.StudyInstanceUID = result.study_instance_uid
    dataset.SeriesInstanceUID = result.series_instance_uid
    return dataset


def _thickness_mm(geometry: Geometry) -> float:
    """Slice Thickness of the source, or the distance between slices: a segment needs some extent along the normal."""
    thickness = geometry.slice_thickness_mm
    return thickness if thickness is not None and thickness > 0 else geometry.spacing_mm[0]


def _pixel_measures(geometry: Geometry, frame: FrameHeaders) -> hd.PixelMeasuresSequence:
    spacing = frame.pixel_spacing_mm or geometry.spacing_mm[1:]
    return hd.PixelMeasuresSequence(
        pixel_spacing=spacing, slice_thickness=_thickness_mm(geometry), spacing_between_slices=geometry.spacing_mm[0]
    )


def _decimal_strings(values: Sequence[float]) -> list[str]:
    """DS of at most 16 characters; the shortest text of a number gives back what the source wrote.

    Source: PS3.5 6.2.
    """
    texts = [repr(float(value)) for value in values]
    return [text if len(text) <= 16 else f"{value:.9e}" for text, value in zip(texts, values, strict=True)]


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


def _refer_to_sources(segmentation: Dataset, inputs: Inputs) -> None:
    """Put the real instances and frames where the stand-ins are named."""
    frames, instances = inputs.result.geometry.frames, inputs.instances
    named = [  # read before any is changed: frames of two segments on one slice share their item
        (reference, int(str(reference.ReferencedSOPInstanceUID).rpartition(".")[2]) - 1)
        for item in segmentation.PerFrameFunctionalGroupsSequence
        for reference in item.DerivationImageSequence[0].SourceImageSequence
    ]
    for reference, index in named:
        source = frames[index]
        instance = instances[source.sop_instance_uid]
        reference.ReferencedSOPClassUID = instance.instance.sop_class_uid
        reference.ReferencedSOPInstanceUID = source.sop_instance_uid
        if len(instance.frames) > 1:
            reference.ReferencedFrameNumber = source.frame_number
    references = []
    for uid, instance in instances.items():
        reference = Dataset()
        reference.ReferencedSOPClassUID = instance.instance.sop_class_uid
        reference.ReferencedSOPInstanceUID = uid
        references.append(reference)
    segmentation.SourceImageSequence = references
    series = Dataset()
    series.SeriesInstanceUID = inputs.result.series_instance_uid
    series.ReferencedInstanceSequence = references
    segmentation.ReferencedSeriesSequence = [series]


def _name_dimensions(segmentation: Dataset, uids: ObjectUids) -> None:
    """highdicom gives the organisation of dimensions a random UID."""
    for item in [*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence]:
        item.DimensionOrganizationUID = uids.dimension_organization
