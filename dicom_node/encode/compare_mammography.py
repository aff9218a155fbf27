"""A Mammography CAD SR against the result that it was made from: each finding with its marks, and what was looked for."""

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.texts import Language, render_meaning
from dicom_node.values import Analysed, CodedConcept, Finding

from .characters import to_ascii
from .compare_report import encloses_largest_part, largest_plane
from .content_tree import Name, are_close, children, code_of, evidence_of, name_of, number_of, slice_of, walk

_ROOT, _TEMPLATE = ("111036", "DCM"), "4000"
_LANGUAGE, _LIBRARY = ("121049", "DCM"), ("111028", "DCM")
_SUMMARY, _TEXT = ("111017", "DCM"), ("111033", "DCM")
_WITH_FINDINGS, _WITHOUT_FINDINGS = ("111242", "DCM"), ("111241", "DCM")
_IMPRESSION, _FINDING = ("111034", "DCM"), ("111059", "DCM")
_INTENT, _REQUIRED = ("111056", "DCM"), ("111150", "DCM")
_CENTRE, _OUTLINE, _CERTAINTY = ("111010", "DCM"), ("111041", "DCM"), ("111012", "DCM")
_DETECTIONS, _SUCCESSFUL, _PERFORMED, _SUCCEEDED = ("111064", "DCM"), ("111063", "DCM"), ("111022", "DCM"), ("111222", "DCM")
_ANALYSES, _NOT_ATTEMPTED = ("111065", "DCM"), ("111225", "DCM")
_ALGORITHM, _VERSION = ("111001", "DCM"), ("111003", "DCM")
_DENSITY = ("129793001", "SCT")
_SAID_OTHERWISE: dict[Name, Name] = {("4147007", "SCT"): _DENSITY, ("129788004", "SCT"): _DENSITY}
_TOLERANCE_PX = 0.01  # of a centre: 32 bits hold a column of 10,000 to 0.001


def count_differences_of_mammography(report: Dataset, _: Sequence[Dataset], result: Analysed) -> int:
    """Findings that it does not say as the result does, those that belong to none, and what is wrong with what was looked for."""
    items = [item for item in walk(report) if name_of(item) == _FINDING]
    wrong = sum(not _says(item, finding, report, result) for item, finding in zip(items, result.findings, strict=False))
    wrong += abs(len(items) - len(result.findings))
    is_right = (
        _is_cad_report(report)
        and _says_summary(report, result)
        and _says_what_was_looked_for(report, result)
        and _names_all_images(report, result)
    )
    return wrong + (not is_right)


def _says(item: Dataset, finding: Finding, report: Dataset, result: Analysed) -> bool:
    """Its type, that it is to be shown, the score in percent and no other number, the algorithm, and both marks on one image."""
    numbers = [number_of(one) for one in item.ContentSequence if one.get("ValueType") == "NUM"]
    wanted = [] if finding.score is None else [100 * finding.score]
    return (
        code_of(item) == _name_for(finding.type)
        and [code_of(one) for one in children(item, _INTENT)] == [_REQUIRED]
        and [number[:2] for number in numbers] == [(_CERTAINTY, "%")] * len(wanted)
        and are_close([value for _, _, value in numbers], wanted)
        and _names_algorithm(item, result)
        and _is_marked(item, finding, report, result)
    )


def _is_marked(item: Dataset, finding: Finding, report: Dataset, result: Analysed) -> bool:
    """The centroid and the outline of the finding's largest part, on an image on which it is as large as anywhere."""
    marks = [one for one in item.ContentSequence if one.get("ValueType") == "SCOORD"]
    if [(name_of(one), one.GraphicType) for one in marks] != [(_CENTRE, "POINT"), (_OUTLINE, "POLYLINE")]:
        return False
    image, other = (_find_image(one, report) for one in marks)
    plane = None if image is None or image is not other else largest_plane(image, finding, result)
    if plane is None:
        return False
    (column, row), _ = (np.array(one.GraphicData, dtype=float) for one in marks)
    points = np.array(marks[1].GraphicData, dtype=float).reshape(-1, 2)
    rows, columns = np.nonzero(plane)
    centre = finding.mask.origin[1] + rows.mean() + 0.5, finding.mask.origin[2] + columns.mean() + 0.5
    is_at_centre = max(abs(row - centre[0]), abs(column - centre[1])) <= _TOLERANCE_PX
    return is_at_centre and encloses_largest_part(points, plane, finding)


def _find_image(mark: Dataset, report: Dataset) -> Dataset | None:
    """The entry of the image library that a mark is selected from; None where it is not one."""
    (reference,) = mark.ContentSequence
    found = _follow(reference, report)
    return found if reference.RelationshipType == "SELECTED FROM" and any(found is one for one in _entries(report)) else None


def _follow(reference: Dataset, report: Dataset) -> Dataset:
    """The item that a reference by place leads to; the root is 1."""
    _, *place = reference.ReferencedContentItemIdentifier
    found = report
    for number in place:
        found = found.ContentSequence[number - 1]
    return found


def _entries(report: Dataset) -> Iterator[Dataset]:
    """The images of the library."""
    for library in children(report, _LIBRARY):
        yield from library.ContentSequence


def _is_cad_report(report: Dataset) -> bool:
    templates = [str(one.TemplateIdentifier) for one in report.get("ContentTemplateSequence", ())]
    return name_of(report) == _ROOT and templates == [_TEMPLATE]


def _says_summary(report: Dataset, result: Analysed) -> bool:
    """With findings where there are some, each by itself, and else without; and in words what was not detected."""
    summaries, (language,) = children(report, _SUMMARY), children(report, _LANGUAGE)
    if [code_of(one) for one in summaries] != [_WITH_FINDINGS if result.findings else _WITHOUT_FINDINGS]:
        return False
    (text,) = children(summaries[0], _TEXT)
    found = {(finding.type.value, finding.type.scheme) for finding in result.findings}
    missing = [one for one in result.looked_for if (one.value, one.scheme) not in found]
    lines = str(text.TextValue).splitlines()
    return len(children(summaries[0], _IMPRESSION)) == len(result.findings) and all(
        any(line.startswith(words) for line in lines for words in _words_for(one, Language(code_of(language)[0]))) for one in missing
    )


def _words_for(concept: CodedConcept, language: Language) -> tuple[str, str]:
    meaning = render_meaning(concept, language)
    return meaning, to_ascii(meaning)


def _says_what_was_looked_for(report: Dataset, result: Analysed) -> bool:
    """Each thing once, detected with success by the algorithm on all images; and that there was no analysis beyond that."""
    detections, analyses = children(report, _DETECTIONS), children(report, _ANALYSES)
    if [code_of(one) for one in detections] != [_SUCCEEDED] or [code_of(one) for one in analyses] != [_NOT_ATTEMPTED]:
        return False
    (successful,) = children(detections[0], _SUCCESSFUL)
    performed = children(successful, _PERFORMED)
    wanted = {_name_for(one) for one in (*result.looked_for, *(finding.type for finding in result.findings))}
    return (
        len(performed) == len(wanted)
        and {code_of(one) for one in performed} == wanted
        and all(_names_algorithm(one, result) and _covers_all_images(one, report) for one in performed)
        and "ContentSequence" not in analyses[0]
    )


def _covers_all_images(performed: Dataset, report: Dataset) -> bool:
    found = [_follow(one, report) for one in performed.ContentSequence if "ReferencedContentItemIdentifier" in one]
    entries = list(_entries(report))
    return len(found) == len(entries) and all(one is other for one, other in zip(found, entries, strict=True))


def _names_all_images(report: Dataset, result: Analysed) -> bool:
    """The library has the image of each slice, in their order, and the evidence the same instances."""
    slices = [slice_of(entry, result.geometry) for entry in _entries(report)]
    return slices == list(range(len(result.geometry.frames))) and {uid for *_, uid in evidence_of(report)} == {
        frame.sop_instance_uid for frame in result.geometry.frames
    }


def _names_algorithm(item: Dataset, result: Analysed) -> bool:
    texts = [str(one.TextValue) for name in (_ALGORITHM, _VERSION) for one in children(item, name)]
    return texts in ([result.package.name, result.package.version], [to_ascii(result.package.name), to_ascii(result.package.version)])


def _name_for(concept: CodedConcept) -> Name:
    return _SAID_OTHERWISE.get((concept.value, concept.scheme), (concept.value, concept.scheme))
