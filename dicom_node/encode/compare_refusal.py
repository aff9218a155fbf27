"""Objects that say that there is no result, read back: they say why, and nothing that could be taken for a result."""

import struct
from collections.abc import Callable, Mapping, Sequence

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import EncodingError
from dicom_node.texts import Language, Reader, render_reason
from dicom_node.values import DicomObject, NotAnalysed, ObjectKind, Reason
from dicom_node.values.reasons import ReportMismatch

from .characters import to_ascii
from .compare_notice import is_page_of_refusal, is_picture_of_refusal
from .content_tree import children, code_of, name_of, walk
from .read_back import is_titled_not_analysed, read_report

_LANGUAGE = ("121049", "DCM")
_MEASUREMENT_GROUP = ("125007", "DCM")
_COMMENT = ("121106", "DCM")
_FINDINGS, _FINDING = ("121070", "DCM"), ("121071", "DCM")
_ALGORITHM, _VERSION = ("111001", "DCM"), ("111003", "DCM")
_NOT_EVALUATED = ("373121007", "SCT")
_ABSENT = ("272519000", "SCT")


def compare_refusal(objects: Sequence[DicomObject], result: NotAnalysed) -> Reason | None:
    """None where the objects say why there is no result, and none that there is one; else a reason. No objects say nothing wrong.

    Raises EncodingError where an object cannot be read.
    """
    try:
        wrong = [one for one in objects if one.kind not in _CHECKS or not _CHECKS[one.kind](one.content, result)]
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
    model = [str(item.TextValue) for name in (_ALGORITHM, _VERSION) for item in children(group, name)]
    return (
        [code_of(item) for item in group.ContentSequence if item.ValueType == "CODE"] == [_NOT_EVALUATED]
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
        and is_titled_not_analysed(report)
        and [str(one.SeriesInstanceUID) for one in study.ReferencedSeriesSequence] == [result.series_instance_uid]
        and str(study.StudyInstanceUID) == result.study_instance_uid
    )


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
