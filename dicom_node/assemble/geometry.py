"""What is the geometry of a series? Asked of its headers alone."""

from dataclasses import replace

from dicom_node.values import Geometry, Reason, SeriesHeaders, derive_uid
from dicom_node.values.reasons import (
    ColourImage,
    Localizer,
    MixedFrameOfReference,
    MixedGrid,
    MixedPatient,
    Mosaic,
    TooFew,
)

from .planes import Plane, find_planes
from .projection import PROJECTION_CLASSES, find_projections
from .stack import LEAST_SLICES, find_stacks

# What `Geometry.tolerated` says where each image names a frame of reference of its own, or none does.
FRAME_OF_REFERENCE_PER_SLICE, NO_FRAME_OF_REFERENCE = "frame-of-reference-per-slice", "no-frame-of-reference"

# Image Type's words for several slices as tiles of one image: Siemens, United Imaging.
_MOSAIC_WORDS = {"MOSAIC", "VFRAME"}
_GREY = {"MONOCHROME1", "MONOCHROME2"}


def find_volumes(headers: SeriesHeaders) -> tuple[Geometry | Reason, ...]:
    """Place every voxel of one series in the patient.

    Planes are sorted by the projection of Image Position (Patient) on the normal of Image Orientation (Patient); Instance
    Number, Slice Location, Slice Thickness and the order of arrival change nothing. Gives a Geometry per volume (per image for
    radiographs and mammograms), in the order of what tells the volumes apart, and at least one entry. A series with several
    faults gives the one from which the others follow: damage before identity, identity before kind, kind before place.

    An unreadable instance is the outcome of the whole series: a volume without it would be a silent part. Images that call
    themselves localizers are left out of a series that has others, and `tolerated` says so ("localizer-left-out").

    Source: PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1; C.7.6.16.2 for enhanced objects.
    """
    refusal = _find_refusal(headers)
    if refusal is not None:
        return (refusal,)
    if headers.instances[0].instance.sop_class_uid in PROJECTION_CLASSES:
        return find_projections(headers.instances)
    planes = find_planes(headers.instances)
    if isinstance(planes, Reason):
        return (planes,)
    slices = tuple(plane for plane in planes if not plane.is_localizer)
    if not slices:
        return (Localizer(),)
    frames_of_reference = {plane.frame_of_reference_uid for plane in slices}
    # Some de-identifiers give each image a frame of reference of its own: then it says nothing, and the positions are believed
    # where they make a stack. Two or three in one series are patients who were positioned anew.
    has_one_each = len(frames_of_reference) == len(slices) == len({plane.frame.sop_instance_uid for plane in slices})
    if len(frames_of_reference) > 1 and not has_one_each:
        return (MixedFrameOfReference(count=len(frames_of_reference)),)
    tolerated = _find_tolerated(planes, slices)
    if len(frames_of_reference) > 1:
        tolerated = (*tolerated, FRAME_OF_REFERENCE_PER_SLICE)
    volumes = (_find_mixed_scale(volume, headers) or volume for volume in find_stacks(slices, tolerated=tolerated))
    return tuple(_give_frame_of_reference(volume, headers.series_instance_uid) for volume in volumes)


def _find_mixed_scale(volume: Geometry | Reason, headers: SeriesHeaders) -> MixedGrid | None:
    """Whether some images of a volume are rescaled and others not: their values are not on one scale.

    Asked of classic images, in which rescale stands at the outermost level; CT that lacks it is unreadable before.
    """
    if isinstance(volume, Reason):
        return None
    used = {frame.sop_instance_uid for frame in volume.frames}
    for keyword in ("RescaleIntercept", "RescaleSlope"):
        if len({one.attribute(keyword) == () for one in headers.instances if one.instance.sop_instance_uid in used}) > 1:
            return MixedGrid(attribute=keyword)
    return None


def _give_frame_of_reference(volume: Geometry | Reason, series_instance_uid: str) -> Geometry | Reason:
    """A volume whose images name no frame of reference gets one of its own: what is made of it needs one to lie in.

    Positions within a series are comparable all the same; `tolerated` says so ("no-frame-of-reference"). PS3.3 C.7.4.1.
    """
    if isinstance(volume, Reason) or volume.frame_of_reference_uid is not None:
        return volume
    return replace(
        volume,
        frame_of_reference_uid=derive_uid("frame-of-reference", series_instance_uid),
        tolerated=(*volume.tolerated, NO_FRAME_OF_REFERENCE),
    )


def _find_refusal(headers: SeriesHeaders) -> Reason | None:
    """What makes a series no volume before any position is looked at."""
    if headers.unreadable:
        return min(headers.unreadable, key=lambda entry: entry[0])[1]
    if not headers.instances:
        return TooFew(slices=0, wanted=LEAST_SLICES)
    mixed = _find_mixed_identity(headers)
    if mixed is not None:
        return mixed
    # The values of a stack mean one thing; a radiograph is a volume by itself, and may lie beside one for processing.
    classes = {one.instance.sop_class_uid for one in headers.instances}
    if not classes <= PROJECTION_CLASSES:
        if len(classes) > 1:
            return MixedGrid(attribute="SOPClassUID")
        if len({one.attribute("Modality") for one in headers.instances}) > 1:
            return MixedGrid(attribute="Modality")
    if any(one.samples_per_pixel != 1 or one.photometric_interpretation not in _GREY for one in headers.instances):
        return ColourImage()
    if any(_MOSAIC_WORDS & set(frame.image_type) for one in headers.instances for frame in one.frames):
        return Mosaic()
    return None


def _find_mixed_identity(headers: SeriesHeaders) -> MixedPatient | None:
    if any(one.study_instance_uid != headers.study_instance_uid for one in headers.instances):
        return MixedPatient(attribute="StudyInstanceUID")
    if len({one.patient_identity for one in headers.instances}) > 1:
        # Headers give the identity as one digest, so that nobody reads it by chance: which part differs is not known here.
        return MixedPatient(attribute="PatientID / IssuerOfPatientID / PatientName")
    return None


def _find_tolerated(planes: tuple[Plane, ...], slices: tuple[Plane, ...]) -> tuple[str, ...]:
    return ("localizer-left-out",) if len(slices) < len(planes) else ()
