"""A rejection note against what it is to reject, from its bytes alone."""

import io
from collections.abc import Sequence

import pydicom
from pydicom.errors import InvalidDicomError

from dicom_node.errors import EncodingError
from dicom_node.values import DicomObject, Reason, ReportRef
from dicom_node.values.reasons import ReportMismatch

from .content_tree import evidence_of

_QUALITY, _SAFETY = ("113001", "DCM"), ("113037", "DCM")  # Rejected for Quality Reasons, for Patient Safety Reasons
_SAFETY_REASONS = {"WrongPatient", "NotForCare"}


def compare_rejection(note: DicomObject, rejected: Sequence[ReportRef], withdrawal: Reason | None = None) -> Reason | None:
    """None where the note rejects these objects, each once, and no others; a note on a wrong object would hide it from everybody.

    `withdrawal`: why a person has withdrawn them, where one has. Raises EncodingError where it cannot be read.
    """
    try:
        document = pydicom.dcmread(io.BytesIO(note.content))
        title = document.ConceptNameCodeSequence[0]
        content = [
            (str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID))
            for item in document.ContentSequence
            for one in item.get("ReferencedSOPSequence", ())
        ]
        evidence = [(sop_class, uid, series) for _, series, sop_class, uid in evidence_of(document)]
    except (ValueError, TypeError, AttributeError, LookupError, EOFError, InvalidDicomError) as cause:
        raise EncodingError("reading back") from cause
    wanted = sorted((one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid) for one in rejected)
    differences = (
        (sorted(evidence) != wanted)
        + (sorted(content) != [one[:2] for one in wanted])
        + ((str(title.CodeValue), str(title.CodingSchemeDesignator)) != _title_of(withdrawal))
    )
    return ReportMismatch(differences) if differences else None


def _title_of(withdrawal: Reason | None) -> tuple[str, str]:
    return _SAFETY if type(withdrawal).__name__ in _SAFETY_REASONS else _QUALITY
