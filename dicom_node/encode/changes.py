"""What has become of findings since the prior, in their groups and in the root of the report."""

from collections.abc import Iterator

import highdicom as hd
from highdicom.sr import CodedConcept as Code
from pydicom.sr.codedict import codes

from dicom_node.texts import Language, render_report
from dicom_node.values import Analysed, Change, ChangeCategory, Finding, PriorFinding

_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS
# CID 6134 (Chest Qualitative Temporal Difference Type); what is new has its code in CID 6002. No code says that there is no comparison.
_CODES = {
    ChangeCategory.NEW: Code("129721008", "SCT", "New finding"),
    ChangeCategory.UNCHANGED: Code("129723006", "SCT", "No significant changes in the finding"),
    ChangeCategory.GROWN: Code("15454001", "SCT", "Increase in size"),
    ChangeCategory.SHRUNK: Code("19776001", "SCT", "Decrease in size"),
}


def change_items(finding: Finding, result: Analysed, language: Language) -> Iterator[hd.sr.ContentItem]:
    """Items of a finding's group: the change as a code, as chest CAD has it, and in a sentence; none without a comparison.

    Source: PS3.16 CID 6134, and annex D for 111049.
    """
    if finding.change is None:
        return
    if finding.change.category in _CODES:
        yield hd.sr.CodeContentItem(
            name=codes.DCM.QualitativeDifference, value=_CODES[finding.change.category], relationship_type=_CONTAINS
        )
    sentence = change_sentence(finding.change, result, language)
    yield hd.sr.TextContentItem(name=codes.DCM.Comment, value=sentence, relationship_type=_CONTAINS)


def change_sentence(change: Change, result: Analysed, language: Language) -> str:
    """What has become of a finding of this result, in words; the doubling time stands with what grew."""
    assert result.comparison is not None
    sentences = [render_report(f"change-{change.category}", language, **_fields(change, result))]
    if change.doubling_time_days is not None:
        sentences.append(render_report("doubling-time", language, days=change.doubling_time_days))
    return " ".join(sentences)


def comparison_sentences(result: Analysed, language: Language) -> list[str]:
    """With what the result was compared, how well that could be done, and which findings of the prior have no counterpart."""
    comparison = result.comparison
    if comparison is None:
        return []
    error_mm = comparison.registration.error_mm
    sentences = [render_report("compared", language, date=date_of_prior(result), days=comparison.days, error_mm=error_mm)]
    if comparison.prior.version not in ("", result.package.version):
        sentences.append(render_report("compared-version", language, version=comparison.prior.version))
    if not comparison.is_certain:
        sentences.append(render_report("compared-uncertain", language))
    return sentences + [_unmatched(one, result, language) for one in comparison.unmatched]


def _unmatched(one: PriorFinding, result: Analysed, language: Language) -> str:
    """One of the prior's findings; it is not called healed, since the algorithm may have missed it."""
    name = "change-gone" if one.change.category is ChangeCategory.GONE else "change-not-found-again"
    prior_mm3 = one.change.prior_volume_mm3 or 0.0
    return render_report(name, language, finding=one.tracking_identifier, date=date_of_prior(result), prior_mm3=prior_mm3)


def _fields(change: Change, result: Analysed) -> dict[str, int | float | str]:
    """Numbers of a change for a sentence; the sign stands apart, since languages write numbers, not signs, in their own way."""
    fields: dict[str, int | float | str] = {"date": date_of_prior(result)}
    percent, difference_mm3 = change.volume_change_percent, change.volume_change_mm3
    if percent is None or difference_mm3 is None or change.limit_percent is None or change.volume_mm3 is None:
        return fields
    return fields | {
        "sign": "+" if percent >= 0 else "-",
        "percent": abs(percent),
        "difference_mm3": abs(difference_mm3),
        "limit_percent": change.limit_percent,
        "volume_mm3": change.volume_mm3,
        "prior_mm3": change.prior_volume_mm3 or 0.0,
    }


def date_of_prior(result: Analysed) -> str:
    """The day of the prior study, which no reader can take for another: 2025-03-14."""
    assert result.comparison is not None
    written = result.comparison.prior.study_date
    return f"{written[:4]}-{written[4:6]}-{written[6:]}"
