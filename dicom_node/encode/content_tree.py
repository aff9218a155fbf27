"""Content items of a report, read: for those who compare, and shared with nobody who writes."""

import math
from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from dicom_node.values import Geometry

Name = tuple[str, str]  # value and scheme of a code


def walk(item: Dataset) -> Iterator[Dataset]:
    """All items below one, from top to bottom."""
    for child in item.get("ContentSequence", ()):
        yield child
        yield from walk(child)


def children(item: Dataset, name: Name) -> list[Dataset]:
    """The items right below one that have this concept name."""
    return [child for child in item.get("ContentSequence", ()) if name_of(child) == name]


def name_of(item: Dataset) -> Name:
    """The concept name of an item; empty where it has none."""
    return _read_code(item.ConceptNameCodeSequence[0]) if "ConceptNameCodeSequence" in item else ("", "")


def code_of(item: Dataset) -> Name:
    """The value of a CODE."""
    return _read_code(item.ConceptCodeSequence[0])


def number_of(item: Dataset) -> tuple[Name, str, float]:
    """Concept name, unit and value of a NUM."""
    measured = item.MeasuredValueSequence[0]
    return name_of(item), str(measured.MeasurementUnitsCodeSequence[0].CodeValue), float(measured.NumericValue)


def image_of(item: Dataset) -> tuple[str, int]:
    """The instance and the frame that an IMAGE refers to; the first frame where it names none. Raises ValueError where it names several."""
    (reference,) = item.ReferencedSOPSequence
    return str(reference.ReferencedSOPInstanceUID), int(reference.get("ReferencedFrameNumber", 1))


def slice_of(item: Dataset, geometry: Geometry) -> int | None:
    """The slice that was read from the image that an IMAGE refers to; None where there is none."""
    image = image_of(item)
    found = (index for index, frame in enumerate(geometry.frames) if (frame.sop_instance_uid, frame.frame_number) == image)
    return next(found, None)


def are_close(found: Sequence[float], wanted: Sequence[float]) -> bool:
    """As many, and each within what 16 characters hold."""
    return len(found) == len(wanted) and all(math.isclose(one, other, rel_tol=1e-8) for one, other in zip(found, wanted, strict=True))


def evidence_of(document: Dataset, keyword: str = "CurrentRequestedProcedureEvidenceSequence") -> list[tuple[str, str, str, str]]:
    """What a document lists as evidence, of the procedure or other: of each instance the study, the series, the SOP class, its own UID."""
    return [
        (str(study.StudyInstanceUID), str(series.SeriesInstanceUID), str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID))
        for study in document.get(keyword, ())
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]


def _read_code(code: Dataset) -> Name:
    return str(code.get("CodeValue", "")), str(code.CodingSchemeDesignator)
