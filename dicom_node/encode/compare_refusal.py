"""Objects that say that there is no result, read back: they say why, and nothing that could be taken for a result."""

import struct
from collections.abc import Callable, Mapping, Sequence

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import EncodingError
from dicom_node.texts import Language, Reader, render_reason
from dicom_node.values import DicomObject, NotAnalysed, ObjectKind, Reason, ReportRef, Role, Withdrawn
from dicom_node.values.reasons import ReportMismatch

from .characters import to_ascii
from .compare_notice import is_page_of_refusal, is_picture_of_refusal
from .content_tree import children, code_of, evidence_of, name_of, walk
from .read_back import is_titled_as, read_report

_LANGUAGE = ("121049", "DCM")
_MEASUREMENT_GROUP = ("125007", "DCM")
_COMMENT = ("121106", "DCM")
_FINDINGS, _FINDING = ("121070", "DCM"), ("121071", "DCM")
_ALGORITHM, _VERSION = ("111001", "DCM"), ("111003", "DCM")
_NOT_EVALUATED, _WITHDRAWN = ("373121007", "SCT"), ("WITHDRAWN", "99DCMNODE")
_ABSENT = ("272519000", "SCT")
_STRUCTURED_REPORTS, _KEY_IMAGES = "1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.88.59"  # PS3.4 B.5


def compare_refusal(objects: Sequence[DicomObject], result: NotAnalysed, replaced: Sequence[ReportRef] = ()) -> Reason | None:
    """None where the objects say why there is no result, and none that there is one; else a reason. No objects say nothing wrong.

    `replaced`: what is withdrawn; each report names the reports among it, and no others.

    Raises EncodingError where an object cannot be read.
    """
    try:
        wrong = [one for one in objects if one.kind not in _CHECKS or not _CHECKS[one.kind](one.content, result)]
        reports = [one for one in objects if one.role is Role.REPORT and one not in wrong]
        wrong += [one for one in reports if not _names(one.content, replaced)]
    except (ValueError, TypeError, AttributeError, LookupError, EOFError, struct.error, InvalidDicomError) as cause:
        raise EncodingError("reading back") from cause
    return ReportMismatch(len(wrong)) if wrong else None


def _is_refusal(content: bytes, result: NotAnalysed) -> bool:
    """One group, with the one evaluation that there was none and the reason in words; and which model it was."""
    report = read_report(content)
    groups = [item for item in walk(report) if name_of(item) == _MEASUREMENT_GROUP]
    if len(groups) != 1 or not _is_no_result(report, result):
        return False
    (group,), package = groups, result.package
    said = _WITHDRAWN if isinstance(result, Withdrawn) else _NOT_EVALUATED
    model = [str(item.TextValue) for name in (_ALGORITHM, _VERSION) for item in children(group, name)]
    return (
        [code_of(item) for item in group.ContentSequence if item.ValueType == "CODE"] == [said]
        and all(_says_why(item, report, result) for item in children(group, _COMMENT))
        and len(children(group, _COMMENT)) == len(children(report, _COMMENT)) == 1
        and _says_why(children(report, _COMMENT)[0], report, result)
        and model == ([] if package is None else [package.name, package.version])
    )


def _is_refusal_in_words(content: bytes, result: NotAnalysed) -> bool:
    """The reason is the one text of the findings."""
    report = read_report(content)
    texts = [item for section in children(report, _FINDINGS) for item in children(section, _FINDING)]
    return len(texts) == 1 and _says_why(texts[0], report, result) and _is_no_result(report, result)


def _is_no_result(report: Dataset, result: NotAnalysed) -> bool:
    """No number of a finding, no region, nothing absent; its title says it too, and its evidence is of the series."""
    items = list(walk(report))
    codes = [code_of(item) for item in items if item.ValueType == "CODE"]
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    return (
        not any(item.ValueType in {"NUM", "SCOORD", "SCOORD3D"} for item in items)
        and _ABSENT not in codes
        and not any(name_of(item) == _FINDING and item.ValueType == "CODE" for item in items)
        and is_titled_as(report, result)
        and [str(one.SeriesInstanceUID) for one in study.ReferencedSeriesSequence] == [result.series_instance_uid]
        and str(study.StudyInstanceUID) == result.study_instance_uid
    )


def _names(content: bytes, replaced: Sequence[ReportRef]) -> bool:
    """Whether a report names the structured reports among these as its predecessors, and nothing else."""
    named = {(sop_class, uid, series) for _, series, sop_class, uid in evidence_of(read_report(content), "PredecessorDocumentsSequence")}
    wanted = {(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid) for one in replaced}
    return named == {one for one in wanted if one[0].startswith(_STRUCTURED_REPORTS) and one[0] != _KEY_IMAGES}


def _says_why(item: Dataset, report: Dataset, result: NotAnalysed) -> bool:
    """The reason as a radiologist reads it, in the language that the report says it is in."""
    (language,) = children(report, _LANGUAGE)
    reason = render_reason(result.reason, Reader.RADIOLOGIST, Language(code_of(language)[0]))
    first, *_ = str(item.TextValue).splitlines()
    return first in {reason, to_ascii(reason)}


_CHECKS: Mapping[ObjectKind, Callable[[bytes, NotAnalysed], bool]] = {
    ObjectKind.REPORT_3D: _is_refusal,
    ObjectKind.REPORT_COMPREHENSIVE: _is_refusal,
    ObjectKind.REPORT_ENHANCED: _is_refusal,
    ObjectKind.REPORT_TEXT: _is_refusal_in_words,
    ObjectKind.CAPTURE: is_picture_of_refusal,
    ObjectKind.PAGE: is_page_of_refusal,
}
