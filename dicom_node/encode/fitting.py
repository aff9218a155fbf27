"""Which kinds of objects can say a result, and what says it in place of those that cannot."""

from collections.abc import Callable, Collection, Mapping, Sequence

from dicom_node.values import Analysed, Form, ObjectKind, SeriesHeaders

from .kinds import KINDS, find_chain
from .mammography_codes import find_single_image_finding


def find_fitting(
    wanted: Sequence[ObjectKind], result: Analysed, headers: SeriesHeaders, not_accepted: Collection[str] = ()
) -> tuple[ObjectKind, ...]:
    """Of each kind the first of it and what is `instead` that fits, in the order wanted and each once.

    One of a class in `not_accepted` only where there is no other: it is refused then, and that is said.
    """
    kinds: dict[ObjectKind, None] = {}
    for kind in wanted:
        fitting = [one for one in find_chain(kind) if fits(one, result, headers)]
        accepted = [one for one in fitting if KINDS[one].sop_class_uid not in not_accepted]
        kinds |= dict.fromkeys((accepted or fitting)[:1])
    return tuple(kinds)


def fits(kind: ObjectKind, result: Analysed, headers: SeriesHeaders) -> bool:
    """Whether an object of this kind can say everything that this result says."""
    return kind not in _CONDITIONS or _CONDITIONS[kind](result, headers)


def _is_of_mammograms(result: Analysed, headers: SeriesHeaders) -> bool:
    """On images of Modality MG, each a projection, of which all that was looked for or found has a code in mammography CAD."""
    concepts = [*result.looked_for, *(finding.type for finding in result.findings)]
    return (
        result.geometry.form is Form.PROJECTION
        and {one.attribute("Modality") for one in headers.instances} == {("MG",)}
        and len(concepts) > 0
        and all(find_single_image_finding(concept) is not None for concept in concepts)
    )


def _has_a_place(result: Analysed, _: SeriesHeaders) -> bool:
    """On images that lie somewhere in the patient, which a projection does not."""
    return result.geometry.form is not Form.PROJECTION


_CONDITIONS: Mapping[ObjectKind, Callable[[Analysed, SeriesHeaders], bool]] = {
    ObjectKind.SEGMENTATION: _has_a_place,
    ObjectKind.LABEL_MAP: _has_a_place,
    ObjectKind.MAMMOGRAPHY_CAD: _is_of_mammograms,
}
