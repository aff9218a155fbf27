"""What became of each kind of object at each destination, counted from what the destination holds and from what the node says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.values import ObjectKind, Role

from .sites import Site

# What says something of regions alone: there is none where nothing was found.
OF_FINDINGS = (
    ObjectKind.SEGMENTATION,
    ObjectKind.LABEL_MAP,
    ObjectKind.REGIONS,
    ObjectKind.OUTLINES,
    ObjectKind.KEY_IMAGES,
    ObjectKind.CONTOURS,
)
# What can say that nothing was analysed.
SPEAKING = [kind for kind in encode.KINDS if encode.KINDS[kind].role in (Role.REPORT, Role.PAGE, Role.CAPTURE)]
_SEGMENTATIONS = tuple(encode.KINDS[kind].sop_class_uid for kind in (ObjectKind.SEGMENTATION, ObjectKind.LABEL_MAP))
SENT = "sent"
SETTLED = ("confirmed", "replaced", "refused")


@dataclass
class Judged:
    """Of one study at one site: by kind `sent`, the kind that was sent instead, or `refused`; why, in the node's words; faults."""

    cells: dict[ObjectKind, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def judge(site: Site, status: Mapping[str, Any], held: Sequence[Dataset], *, has_findings: bool) -> Judged:
    """A study whose result says something: every kind that is wanted is there, or something in its place, or a stated refusal."""
    rows = _rows_of(site, status)
    judged = Judged(reasons=sorted({row["why"] for row in rows if row["why"]}))
    nothing_instead = [one for one in status["not_accepted"] if one["destination"] == site.name and one["sent"] is None]
    without = {ObjectKind(one["wanted"]) for one in nothing_instead}
    judged.reasons += (one["text"] for one in nothing_instead)
    wanted = [kind for kind in site.wanted if has_findings or kind not in OF_FINDINGS]
    by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in held}
    for kind in wanted:
        judged.cells[kind] = _find_cell(kind, rows, by_uid) or ("refused" if kind in without else "")
        if judged.cells[kind] == "":
            judged.faults.append(f"{kind}: neither an object nor a reason")
    return _look_at_all(site, rows, by_uid, judged)


def judge_refusal(site: Site, status: Mapping[str, Any], held: Sequence[Dataset]) -> Judged:
    """A study that was not analysed: something says so wherever the destination takes anything that can."""
    rows = _rows_of(site, status)
    by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in held}
    judged = Judged(reasons=sorted({row["why"] for row in rows if row["why"]}))
    for row in rows:
        kind = _kind_of(row)
        if row["state"] == "confirmed" and kind is not None:
            judged.cells[kind] = SENT
    reports = [one for one in status["not_accepted"] if one["destination"] == site.name and one["wanted"] in SPEAKING]
    if not judged.cells and not (reports and all(one["sent"] is None for one in reports)):
        judged.faults.append("not analysed: nothing says so")
    return _look_at_all(site, rows, by_uid, judged)


def _rows_of(site: Site, status: Mapping[str, Any]) -> list[dict[str, Any]]:
    deliveries = [one for result in status["results"] for one in result["deliveries"] if one["destination"] == site.name]
    return [row for delivery in deliveries for row in delivery["objects"]]


def _find_cell(kind: ObjectKind, rows: Sequence[Mapping[str, Any]], by_uid: Mapping[str, Dataset]) -> str:
    there = [row for row in rows if row["state"] == "confirmed" and row["uid"] in by_uid]
    if any(_kind_of(row) == kind for row in there):
        return SENT
    instead = [_kind_of(row) for row in there if kind in row["instead_of"]]
    if instead:
        return str(instead[0])
    is_refused = any(row["state"] == "refused" and kind in (_kind_of(row), *row["instead_of"]) for row in rows)
    return "refused" if is_refused else ""


def _look_at_all(site: Site, rows: Sequence[Mapping[str, Any]], by_uid: Mapping[str, Dataset], judged: Judged) -> Judged:
    """Nothing is there that the node does not know of, nothing is refused without a reason, no report names what is not there."""
    confirmed = {row["uid"] for row in rows if row["state"] == "confirmed"}
    if confirmed != set(by_uid):
        judged.faults.append(f"{len(confirmed ^ set(by_uid))} objects are in one of the two only")
    for row in rows:
        if row["state"] not in SETTLED:
            judged.faults.append(f"{row['role']}: {row['state']}")
        if row["state"] == "refused" and not (row["error"] or row["status"]):
            judged.faults.append(f"{row['role']}: refused without a reason")
        if row["state"] == "replaced" and not row["why"]:
            judged.faults.append(f"{row['role']}: replaced without a reason")
    for dataset in by_uid.values():
        if str(dataset.SOPClassUID) in site.refused:
            judged.faults.append(f"{dataset.SOPClassUID.name}: was refused")
        if not find_segmentations_named(dataset) <= set(by_uid):
            judged.faults.append(f"{dataset.SOPClassUID.name}: names a segmentation that is not there")
    return judged


def _kind_of(row: Mapping[str, Any]) -> ObjectKind | None:
    forms = ((kind, (form.role.value, form.sop_class_uid)) for kind, form in encode.KINDS.items())
    return next((kind for kind, form in forms if form == (row["role"], row["sop_class"])), None)


def find_segmentations_named(dataset: Dataset) -> set[str]:
    """The UIDs of segmentations that an object refers to anywhere."""
    items = [item for element in dataset.iterall() if element.keyword == "ReferencedSOPSequence" for item in element.value]
    return {str(item.ReferencedSOPInstanceUID) for item in items if str(item.ReferencedSOPClassUID) in _SEGMENTATIONS}
