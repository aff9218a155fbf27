"""A report of measurement groups against the result that it was made from: on segments, on images, on outlines."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from scipy import ndimage

from dicom_node.values import Analysed, Finding

from .compare_changes import names_prior, says_change
from .content_tree import are_close, children, code_of, evidence_of, name_of, number_of, slice_of, walk

_MEASUREMENT_GROUP = ("125007", "DCM")
_TRACKING_UID = ("112040", "DCM")
_REFERENCED_SEGMENT = ("121191", "DCM")
_SOURCE_IMAGE = ("121112", "DCM")
_REGION = ("111030", "DCM")
_THRESHOLD = ("122411", "DCM")
_FINDING = ("121071", "DCM")
_PRESENCE = ("121052", "DCM")
_ABSENT = ("272519000", "SCT")
_SCORE = "SCORE"


class _Segment(NamedTuple):
    """Where a segment is, and as what it is tracked."""

    sop_instance_uid: str
    number: int
    tracking_uid: str


_Place = Callable[[Dataset, Finding], bool]


def names_segments(report: Dataset) -> bool:
    """Whether any item refers to a segment."""
    return any(name_of(item) == _REFERENCED_SEGMENT for item in walk(report))


def count_differences(report: Dataset, segmentations: Sequence[Dataset], result: Analysed) -> int:
    """Findings that the report does not say as the result does, groups that belong to none, and what is not said of what is missing."""
    groups = [item for item in walk(report) if name_of(item) == _MEASUREMENT_GROUP]
    found = [group for group in groups if not children(group, _PRESENCE)]
    if not segmentations:
        wrong = _count_wrong(found, result, lambda group, finding: _is_on_image(group, finding, result))
    else:
        segments = _find_segments(segmentations)
        wrong = _count_wrong(found, result, lambda group, finding: _is_on_segment(group, finding, segments))
    missing = [group for group in groups if children(group, _PRESENCE)]
    return wrong + _count_wrongly_missing(missing, result) + _count_wrong_evidence(report, segmentations, result)


def count_differences_of_regions(report: Dataset, _: Sequence[Dataset], result: Analysed) -> int:
    """Findings that have no group with their outline and their numbers, and groups that belong to none."""
    groups = [item for item in walk(report) if name_of(item) == _MEASUREMENT_GROUP]
    wrong = _count_wrong(groups, result, lambda group, finding: _is_outlined(group, finding, result))
    return wrong + _count_wrong_evidence(report, (), result)


def _count_wrong(groups: Sequence[Dataset], result: Analysed, is_in_place: _Place) -> int:
    by_uid = {str(item.UID): group for group in groups for item in children(group, _TRACKING_UID)}
    wrong = [
        finding
        for finding in result.findings
        if finding.tracking_uid not in by_uid
        or not _says_numbers(by_uid[finding.tracking_uid], finding, result)
        or not says_change(by_uid[finding.tracking_uid], finding)
        or not is_in_place(by_uid[finding.tracking_uid], finding)
    ]
    return len(wrong) + abs(len(groups) - len(result.findings))


def _says_numbers(group: Dataset, finding: Finding, result: Analysed) -> bool:
    """Whether a group holds the finding's type and numbers, and no others."""
    wanted = [((one.concept.value, one.concept.scheme), one.unit.value, one.value) for one in finding.measurements]
    numbers = [number_of(item) for item in group.ContentSequence if item.ValueType == "NUM"]
    scores = [value for name, _, value in numbers if name[0] == _SCORE]
    thresholds = [value for name, _, value in numbers if name == _THRESHOLD]
    measured = [number for number in numbers if number[0][0] != _SCORE and number[0] != _THRESHOLD]
    has_threshold = finding.score is not None and result.threshold is not None
    return (
        [code_of(item) for item in children(group, _FINDING)] == [(finding.type.value, finding.type.scheme)]
        and [one[:2] for one in measured] == [one[:2] for one in wanted]
        and are_close([one[2] for one in measured], [one[2] for one in wanted])
        and are_close(scores, [] if finding.score is None else [finding.score])
        and are_close(thresholds, [result.threshold] if has_threshold and result.threshold is not None else [])
    )


def _is_on_segment(group: Dataset, finding: Finding, segments: Mapping[int, Sequence[_Segment]]) -> bool:
    """Whether a group refers to the finding's segment and no other, and that is tracked as the finding."""
    references = [item.ReferencedSOPSequence[0] for item in children(group, _REFERENCED_SEGMENT)]
    named = [_Segment(str(one.ReferencedSOPInstanceUID), int(one.ReferencedSegmentNumber), finding.tracking_uid) for one in references]
    return len(named) == 1 and named == segments.get(finding.number)


def _is_on_image(group: Dataset, finding: Finding, result: Analysed) -> bool:
    """No segment, and the one image of a slice on which the finding is as large as anywhere."""
    images = children(group, _SOURCE_IMAGE)
    return len(images) == 1 and not children(group, _REFERENCED_SEGMENT) and largest_plane(images[0], finding, result) is not None


def largest_plane(image: Dataset, finding: Finding, result: Analysed) -> npt.NDArray[np.bool_] | None:
    """The mask on the slice that an IMAGE refers to; None where it is larger on another one."""
    index, voxels = slice_of(image, result.geometry), finding.mask.voxels
    if index is None or not 0 <= index - finding.mask.origin[0] < len(voxels):
        return None
    plane = voxels[index - finding.mask.origin[0]]
    return plane if np.count_nonzero(plane) == np.count_nonzero(voxels, axis=(1, 2)).max() else None


def _is_outlined(group: Dataset, finding: Finding, result: Analysed) -> bool:
    """One closed polygon, which filled is the largest part of the mask on its slice, holes filled."""
    regions = children(group, _REGION)
    if len(regions) != 1 or regions[0].GraphicType != "POLYLINE" or len(regions[0].ContentSequence) != 1:
        return False
    (region,), (image,) = regions, regions[0].ContentSequence
    plane = largest_plane(image, finding, result)
    points = np.array(region.GraphicData, dtype=float).reshape(-1, 2)
    return plane is not None and encloses_largest_part(points, plane, finding)


def encloses_largest_part(points: npt.NDArray[np.float64], plane: npt.NDArray[np.bool_], finding: Finding) -> bool:
    """Whether a line of (column, row) is closed and, filled, the largest part of a finding's mask on a slice, holes filled.

    `plane` is the mask on that slice, as large as its box. It is filled on as much of the slice as line and box take: a mammogram is large.
    """
    if not np.array_equal(points[0], points[-1]):
        return False
    corner = np.array(finding.mask.origin[:0:-1])  # column, row
    first = np.minimum(np.floor(points.min(axis=0)).astype(int), corner)
    columns, rows = np.maximum(np.ceil(points.max(axis=0)).astype(int), corner + plane.shape[::-1]) - first
    filled = _fill(points - first, (int(rows), int(columns)))
    column, row = corner - first
    box = filled[row : row + plane.shape[0], column : column + plane.shape[1]]
    labels, count = ndimage.label(plane)
    around = np.ones((3, 3), dtype=bool)  # what is outside reaches through corners: pixels that touch there alone are apart
    parts = [ndimage.binary_fill_holes(labels == number, structure=around) for number in range(1, count + 1)]
    largest = max(int(np.count_nonzero(part)) for part in parts)
    return (
        np.count_nonzero(filled) == np.count_nonzero(box) == largest  # nothing lies outside of the mask's box
        and any(np.array_equal(part, box) for part in parts)
    )


def _fill(points: npt.NDArray[np.float64], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels whose centres lie inside of a closed polygon of (column, row), even-odd, on a grid of (rows, columns)."""
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), dtype=bool)
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        low, high = sorted((y1, y2))
        crossed = np.arange(max(0, int(np.ceil(low - 0.5))), min(rows, int(np.ceil(high - 0.5))))
        if len(crossed):
            x = x1 + (crossed + 0.5 - y1) * (x2 - x1) / (y2 - y1)
            crossings[crossed, np.clip(np.ceil(x - 0.5), 0, columns).astype(int)] ^= True
    return np.asarray(np.logical_xor.accumulate(crossings, axis=1)[:, :columns])


def _count_wrongly_missing(groups: Sequence[Dataset], result: Analysed) -> int:
    """Groups of what was not detected against what was looked for and not found: the same concepts, each said to be absent."""
    found = {(finding.type.value, finding.type.scheme) for finding in result.findings}
    wanted = [(one.value, one.scheme) for one in result.looked_for if (one.value, one.scheme) not in found]
    said = []
    for group in groups:
        is_absent = [code_of(item) for item in children(group, _PRESENCE)] == [_ABSENT]
        said += [code_of(item) for item in children(group, _FINDING)] if is_absent else [("", "")]
    return sum(one not in said for one in wanted) + sum(one not in wanted for one in said) + abs(len(said) - len(wanted))


def _count_wrong_evidence(report: Dataset, segmentations: Sequence[Dataset], result: Analysed) -> int:
    """Instances that are referred to and no evidence, evidence that is neither an image of the result nor one of its segmentations; and
    another prior than the one that the result was compared with."""
    segments = {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in walk(report) if name_of(item) == _REFERENCED_SEGMENT
    }
    images = {
        image_uid
        for item in walk(report)
        if item.ValueType == "IMAGE" and name_of(item) != _REFERENCED_SEGMENT
        for image_uid in _uids(item)
    }
    known = {frame.sop_instance_uid for frame in result.geometry.frames}
    if result.findings:
        known |= {str(segmentation.SOPInstanceUID) for segmentation in segmentations}
    has_prior = names_prior(report, result)
    return len((segments | images) ^ {uid for *_, uid in evidence_of(report)}) + len((segments | images) - known) + (0 if has_prior else 1)


def _uids(image: Dataset) -> set[str]:
    return {str(reference.ReferencedSOPInstanceUID) for reference in image.ReferencedSOPSequence}


def _find_segments(segmentations: Sequence[Dataset]) -> dict[int, list[_Segment]]:
    """By the number of the finding, counted on from one segmentation to the next; there should be one of each.

    Number 0 is the background of a label map.
    """
    found: dict[int, list[_Segment]] = {}
    before = 0
    for segmentation in segmentations:
        segments = [segment for segment in segmentation.SegmentSequence if segment.SegmentNumber != 0]
        for segment in segments:
            number = int(segment.SegmentNumber)
            found.setdefault(before + number, []).append(_Segment(str(segmentation.SOPInstanceUID), number, str(segment.TrackingUID)))
        before += len(segments)
    return found
