"""Objects against the result that they were made from, from their bytes alone.

Nothing here is shared with the way of writing: the bits are unpacked, the planes placed and the content tree walked anew, so
that one fault cannot stand on both sides.
"""

import struct
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, Mask, ObjectKind, Reason, Role
from dicom_node.values.reasons import ReportMismatch, ResultMismatch

from .compare_captures import count_wrong_pages
from .compare_contours import count_wrong_contours
from .compare_mammography import count_differences_of_mammography
from .compare_marks import count_wrong_key_images, count_wrong_on_page, count_wrong_outlines
from .compare_report import count_differences, count_differences_of_regions, names_segments
from .compare_scores import count_wrong_scores
from .compare_text import count_differences_of_text
from .kinds import is_for_people
from .read_back import WrittenFrames, read_report, read_segmentation

# How far a voxel centre may lie from the one it stands for, in voxels: positions of real slices jitter, a wrong one is a whole voxel off.
TOLERANCE_VOXELS = 0.25

_OTHERS = {
    Role.PAGE: count_wrong_on_page,
    Role.KEY_IMAGES: count_wrong_key_images,
    Role.OUTLINES: count_wrong_outlines,
    Role.CONTOURS: count_wrong_contours,
    Role.SCORES: count_wrong_scores,
}
_NO_MASK = Mask((0, 0, 0), np.zeros((0, 0, 0), dtype=bool))


def compare(objects: Sequence[DicomObject], result: Analysed) -> Reason | None:
    """None where the objects say what the result says, else the first difference as a reason.

    Segmentations: every voxel by its place in the patient, in LPS millimetres, and the source frame that it names. Reports: tracking
    UIDs, segment numbers or images, outlines, and measured values. Captures: `compare_captures`; page, key images and outlines:
    `compare_marks`; contours: `compare_contours`; scores: `compare_scores`. Of the kinds that say a result to a person there is at least
    one.
    Raises EncodingError where an object cannot be read.
    """
    content = {one.role: one.content for one in objects}
    try:
        segmentations = [read_segmentation(one.content) for one in objects if one.role is Role.SEGMENTATION]
        reports = [(one, read_report(one.content)) for one in objects if one.kind in _REPORTS]
        if segmentations or any(names_segments(report) for _, report in reports):
            voxels = _count_wrong_voxels(segmentations, result)
            if voxels:
                return ResultMismatch(voxels)
        headers = [header for header, _ in segmentations]
        differences = sum(_REPORTS[one.kind](report, headers, result) for one, report in reports)
        differences += sum(str(report.SOPClassUID) != one.sop_class_uid for one, report in reports)
        differences += count_wrong_pages([one.content for one in objects if one.role is Role.CAPTURE], result)
        differences += sum(count(content[role], result) for role, count in _OTHERS.items() if role in content)
        differences += 0 if any(is_for_people(one.kind) for one in objects) else 1
    except (ValueError, TypeError, AttributeError, LookupError, EOFError, struct.error, InvalidDicomError) as cause:
        raise EncodingError("reading back") from cause
    return ReportMismatch(differences) if differences else None


_REPORTS: Mapping[ObjectKind, Callable[[Dataset, Sequence[Dataset], Analysed], int]] = {
    ObjectKind.REPORT_3D: count_differences,
    ObjectKind.REPORT_COMPREHENSIVE: count_differences,
    ObjectKind.REPORT_ENHANCED: count_differences,
    ObjectKind.REPORT_TEXT: count_differences_of_text,
    ObjectKind.MAMMOGRAPHY_CAD: count_differences_of_mammography,
    ObjectKind.REGIONS: count_differences_of_regions,
}


# -- segmentations ---------------------------------------------------------------------------------------------------------


def _count_wrong_voxels(segmentations: Sequence[tuple[Dataset, WrittenFrames]], result: Analysed) -> int:
    """Voxels that are in the objects and not in the result, or the other way round, over all segments.

    The segments of one segmentation follow those of the one before it, in the order of the findings.
    """
    masks = {finding.number: finding.mask for finding in result.findings}
    wrong = before = 0
    for segmentation, frames in segmentations:
        numbers = {int(one.SegmentNumber) for one in segmentation.SegmentSequence} - {0}  # the background of a label map
        own = {number: masks.pop(before + number, _NO_MASK) for number in numbers}
        wrong += _count_wrong_of(segmentation, frames, own, result)
        before += len(numbers)
    return wrong + sum(int(np.count_nonzero(mask.voxels)) for mask in masks.values())


def _count_wrong_of(segmentation: Dataset, frames: WrittenFrames, masks: Mapping[int, Mask], result: Analysed) -> int:
    """Of one segmentation, which should have these masks as its segments."""
    slices = _find_named_slices(frames, result)
    if str(segmentation.FrameOfReferenceUID) != result.geometry.frame_of_reference_uid or frames.shape != result.geometry.shape[1:]:
        slices[:] = -1
    drift = _find_drift(frames, slices, result)
    by_segment: dict[int, list[int]] = {number: [] for number in masks}
    for number, segment in enumerate(frames.segments):
        by_segment.setdefault(segment, []).append(number)
    return sum(_count_wrong_in(masks.get(one, _NO_MASK), frames, numbers, slices, drift) for one, numbers in by_segment.items())


def _count_wrong_in(
    mask: Mask, frames: WrittenFrames, numbers: Sequence[int], slices: npt.NDArray[np.int64], drift: npt.NDArray[np.float64]
) -> int:
    """Of one segment, which has the frames of these numbers: each of their pixels must be a voxel of its own, and all of them the mask.

    Whether they are where they should be is asked at the corners of the mask's box: between them nothing drifts further.
    """
    (first, row, column), (depth, height, width) = mask.origin, mask.voxels.shape
    corners = np.array([(1, y, x) for y in (row, row + height - 1) for x in (column, column + width - 1)])
    in_place = np.abs(corners @ drift[numbers]).max(axis=(1, 2)) <= TOLERANCE_VOXELS
    box = np.zeros(mask.voxels.shape, dtype=bool)
    pixels = 0
    for number, is_in_place in zip(numbers, in_place, strict=True):
        plane, index = frames.pixels(number), slices[number] - first
        pixels += int(np.count_nonzero(plane))
        if is_in_place and 0 <= index < depth:
            box[index] |= plane[row : row + height, column : column + width]
    astray = pixels - int(np.count_nonzero(box))  # not in place, outside of the box, or where another pixel lies already
    box ^= mask.voxels
    return astray + int(np.count_nonzero(box))


def _find_named_slices(frames: WrittenFrames, result: Analysed) -> npt.NDArray[np.int64]:
    """The slice of the result's grid that was read from the source which a frame names; -1 for none."""
    known = {(frame.sop_instance_uid, frame.frame_number): index for index, frame in enumerate(result.geometry.frames)}
    return np.array([known.get(source, -1) for source in frames.sources], dtype=np.int64)


def _find_drift(frames: WrittenFrames, slices: npt.NDArray[np.int64], result: Analysed) -> npt.NDArray[np.float64]:
    """How far the pixels of each frame lie from the voxels of its slice with the same row and column: (frames, 3, 3).

    (1, row, column) @ drift[frame] is the distance in voxels, along (slice, row, column). Source: PS3.3 equation C.7.6.2.1-1.
    """
    affine = np.array(result.geometry.lps_from_index, dtype=float)
    index_from_lps = np.linalg.inv(affine[:3, :3]).T
    drift = np.stack([frames.positions_lps - affine[:3, 3], frames.down_mm, frames.across_mm], axis=1) @ index_from_lps
    drift[:, 0, 0] -= slices
    drift[:, 1, 1] -= 1
    drift[:, 2, 2] -= 1
    return np.asarray(drift, dtype=np.float64)
