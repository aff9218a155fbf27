"""The kinds of objects: what each is for, its SOP class, and what takes its place where a destination does not take that class."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dicom_node.values import ObjectKind, Role


@dataclass(frozen=True, slots=True)
class KindOfObject:
    """`instead`: the next best kind, None where there is none. `names_segmentation`: its bytes hold the UID of the segmentation."""

    role: Role
    sop_class_uid: str
    instead: ObjectKind | None
    names_segmentation: bool = False


# SOP classes: PS3.4 B.5.
KINDS: Mapping[ObjectKind, KindOfObject] = {
    ObjectKind.SEGMENTATION: KindOfObject(Role.SEGMENTATION, "1.2.840.10008.5.1.4.1.1.66.4", ObjectKind.CAPTURE),
    ObjectKind.LABEL_MAP: KindOfObject(Role.SEGMENTATION, "1.2.840.10008.5.1.4.1.1.66.7", ObjectKind.SEGMENTATION),
    ObjectKind.REPORT_3D: KindOfObject(
        Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.34", ObjectKind.REPORT_COMPREHENSIVE, names_segmentation=True
    ),
    ObjectKind.REPORT_COMPREHENSIVE: KindOfObject(
        Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.33", ObjectKind.REPORT_ENHANCED, names_segmentation=True
    ),
    ObjectKind.REPORT_ENHANCED: KindOfObject(Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.22", ObjectKind.REPORT_TEXT, names_segmentation=True),
    ObjectKind.REPORT_TEXT: KindOfObject(Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.11", ObjectKind.PAGE),
    ObjectKind.MAMMOGRAPHY_CAD: KindOfObject(Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.50", ObjectKind.REPORT_COMPREHENSIVE),
    ObjectKind.REGIONS: KindOfObject(Role.REGIONS, "1.2.840.10008.5.1.4.1.1.88.33", ObjectKind.OUTLINES),
    ObjectKind.CAPTURE: KindOfObject(Role.CAPTURE, "1.2.840.10008.5.1.4.1.1.7", None),
    ObjectKind.PAGE: KindOfObject(Role.PAGE, "1.2.840.10008.5.1.4.1.1.104.1", ObjectKind.CAPTURE),
    ObjectKind.KEY_IMAGES: KindOfObject(Role.KEY_IMAGES, "1.2.840.10008.5.1.4.1.1.88.59", None),
    ObjectKind.OUTLINES: KindOfObject(Role.OUTLINES, "1.2.840.10008.5.1.4.1.1.11.1", ObjectKind.CAPTURE),
    # The same lines, for a viewer. A segmentation would have to lie before the report that names it, and there is one form of it at most.
    ObjectKind.CONTOURS: KindOfObject(Role.CONTOURS, "1.2.840.10008.5.1.4.1.1.481.3", ObjectKind.OUTLINES),
    # Nothing else holds a value for each voxel; a picture of them would be taken for findings.
    ObjectKind.SCORES: KindOfObject(Role.SCORES, "1.2.840.10008.5.1.4.1.1.30", None),
    ObjectKind.REJECTION: KindOfObject(Role.REJECTION, "1.2.840.10008.5.1.4.1.1.88.59", None),
}


def is_for_people(kind: ObjectKind) -> bool:
    """Whether a kind says a whole result, or that nothing was found, to whoever reads it."""
    return KINDS[kind].role in {Role.REPORT, Role.PAGE, Role.CAPTURE}


@dataclass(frozen=True, slots=True)
class SteppedDown:
    """`wanted` cannot be had by a destination, or of a result: it gets `sent`, which may be wanted anyway, or nothing."""

    wanted: ObjectKind
    sent: ObjectKind | None


def step_down(
    wanted: Sequence[ObjectKind], not_accepted: Collection[str], unwritable: Collection[ObjectKind] = ()
) -> tuple[tuple[ObjectKind, ...], tuple[SteppedDown, ...]]:
    """What a destination gets that does not accept these SOP classes, in the order wanted and each once; and what instead of what.

    `unwritable` are kinds as which the result in question cannot be written.
    """
    kinds: dict[ObjectKind, None] = {}
    changes = []
    for kind in wanted:
        sent: ObjectKind | None = kind
        while sent is not None and (sent in unwritable or KINDS[sent].sop_class_uid in not_accepted):
            sent = KINDS[sent].instead
        if sent is not None:
            kinds[sent] = None
        if sent is not kind:
            changes.append(SteppedDown(kind, sent))
    return tuple(kinds), tuple(changes)


def find_chain(kind: ObjectKind) -> tuple[ObjectKind, ...]:
    """A kind and all that may take its place, the best first."""
    instead = KINDS[kind].instead
    return (kind, *(() if instead is None else find_chain(instead)))


def find_classes(wanted: Sequence[ObjectKind]) -> tuple[str, ...]:
    """The SOP classes of these kinds and of all that may take their place: what a destination is asked about."""
    return tuple(dict.fromkeys(KINDS[one].sop_class_uid for kind in wanted for one in find_chain(kind)))
