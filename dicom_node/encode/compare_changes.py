"""What a report says of changes against the result, from its bytes alone; shares nothing with the way of writing."""

import re

from pydicom.dataset import Dataset

from dicom_node.values import Analysed, Change, ChangeCategory, Finding

from .content_tree import children, code_of, evidence_of

_DIFFERENCE, _COMMENT = ("111049", "DCM"), ("121106", "DCM")
_WANTED = {
    ChangeCategory.NEW: ("129721008", "SCT"),
    ChangeCategory.UNCHANGED: ("129723006", "SCT"),
    ChangeCategory.GROWN: ("15454001", "SCT"),
    ChangeCategory.SHRUNK: ("19776001", "SCT"),
}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?(?:e[+]\d+)?")


def says_change(group: Dataset, finding: Finding) -> bool:
    """Whether a group has the code of the finding's change and its numbers in a sentence; neither where there was no comparison."""
    said = [code_of(item) for item in children(group, _DIFFERENCE)]
    texts = [str(item.TextValue) for item in children(group, _COMMENT)]
    if finding.change is None:
        return not said and not texts
    wanted = [_WANTED[finding.change.category]] if finding.change.category in _WANTED else []
    return said == wanted and len(texts) == 1 and has_numbers(texts[0], finding.change)


def has_numbers(text: str, change: Change) -> bool:
    """Whether a text has what the volume has changed by, in per cent and cubic millimetres, and the doubling time, of what is known."""
    wanted = [change.volume_change_percent, change.volume_change_mm3, change.doubling_time_days]
    numbers = [float(found.replace(",", ".")) for found in _NUMBER.findall(text)]
    return all(any(abs(abs(value) - number) <= 1e-5 * abs(value) for number in numbers) for value in wanted if value is not None)


def names_prior(report: Dataset, result: Analysed) -> bool:
    """Whether other evidence is the report of the prior, or where there is none its images, and nothing else."""
    prior = None if result.comparison is None else result.comparison.prior
    wanted = []
    if prior is not None:
        uids = [uid for _, uid in prior.images] if prior.report is None else [prior.report.sop_instance_uid]
        wanted = [(prior.study_instance_uid, uid) for uid in uids]
    return [(study, uid) for study, _, _, uid in evidence_of(report, "PertinentOtherEvidenceSequence")] == wanted
