"""Objects against the result that they were made from, from their bytes alone.

Nothing here is shared with the way of writing: the bits are unpacked, the planes placed and the content tree walked anew, so
that one fault cannot stand on both sides.
"""

import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, Finding, Reason, Role
from dicom_node.values.reasons import ReportMismatch, ResultMismatch

# How far a voxel centre may lie from the one it stands for, in voxels: positions of real slices jitter, a wrong one is a whole voxel off.
TOLERANCE_VOXELS = 0.25

Flat = npt.NDArray[np.int64]


def compare(objects: Sequence[DicomObject], result: Analysed) -> Reason | None:
    """None where the objects say what the result says, else the first difference as a reason.

    The segmentation: every voxel by its place in the patient, in LPS millimetres, and the source frame that it names. The report:
    tracking UIDs, segment numbers and measured values.
    """
    by_role = {one.role: pydicom.dcmread(io.BytesIO(one.content)) for one in objects}
    segmentation, report = by_role.get(Role.SEGMENTATION), by_role.get(Role.REPORT)
    voxels = _count_wrong_voxels(segmentation, result)
    if voxels:
        return ResultMismatch(voxels)
    differences = _count_differences(report, segmentation, result)
    return ReportMismatch(differences) if differences else None


# -- segmentation ---------------------------------------------------------------------------------------------------------


def _count_wrong_voxels(segmentation: Dataset | None, result: Analysed) -> int:
    """Voxels that are in the object and not in the result, or the other way round, over all segments."""
    wanted = {finding.number: _mask_voxels(finding, result) for finding in result.findings}
    written: dict[int, list[Flat]] = {}
    misplaced = 0
    for number, voxels, outside in _frames(segmentation, result) if segmentation is not None else ():
        written.setdefault(number, []).append(voxels)
        misplaced += outside
    for number in {*wanted, *written}:
        nothing = np.zeros(0, dtype=np.int64)
        found = np.concatenate([*written.get(number, []), nothing])
        misplaced += len(np.setxor1d(found, wanted.get(number, nothing))) + len(found) - len(np.unique(found))
    return misplaced


def _mask_voxels(finding: Finding, result: Analysed) -> Flat:
    index = np.argwhere(finding.mask.voxels) + np.array(finding.mask.origin)
    return _flat(index, result)


def _flat(index: npt.NDArray[np.int64], result: Analysed) -> Flat:
    """(n, 3) indices as one number each."""
    _, rows, columns = result.geometry.shape
    flat: Flat = (index[:, 0] * rows + index[:, 1]) * columns + index[:, 2]
    return flat


def _frames(segmentation: Dataset, result: Analysed) -> Iterator[tuple[int, Flat, int]]:
    """Each frame: segment number, the voxels of the result's grid that its pixels lie on, and how many lie on none."""
    affine = np.array(result.geometry.lps_from_index, dtype=float)
    index_from_lps = np.linalg.inv(affine)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    rows, columns = int(segmentation.Rows), int(segmentation.Columns)
    is_same_frame_of_reference = str(segmentation.FrameOfReferenceUID) == result.geometry.frame_of_reference_uid
    for number, own in enumerate(segmentation.PerFrameFunctionalGroupsSequence):
        pixels = _unpack(segmentation.PixelData, number * rows * columns, rows * columns).reshape(rows, columns)
        lps = _place(own, shared, np.argwhere(pixels))
        index = (lps - affine[:3, 3]) @ index_from_lps[:3, :3].T
        nearest = np.rint(index).astype(np.int64)
        on_grid = np.all(np.abs(index - nearest) <= TOLERANCE_VOXELS, axis=1)
        on_grid &= np.all((nearest >= 0) & (nearest < np.array(result.geometry.shape)), axis=1)
        on_grid &= is_same_frame_of_reference & _is_named(own, nearest[:, 0], result)
        voxels = _flat(nearest[on_grid], result)
        segment = int(_group(own, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        yield segment, voxels, int(np.count_nonzero(~on_grid))


def _unpack(pixel_data: bytes, first_bit: int, count: int) -> npt.NDArray[np.uint8]:
    """`count` bits from a bit on; frames follow each other without gaps, the least significant bit of a byte first.

    Source: PS3.5 8.1.1.
    """
    first_byte, skipped = divmod(first_bit, 8)
    packed = np.frombuffer(pixel_data[first_byte : (first_bit + count + 7) // 8], dtype=np.uint8)
    bits = ((packed[:, None] >> np.arange(8)) & 1).astype(np.uint8).reshape(-1)[skipped : skipped + count]
    if len(bits) != count:
        raise EncodingError("pixel data is too short")
    return bits


def _place(own: Dataset, shared: Dataset, pixels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Centres in LPS mm of pixels, given as (n, 2) of row and column.

    Source: PS3.3 equation C.7.6.2.1-1.
    """
    position = np.array([float(part) for part in _group(own, shared, "PlanePositionSequence").ImagePositionPatient])
    cosines = np.array([float(part) for part in _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient])
    between_rows_mm, between_columns_mm = (float(part) for part in _group(own, shared, "PixelMeasuresSequence").PixelSpacing)
    along_row, along_column = cosines[:3] * between_columns_mm, cosines[3:] * between_rows_mm
    return position + pixels[:, 1:2] * along_row + pixels[:, 0:1] * along_column


def _is_named(own: Dataset, slices: Flat, result: Analysed) -> npt.NDArray[np.bool_]:
    """Whether the frame refers to the instance (and frame, where it says one) that the slices come from."""
    reference = own.DerivationImageSequence[0].SourceImageSequence[0]
    frame_number = int(reference.get("ReferencedFrameNumber", 1))
    named = {
        index
        for index, frame in enumerate(result.geometry.frames)
        if (frame.sop_instance_uid, frame.frame_number) == (str(reference.ReferencedSOPInstanceUID), frame_number)
    }
    return np.isin(slices, sorted(named))


def _group(own: Dataset, shared: Dataset, keyword: str) -> Dataset:
    """The item of a functional group, which lies with the frame or with all of them."""
    item = (own if keyword in own else shared)[keyword].value[0]
    assert isinstance(item, Dataset)
    return item


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
    by_uid = {str(item.UID): group for group in on_segments for item in group.ContentSequence if _name(item) == _TRACKING_UID}
    wrong = [
        finding
        for finding in result.findings
        if finding.tracking_uid not in by_uid
        or not _says(by_uid[finding.tracking_uid], finding, str(segmentation.SOPInstanceUID) if segmentation else "", result)
        or not _is_tracked(segmentation, finding)
    ]
    return len(wrong) + abs(len(on_segments) - len(result.findings)) + (0 if groups else 1)


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


def _is_tracked(segmentation: Dataset | None, finding: Finding) -> bool:
    """Whether the segment carries the finding's tracking UID."""
    segments = [] if segmentation is None else segmentation.SegmentSequence
    uids = [str(segment.TrackingUID) for segment in segments if int(segment.SegmentNumber) == finding.number]
    return uids == [finding.tracking_uid]


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
