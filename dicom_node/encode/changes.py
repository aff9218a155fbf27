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
    sentence = change_sentence(finding.change, name_prior(result, language), language)
    yield hd.sr.TextContentItem(name=codes.DCM.Comment, value=sentence, relationship_type=_CONTAINS)


def change_sentence(change: Change, prior: str, language: Language) -> str:
    """What has become of a finding since the prior, in words; the doubling time stands with what grew."""
    sentences = [render_report(f"change-{change.category}", language, prior=prior, **_fields(change))]
    if change.doubling_time_days is not None:
        sentences.append(render_report("doubling-time", language, days=change.doubling_time_days))
    return " ".join(sentences)


def comparison_sentences(result: Analysed, prior: str, language: Language) -> list[str]:
    """With what the result was compared, how well that could be done, and which findings of the prior have no counterpart."""
    comparison = result.comparison
    if comparison is None:
        return []
    error_mm = comparison.registration.error_mm
    sentences = [render_report("compared", language, prior=prior, days=comparison.days, error_mm=error_mm)]
    if comparison.prior.version not in ("", result.package.version):
        sentences.append(render_report("compared-version", language, version=comparison.prior.version))
    if not comparison.is_certain:
        sentences.append(render_report("compared-uncertain", language))
    return sentences + [_unmatched(one, prior, language) for one in comparison.unmatched]


def _unmatched(one: PriorFinding, prior: str, language: Language) -> str:
    """One of the prior's findings; it is not called healed, since the algorithm may have missed it."""
    name = "change-gone" if one.change.category is ChangeCategory.GONE else "change-not-found-again"
    prior_mm3 = one.change.prior_volume_mm3 or 0.0
    return render_report(name, language, finding=one.tracking_identifier, prior=prior, prior_mm3=prior_mm3)


def _fields(change: Change) -> dict[str, int | float | str]:
    """Numbers of a change for a sentence; the sign stands apart, since languages write numbers, not signs, in their own way."""
    percent, difference_mm3 = change.volume_change_percent, change.volume_change_mm3
    if percent is None or difference_mm3 is None or change.limit_percent is None or change.volume_mm3 is None:
        return {}
    return {
        "sign": "+" if percent >= 0 else "\N{MINUS SIGN}",
        "percent": abs(percent),
        "difference_mm3": abs(difference_mm3),
        "limit_percent": change.limit_percent,
        "volume_mm3": change.volume_mm3,
        "prior_mm3": change.prior_volume_mm3 or 0.0,
    }


def name_prior(result: Analysed, language: Language) -> str:
    """The prior study by its day, which no reader can take for another: `the study of 2025-03-14`; empty without a comparison.

    For text, in which a correction of the day reaches it.
    """
    if result.comparison is None:
        return ""
    written = result.comparison.prior.study_date
    return render_report("prior-of-date", language, date=f"{written[:4]}-{written[4:6]}-{written[6:]}")


def name_prior_without_date(result: Analysed, language: Language) -> str:
    """The prior study by how long before it was: `the study 4 months before`; empty without a comparison.

    For what is drawn or printed: a day would be a value of the patient in pixels, where no correction reaches it (Burned In Annotation).
    """
    return render_report("prior-of-interval", language, before=write_before(result, language)) if result.comparison is not None else ""


def write_before(result: Analysed, language: Language) -> str:
    """How long before the prior study was, such as `4 months before`; empty without a comparison."""
    if result.comparison is None:
        return ""
    days = result.comparison.days
    for unit, least, of_days in _UNITS:
        if days >= least:
            return render_report(f"before-{unit}", language, count=round(days / of_days))
    return render_report("before-day", language)


# From how many days on an interval is said in a unit, and of how many days that is; below, it is one day.
_UNITS = (("years", 1096, 365.25), ("months", 60, 30.44), ("weeks", 14, 7.0), ("days", 2, 1.0))
