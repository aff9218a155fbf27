"""Series headers made by hand, for questions that no pixel is needed for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dicom_node.values import CompletenessRule, FrameHeaders, InstanceHeaders, InstanceRef, SeriesHeaders, derive_digest, derive_uid
from tests.make.series import AXIAL, Orientation

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


def frame_at(position: npt.ArrayLike | None, *, orientation: Orientation | None = AXIAL, number: int = 1, **changes: Any) -> FrameHeaders:
    """The header of one frame at a position in LPS mm."""
    fields: dict[str, Any] = {
        "frame_number": number,
        "image_position_patient": None if position is None else tuple(float(value) for value in np.asarray(position)),
        "image_orientation_patient": orientation,
        "pixel_spacing_mm": (0.7, 0.6),
        "slice_thickness_mm": 2.0,
        "rescale_slope": 1.0,
        "rescale_intercept": -1024.0,
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "dimensions": (),
    }
    return FrameHeaders(**(fields | changes))


def instance_of(
    frames: FrameHeaders | Sequence[FrameHeaders], *, number: int, sop_class_uid: str = CT_IMAGE, **changes: Any
) -> InstanceHeaders:
    """An instance with these frames, Instance Number `number`."""
    uid = derive_uid("made", str(number), str(changes.pop("salt", "")))
    fields: dict[str, Any] = {
        "instance": InstanceRef(uid, sop_class_uid, "1.2.840.10008.1.2.1", derive_digest(uid), "x.dcm", 0, 0),
        "frames": (frames,) if isinstance(frames, FrameHeaders) else tuple(frames),
        "rows": 16,
        "columns": 20,
        "samples_per_pixel": 1,
        "bits_allocated": 16,
        "bits_stored": 12,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_padding_value": None,
        "pixel_padding_range_limit": None,
        "frame_of_reference_uid": "1.2.3",
        "series_instance_uid": "1.2.4",
        "study_instance_uid": "1.2.5",
        "patient_identity": "somebody",
        "attributes": (("InstanceNumber", (str(number),)), ("Modality", ("CT",))),
        "data_set": b"",
    }
    return InstanceHeaders(**(fields | changes))


def series_of(instances: Sequence[InstanceHeaders], **changes: Any) -> SeriesHeaders:
    """A series as the spool gives it: sorted by SOP Instance UID."""
    ordered = tuple(sorted(instances, key=lambda one: one.instance.sop_instance_uid))
    fields: dict[str, Any] = {"unreadable": (), "rule": CompletenessRule.OPERATOR}
    return SeriesHeaders("1.2.4", "1.2.5", ordered, **(fields | changes))


def axial_series(positions_mm: Sequence[float], **changes: Any) -> SeriesHeaders:
    """A series with a slice at each z, in this order of Instance Number."""
    return series_of([instance_of(frame_at((-80.0, -60.0, z), **changes), number=number) for number, z in enumerate(positions_mm, 1)])
