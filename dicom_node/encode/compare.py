"""Objects against the result that they were made from, from their bytes alone.

Nothing here is shared with the way of writing: the bits are unpacked, the planes placed and the content tree walked anew, so
that one fault cannot stand on both sides.
"""

import math
import struct
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, Finding, Mask, Reason, Role
from dicom_node.values.reasons import ReportMismatch, ResultMismatch

from .compare_changes import count_wrong_changes
from .read_back import WrittenFrames, read_report, read_segmentation

# How far a voxel centre may lie from the one it stands for, in voxels: positions of real slices jitter, a wrong one is a whole voxel off.
TOLERANCE_VOXELS = 0.25

_NO_MASK = Mask((0, 0, 0), np.zeros((0, 0, 0), dtype=bool))


def compare(objects: Sequence[DicomObject], result: Analysed) -> Reason | None:
    """None where the objects say what the result says, else the first difference as a reason.

    The segmentation: every voxel by its place in the patient, in LPS millimetres, and the source frame that it names. The report:
    tracking UIDs, segment numbers and measured values. Raises EncodingError where an object cannot be read.
    """
    content = {one.role: one.content for one in objects}
    try:
        segmentation, frames = read_segmentation(content[Role.SEGMENTATION]) if Role.SEGMENTATION in content else (None, None)
        voxels = _count_wrong_voxels(segmentation, frames, result)
        if voxels:
            return ResultMismatch(voxels)
        report = read_report(content[Role.REPORT]) if Role.REPORT in content else None
        differences = _count_differences(report, segmentation, result)
    except (ValueError, TypeError, AttributeError, LookupError, EOFError, struct.error, InvalidDicomError) as cause:
        raise EncodingError("reading back") from cause
    return ReportMismatch(differences) if differences else None


# -- segmentation ---------------------------------------------------------------------------------------------------------


def _count_wrong_voxels(segmentation: Dataset | None, frames: WrittenFrames | None, result: Analysed) -> int:
    """Voxels that are in the object and not in the result, or the other way round, over all segments."""
    masks = {finding.number: finding.mask for finding in result.findings}
    if segmentation is None or frames is None:
        return sum(int(np.count_nonzero(mask.voxels)) for mask in masks.values())
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


# -- report -----------------------------------------------------------------------------------------------------------------

_MEASUREMENT_GROUP = ("125007", "DCM")
_TRACKING_UID = ("112040", "DCM")
_REFERENCED_SEGMENT = ("121191", "DCM")
_THRESHOLD = ("122411", "DCM")
_SCORE = "SCORE"


def _count_differences(report: Dataset | None, segmentation: Dataset | None, result: Analysed) -> int:
    """Findings that the report does not say as the result does, and groups that belong to none."""
    if report is None or (segmentation is None) != (not result.findings):
        return 1
    groups = [item for item in _walk(report) if _name(item) == _MEASUREMENT_GROUP]
    on_segments = [group for group in groups if any(_name(item) == _REFERENCED_SEGMENT for item in group.ContentSequence)]
    tracked = _tracking_uids(segmentation)
    segmentation_uid = str(segmentation.SOPInstanceUID) if segmentation is not None else ""
    by_uid = {str(item.UID): group for group in on_segments for item in group.ContentSequence if _name(item) == _TRACKING_UID}
    wrong = [
        finding
        for finding in result.findings
        if finding.tracking_uid not in by_uid
        or not _says(by_uid[finding.tracking_uid], finding, segmentation_uid, result)
        or tracked.get(finding.number) != [finding.tracking_uid]
    ]
    changes = count_wrong_changes(report, by_uid, result)
    return len(wrong) + changes + abs(len(on_segments) - len(result.findings)) + (0 if groups else 1)


def _says(group: Dataset, finding: Finding, segmentation_uid: str, result: Analysed) -> bool:
    """Whether a group refers to the segment of the finding and holds its numbers, and no others."""
    segments = [item.ReferencedSOPSequence[0] for item in group.ContentSequence if _name(item) == _REFERENCED_SEGMENT]
    named = [(str(one.ReferencedSOPInstanceUID), int(one.ReferencedSegmentNumber)) for one in segments]
    wanted = [((one.concept.value, one.concept.scheme), one.unit.value, one.value) for one in finding.measurements]
    numbers = [_number(item) for item in group.ContentSequence if item.ValueType == "NUM"]
    scores = [value for name, _, value in numbers if name[0] == _SCORE]
    thresholds = [value for name, _, value in numbers if name == _THRESHOLD]
    measured = [number for number in numbers if number[0][0] != _SCORE and number[0] != _THRESHOLD]
    has_threshold = finding.score is not None and result.threshold is not None
    return (
        named == [(segmentation_uid, finding.number)]
        and len(measured) == len(wanted)
        and all(one[:2] == other[:2] and _is_close(one[2], other[2]) for one, other in zip(measured, wanted, strict=True))
        and _are_close(scores, [] if finding.score is None else [finding.score])
        and _are_close(thresholds, [result.threshold] if has_threshold and result.threshold is not None else [])
    )


def _tracking_uids(segmentation: Dataset | None) -> dict[int, list[str]]:
    """By segment number; there should be one of each. Number 0 is the background of a label map."""
    found: dict[int, list[str]] = {}
    for segment in [] if segmentation is None else segmentation.SegmentSequence:
        if segment.SegmentNumber != 0:
            found.setdefault(int(segment.SegmentNumber), []).append(str(segment.TrackingUID))
    return found


def _number(item: Dataset) -> tuple[tuple[str, str], str, float]:
    measured = item.MeasuredValueSequence[0]
    return _name(item), str(measured.MeasurementUnitsCodeSequence[0].CodeValue), float(measured.NumericValue)


def _are_close(found: Sequence[float], wanted: Sequence[float]) -> bool:
    return len(found) == len(wanted) and all(_is_close(one, other) for one, other in zip(found, wanted, strict=True))


def _is_close(found: float, wanted: float) -> bool:
    """Within what 16 characters hold."""
    return math.isclose(found, wanted, rel_tol=1e-8)


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _walk(child)


def _name(item: Dataset) -> tuple[str, str]:
    if "ConceptNameCodeSequence" not in item:
        return "", ""
    name = item.ConceptNameCodeSequence[0]
    return str(name.get("CodeValue", "")), str(name.CodingSchemeDesignator)
