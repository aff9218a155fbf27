"""What conditions and preferences are about: an attribute of the header, or a number of the geometry, as found in one volume."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicom_node.package import Condition, Preference
from dicom_node.values import Geometry, InstanceHeaders, SeriesHeaders

# Of the patient, whatever group it stands in: what is found there is never written down, only that it does not fit.
_ABOUT_THE_PATIENT = ("Patient", "OtherPatient", "EthnicGroup", "Occupation", "Smoking", "Pregnancy", "Allergies", "MedicalAlerts")
_NOT_ABOUT_THE_PATIENT = {"PatientPosition", "PatientOrientation"}  # how the patient lies, not who it is
# Others that name a person, a visit or a day.
_IDENTIFYING = ("Name", "ID", "UID", "Date", "Time", "DateTime", "Number", "Comments", "Address")
_NOT_IDENTIFYING = {
    "AcquisitionNumber", "ContrastBolusAgentNumber", "EchoNumbers", "EchoTime", "ExposureTime", "InstanceNumber", "InversionTime",
    "ManufacturerModelName", "ProtocolName", "RepetitionTime", "RevolutionTime", "SOPClassUID", "SequenceName", "SeriesNumber",
    "StackID", "TriggerTime",
}  # fmt: skip

# Text of these is written by a scanner's software from its maker's own list, never typed by a person about a patient.
_OF_THE_MAKER = {"ConvolutionKernel", "FilterType", "Manufacturer", "ManufacturerModelName", "SequenceName", "SoftwareVersions"}
_CODED = re.compile(r"[A-Z0-9_ ]{0,16}")  # CS (PS3.5 6.2)
_NUMBERS = {"DS", "IS", "FD", "FL", "SL", "SS", "UL", "US", "US or SS"}

# What is written where the value found is the patient's, where somebody may have typed it, and where there is none.
_OUTSIDE = "outside"
_OTHER_TEXT = "other text"
ABSENT = "absent"

_DAYS_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_PLANES = ("sagittal", "coronal", "axial")  # by the axis (x, y, z) nearest to their normal


@dataclass(frozen=True, slots=True)
class VolumeView:
    """One volume of a series with the instances that it is made of; a series of which no volume could be made has no geometry."""

    geometry: Geometry | None
    instances: tuple[InstanceHeaders, ...]


def view_volume(headers: SeriesHeaders, geometry: Geometry) -> VolumeView:
    """A volume with those instances of its series that hold its frames."""
    used = {frame.sop_instance_uid for frame in geometry.frames}
    return VolumeView(geometry, tuple(one for one in headers.instances if one.instance.sop_instance_uid in used))


def find_values(subject: Condition | Preference, view: VolumeView) -> tuple[tuple[str, ...], ...]:
    """The distinct values of a subject within a volume, each as its texts, sorted; an empty tuple among them is *absent*."""
    if subject.attribute is not None:
        return tuple(sorted({one.attribute(subject.attribute) for one in view.instances}))
    value = _GEOMETRY[subject.geometry](view.geometry) if view.geometry is not None and subject.geometry in _GEOMETRY else None
    if value is None:
        return ((),)
    return ((value if isinstance(value, str) else f"{value:.6g}",),)


def name_subject(subject: Condition | Preference) -> str:
    """The attribute's keyword, or the name of the geometry's number."""
    return subject.attribute or subject.geometry or ""


def is_private(subject: Condition | Preference) -> bool:
    """Whether a value found there may not be written down: it belongs to a patient, a person, a visit or a day."""
    keyword = subject.attribute or ""
    if keyword in _NOT_ABOUT_THE_PATIENT | _NOT_IDENTIFYING:
        return False
    return keyword.startswith(_ABOUT_THE_PATIENT) or keyword.endswith(_IDENTIFYING)


def render_found(subject: Condition | Preference, values: Sequence[str], words: Iterable[str] = ()) -> str:
    """A value found, as it may be written down: everything that is written here stands in the journal and in `status`.

    Numbers, codes and what the maker of the scanner calls things are written as they are, cut to what a line holds. Of all other
    text, which anyone may have typed a name into, only the first of `words` is: those of the package that occur there.
    """
    if not values:
        return ABSENT
    if is_private(subject):
        return _OUTSIDE
    if subject.geometry is not None or _is_technical(subject.attribute or "", values):
        return "\\".join(values)[:64]
    return next(iter(words), _OTHER_TEXT)


def _is_technical(keyword: str, values: Sequence[str]) -> bool:
    """Whether the values are what the attribute is for; a sender may write anything into any."""
    tag = tag_for_keyword(keyword)
    vr = "" if tag is None else dictionary_VR(tag)
    if vr == "CS":
        return all(_CODED.fullmatch(value) for value in values)
    if vr in _NUMBERS:
        return all(parse_number(value) is not None for value in values)
    return keyword in _OF_THE_MAKER or vr == "UI"


def parse_number(text: str) -> float | None:
    """A number, or an age (nnnD, W, M or Y, PS3.5 6.2) in years; None where the text is neither."""
    if len(text) == 4 and text[:3].isdecimal() and text[3] in _DAYS_A_YEAR:
        return int(text[:3]) / _DAYS_A_YEAR[text[3]]
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _normal(geometry: Geometry) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    if geometry.lps_from_index is None:
        return None
    matrix = np.array(geometry.lps_from_index)
    normal = np.cross(matrix[:3, 2], matrix[:3, 1])
    return np.asarray(normal / np.linalg.norm(normal))


def _find_orientation(geometry: Geometry) -> str | None:
    normal = _normal(geometry)
    return None if normal is None else _PLANES[int(np.argmax(np.abs(normal)))]


def _find_obliqueness_deg(geometry: Geometry) -> float | None:
    normal = _normal(geometry)
    return None if normal is None else math.degrees(math.acos(min(1.0, float(np.abs(normal).max()))))


def _known(value: float | None) -> float | None:
    """A spacing of 0.0 is one that nobody knows (projection images)."""
    return value or None


_GEOMETRY: dict[str | None, Callable[[Geometry], float | str | None]] = {
    "slices": lambda geometry: geometry.shape[0],
    "rows": lambda geometry: geometry.shape[1],
    "columns": lambda geometry: geometry.shape[2],
    "slice_spacing_mm": lambda geometry: _known(geometry.spacing_mm[0]),
    "row_spacing_mm": lambda geometry: _known(geometry.spacing_mm[1]),
    "column_spacing_mm": lambda geometry: _known(geometry.spacing_mm[2]),
    "slice_thickness_mm": lambda geometry: _known(geometry.slice_thickness_mm),
    "extent_mm": lambda geometry: _known((geometry.shape[0] - 1) * geometry.spacing_mm[0]),
    "orientation": _find_orientation,
    "obliqueness_deg": _find_obliqueness_deg,
    "form": lambda geometry: geometry.form.value,
}
