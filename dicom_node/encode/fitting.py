"""As which kinds of objects a result cannot be written."""

from collections.abc import Callable, Collection, Mapping

from dicom_node.values import Analysed, Form, ObjectKind, Result, SeriesHeaders

from . import label_map
from .kinds import find_chain
from .mammography_codes import find_single_image_finding

# Of what says a result those that have no place for the reason why there is none (PS3.16 TID 4000).
UNABLE_TO_REFUSE = frozenset({ObjectKind.MAMMOGRAPHY_CAD})


def find_unwritable(result: Result, headers: SeriesHeaders, wanted: Collection[ObjectKind]) -> frozenset[ObjectKind]:
    """Of these kinds, and of those that may take their place, the ones as which a result cannot be written."""
    kinds = {one for kind in wanted for one in find_chain(kind)}
    return frozenset(one for one in kinds if not fits(one, result, headers))


def fits(kind: ObjectKind, result: Result, headers: SeriesHeaders) -> bool:
    """Whether an object of this kind can say everything that this result says."""
    if not isinstance(result, Analysed):
        return kind not in UNABLE_TO_REFUSE
    return kind not in _CONDITIONS or _CONDITIONS[kind](result, headers)


def is_unwritable(kind: ObjectKind, result: Result) -> bool | None:
    """The same without the headers, when the images may have left: None where it depends on them."""
    if not isinstance(result, Analysed):
        return kind in UNABLE_TO_REFUSE
    match kind:
        case ObjectKind.SEGMENTATION:
            return result.geometry.form is Form.PROJECTION
        case ObjectKind.LABEL_MAP:
            return result.geometry.form is Form.PROJECTION or not label_map.is_writable(result)
        case ObjectKind.MAMMOGRAPHY_CAD:
            return None if _has_codes_of_mammography(result) else True
        case _:
            return False


def _is_of_mammograms(result: Analysed, headers: SeriesHeaders) -> bool:
    """On images of Modality MG, each a projection, of which all that was looked for or found has a code in mammography CAD."""
    return _has_codes_of_mammography(result) and {one.attribute("Modality") for one in headers.instances} == {("MG",)}


def _has_codes_of_mammography(result: Analysed) -> bool:
    concepts = [*result.looked_for, *(finding.type for finding in result.findings)]
    return (
        result.geometry.form is Form.PROJECTION
        and len(concepts) > 0
        and all(find_single_image_finding(concept) is not None for concept in concepts)
    )


def _has_a_place(result: Analysed, _: SeriesHeaders) -> bool:
    """On images that lie somewhere in the patient, which a projection does not."""
    return result.geometry.form is not Form.PROJECTION


def _has_a_frame_of_reference(result: Analysed, headers: SeriesHeaders) -> bool:
    return _has_a_place(result, headers) and result.geometry.frame_of_reference_uid is not None


def _has_scores(result: Analysed, headers: SeriesHeaders) -> bool:
    return _has_a_frame_of_reference(result, headers) and result.scores is not None


def _is_label_map(result: Analysed, headers: SeriesHeaders) -> bool:
    return _has_a_place(result, headers) and label_map.is_writable(result)


_CONDITIONS: Mapping[ObjectKind, Callable[[Analysed, SeriesHeaders], bool]] = {
    ObjectKind.SEGMENTATION: _has_a_place,
    ObjectKind.LABEL_MAP: _is_label_map,
    ObjectKind.MAMMOGRAPHY_CAD: _is_of_mammograms,
    ObjectKind.CONTOURS: _has_a_frame_of_reference,
    ObjectKind.SCORES: _has_scores,
}
