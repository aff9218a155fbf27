"""What a report says of changes against the result, from its bytes alone; shares nothing with the way of writing."""

import re
from collections.abc import Mapping

from pydicom.dataset import Dataset

from dicom_node.values import Analysed, ChangeCategory, Finding

_DIFFERENCE, _COMMENT = ("111049", "DCM"), ("121106", "DCM")
_WANTED = {
    ChangeCategory.NEW: "129721008",
    ChangeCategory.UNCHANGED: "129723006",
    ChangeCategory.GROWN: "15454001",
    ChangeCategory.SHRUNK: "19776001",
}


def count_wrong_changes(report: Dataset, groups: Mapping[str, Dataset], result: Analysed) -> int:
    """Findings whose group says another change than the result, or none where there is one; and a prior that is not named.

    `groups` are by tracking UID; a finding without one is counted elsewhere.
    """
    wrong = sum(not _says(groups[finding.tracking_uid], finding) for finding in result.findings if finding.tracking_uid in groups)
    prior = None if result.comparison is None else result.comparison.prior
    wanted = [] if prior is None or prior.report is None else [(prior.study_instance_uid, prior.report.sop_instance_uid)]
    named = [
        (str(study.StudyInstanceUID), str(one.ReferencedSOPInstanceUID))
        for study in report.get("PertinentOtherEvidenceSequence", ())
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]
    return wrong + (named != wanted)


def _says(group: Dataset, finding: Finding) -> bool:
    """Whether a group has the code of the finding's change and its numbers in a sentence; neither where there was no comparison."""
    said = [item.ConceptCodeSequence[0].CodeValue for item in group.ContentSequence if _name(item) == _DIFFERENCE]
    texts = [str(item.TextValue) for item in group.ContentSequence if _name(item) == _COMMENT]
    change = finding.change
    if change is None:
        return not said and not texts
    wanted = [change.volume_change_percent, change.volume_change_mm3, change.doubling_time_days]
    numbers = {float(found.replace(",", ".")) for text in texts for found in re.findall(r"\d+(?:[.,]\d+)?(?:e[+]\d+)?", text)}
    return (
        said == ([_WANTED[change.category]] if change.category in _WANTED else [])
        and len(texts) == 1
        and all(any(abs(abs(value) - number) <= 1e-5 * abs(value) for number in numbers) for value in wanted if value is not None)
    )


def _name(item: Dataset) -> tuple[str, str]:
    name = item.ConceptNameCodeSequence[0]
    return str(name.CodeValue), str(name.CodingSchemeDesignator)
