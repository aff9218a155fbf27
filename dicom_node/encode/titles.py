"""Names and codes that segmentation and report share."""

import re

from dicom_node.values import Analysed, CodedConcept, Laterality, NotAnalysed, PackageRef, Withdrawn

_LONGEST = 64  # characters of an LO (PS3.5 6.2)
_NOT_ANALYSED, _WITHDRAWN = "not analysed", "withdrawn"

LATERALITY = {  # CID 244
    Laterality.RIGHT: CodedConcept("24028007", "SCT", "Right"),
    Laterality.LEFT: CodedConcept("7771000", "SCT", "Left"),
}


def title_of(result: Analysed | NotAnalysed) -> str:
    """Series Description: nobody who looks through the list of series may take what was not analysed for *nothing found*."""
    match result:
        case Analysed(package=package):
            return series_description(package)
        case NotAnalysed(package=package):
            what = _WITHDRAWN if isinstance(result, Withdrawn) else _NOT_ANALYSED
            return f"AI - {what}" if package is None else series_description(package, what)


def series_description(package: PackageRef, what: str = "") -> str:
    """What a radiologist looks for in the list of series: `AI lung nodules RESEARCH`, or `AI lung nodules RESEARCH - pictures`."""
    suffix = ("" if package.product else " RESEARCH") + (f" - {what}" if what else "")
    return f"AI {package.title}"[: _LONGEST - len(suffix)].rstrip() + suffix


def content_creator(ae_title: str) -> str:
    """Content Creator's Name (0070,0084): the node, as a PN, in which `=` and `^` part the components."""
    return re.sub(r"[=^]", "_", ae_title) + "^"
