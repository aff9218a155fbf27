"""A report in words against the result that it was made from: every finding is named, with its numbers."""

import re
from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicom_node.texts import Language, render_meaning
from dicom_node.values import Analysed, CodedConcept, Finding

from .characters import to_ascii
from .compare_changes import has_numbers, names_prior
from .content_tree import children, code_of, slice_of, walk

_LANGUAGE = ("121049", "DCM")
_FINDINGS, _FINDING = ("121070", "DCM"), ("121071", "DCM")
_CONCLUSIONS, _CONCLUSION = ("121076", "DCM"), ("121077", "DCM")
_LAST_NUMBER = re.compile(r" ([-\N{MINUS SIGN}]?\d+)(?:[.,](\d+))?(?:[ \N{NO-BREAK SPACE}]\S+)?\Z")  # and its unit
_SCORE_STEP = 0.005


def count_differences_of_text(report: Dataset, _: Sequence[Dataset], result: Analysed) -> int:
    """Findings without a text of their own, numbers that are not theirs, and texts too many or too few."""
    sections = children(report, _FINDINGS)
    texts = [item for section in sections for item in children(section, _FINDING)]
    found = {(finding.type.value, finding.type.scheme) for finding in result.findings}
    missing = [one for one in result.looked_for if (one.value, one.scheme) not in found]
    count = len(result.findings)
    wrong = sum(not _says(item, finding, result) for item, finding in zip(texts, result.findings, strict=False))
    wrong += sum(not _says_missing(item, one, report) for item, one in zip(texts[count:], missing, strict=False))
    concluded = any(children(section, _CONCLUSION) for section in children(report, _CONCLUSIONS))
    has_values = any(item.ValueType == "NUM" for item in walk(report))
    wrong += abs(len(texts) - count - len(missing)) + (0 if names_prior(report, result) else 1)
    return wrong + (0 if concluded else 1) + has_values


def _says(item: Dataset, finding: Finding, result: Analysed) -> bool:
    """Whether a text begins with number and label, goes on with the numbers in their order, and stands on an image of the finding.

    Behind the numbers stands what has become of the finding, and nothing where there was no comparison.
    """
    text, count = str(item.TextValue), len(finding.measurements) + (finding.score is not None)
    parts = text.split("; ")
    parts[-1], _, changed = parts[-1].partition(". ") if finding.change is not None and count else (parts[-1], "", parts[-1])
    named, numbers = "; ".join(parts[: len(parts) - count]), parts[len(parts) - count :]
    wanted = [(one.value, 10.0**-one.digits / 2) for one in finding.measurements]
    wanted += [] if finding.score is None else [(finding.score, _SCORE_STEP)]
    images = list(item.get("ContentSequence", ()))
    index = slice_of(images[0], result.geometry) if len(images) == 1 else None
    return (
        index is not None
        and _is_on(finding, index)
        and any(named.startswith(f"{finding.number}. {label}") for label in (finding.label, to_ascii(finding.label)))
        and all(_is_number(part, value, step) for part, (value, step) in zip(numbers, wanted, strict=True))
        and (finding.change is None or has_numbers(changed, finding.change))
    )


def _says_missing(item: Dataset, concept: CodedConcept, report: Dataset) -> bool:
    """Whether a text names what was looked for, on no image, and not as the reason why it was not looked for."""
    (language,) = children(report, _LANGUAGE)
    meaning = render_meaning(concept, Language(code_of(language)[0]))
    is_named = any(str(item.TextValue).startswith(one) for one in (meaning, to_ascii(meaning)))
    return is_named and "ContentSequence" not in item


def _is_on(finding: Finding, index: int) -> bool:
    first = finding.mask.origin[0]
    return 0 <= index - first < len(finding.mask.voxels) and bool(finding.mask.voxels[index - first].any())


def _is_number(part: str, value: float, step: float) -> bool:
    """Whether a part ends with the value, rounded."""
    match = _LAST_NUMBER.search(part)
    if match is None:
        return False
    whole, fraction = match[1].replace("\N{MINUS SIGN}", "-"), match[2] or "0"
    return abs(float(f"{whole}.{fraction}") - value) <= step * 1.0001 + abs(value) * 1e-12
