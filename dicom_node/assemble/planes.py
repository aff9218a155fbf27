"""Which planes do the instances of a series hold, classic or enhanced, and where does each lie?"""

import math
from dataclasses import dataclass

from dicom_node.values import FrameHeaders, FrameRef, InstanceHeaders, Reason
from dicom_node.values.reasons import IllegalValue, MissingAttribute

Vector = tuple[float, float, float]

# How far a direction cosine may be from a unit vector at a right angle to its partner before it means nothing.
_COSINE_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice, with everything that a volume needs of its header present and legal.

    `position_lps` is the centre of the first voxel in mm; `pixel_spacing_mm` is (between rows, between columns); `dimensions`
    are what may tell several volumes of the series apart.
    """

    frame: FrameRef
    position_lps: Vector
    row_cosine: Vector
    column_cosine: Vector
    pixel_spacing_mm: tuple[float, float]
    rows: int
    columns: int
    photometric_interpretation: str
    slice_thickness_mm: float | None
    dimensions: tuple[tuple[str, str], ...]
    frame_of_reference_uid: str | None
    is_localizer: bool
    is_multi_frame: bool


def find_planes(instances: tuple[InstanceHeaders, ...]) -> tuple[Plane, ...] | Reason:
    """All frames of all instances as planes; or MissingAttribute or IllegalValue of the first one that has no place.

    A localizer's place is not looked at: it is in no volume, so what its header lacks is nobody's loss.
    """
    planes = []
    for headers in instances:
        for frame in headers.frames:
            plane = _find_plane(headers, frame)
            if isinstance(plane, Reason):
                return plane
            planes.append(plane)
    return tuple(planes)


def _find_plane(headers: InstanceHeaders, frame: FrameHeaders) -> Plane | Reason:
    is_localizer = "LOCALIZER" in frame.image_type
    position, orientation, spacing = frame.image_position_patient, frame.image_orientation_patient, frame.pixel_spacing_mm
    if is_localizer:
        position, orientation, spacing = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (1.0, 1.0)
    if position is None:
        return MissingAttribute(attribute="ImagePositionPatient")
    if orientation is None:
        return MissingAttribute(attribute="ImageOrientationPatient")
    if spacing is None:
        return MissingAttribute(attribute="PixelSpacing")
    row, column = orientation[:3], orientation[3:]
    illegal = _find_illegal(position, row, column, spacing, (frame.rescale_slope, frame.rescale_intercept))
    if illegal is not None:
        return IllegalValue(attribute=illegal, instance_number=instance_number(headers))
    return Plane(
        frame=FrameRef(headers.instance.sop_instance_uid, frame.frame_number),
        position_lps=position,
        row_cosine=row,
        column_cosine=column,
        pixel_spacing_mm=spacing,
        rows=headers.rows,
        columns=headers.columns,
        photometric_interpretation=headers.photometric_interpretation,
        slice_thickness_mm=frame.slice_thickness_mm,
        dimensions=frame.dimensions,
        frame_of_reference_uid=headers.frame_of_reference_uid,
        is_localizer=is_localizer,
        is_multi_frame=len(headers.frames) > 1,
    )


def _find_illegal(position: Vector, row: Vector, column: Vector, spacing: tuple[float, float], rescale: tuple[float, float]) -> str | None:
    """The keyword of the attribute whose numbers cannot be, or None."""
    if not all(math.isfinite(value) for value in position):
        return "ImagePositionPatient"
    lengths = (math.hypot(*row), math.hypot(*column), 1.0 + sum(a * b for a, b in zip(row, column, strict=True)))
    if not all(abs(length - 1.0) <= _COSINE_TOLERANCE for length in lengths):
        return "ImageOrientationPatient"
    if not all(math.isfinite(value) and value > 0.0 for value in spacing):
        return "PixelSpacing"
    if not math.isfinite(rescale[0]) or rescale[0] == 0.0:
        return "RescaleSlope"
    if not math.isfinite(rescale[1]):
        return "RescaleIntercept"
    return None


def instance_number(headers: InstanceHeaders) -> int | None:
    """Instance Number (0020,0013), where there is a legal one: for people, never for order."""
    text = next(iter(headers.attribute("InstanceNumber")), "").strip()
    return int(text) if text.lstrip("+-").isdecimal() else None
