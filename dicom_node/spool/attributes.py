"""Attributes that conditions of model packages may ask for: technical ones, as text, never who the patient is.

Descriptions are among them, into which anyone may have typed anything: they may be asked, `select` writes none of their text down.
"""

from functools import lru_cache

from .header import Header, keyword_of, vr_of

# Groups that describe how an image was made. Of group 0010, only what a model may depend on.
_GROUPS = (0x0008, 0x0018, 0x0020, 0x0028, 0x0054)
_OF_THE_PATIENT = ("PatientAge", "PatientSex", "PatientSize", "PatientWeight")
_OF_THE_REQUEST = ("RequestedProcedurePriority",)  # of group 0040: how urgent it is

# Text and numbers. Not person names, free text of many lines, or UIDs but two that say of what kind an image is.
_VRS = frozenset(("AS", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "SH", "SL", "SS", "TM", "UL", "US", "US or SS"))
_UIDS = ("SOPClassUID", "FrameOfReferenceUID")

# Of these groups, what tells the patient, the visit or the place rather than the image.
_LEFT_OUT = frozenset(
    (
        "AccessionNumber",
        "AdmittingDiagnosesDescription",
        "DeviceSerialNumber",
        "InstitutionName",
        "InstitutionalDepartmentName",
        "PhysicianApprovingInterpretation",
        "StationName",
        "StudyID",
        "TimezoneOffsetFromUTC",
    )
)

_LONGEST_BYTES = 1024  # what is longer is a table, not a condition


def read_attributes(header: Header, encodings: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(keyword, values) of the outermost level, in the order of the tags; absent and empty ones are left out."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for tag, element in sorted(header.elements.items()):
        keyword = keyword_of(tag)
        if element.end - element.start > _LONGEST_BYTES or not _is_wanted(tag, keyword, vr_of(element)):
            continue
        values = header.texts_of(element, encodings)
        if values:
            found.append((keyword, values))
    return tuple(found)


@lru_cache(maxsize=4096)
def _is_wanted(tag: int, keyword: str, vr: str) -> bool:
    if keyword in _OF_THE_PATIENT or keyword in _OF_THE_REQUEST or keyword in _UIDS:
        return True
    return tag >> 16 in _GROUPS and keyword != "" and keyword not in _LEFT_OUT and vr in _VRS
