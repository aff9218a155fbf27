"""A structure set against the result that it was made from, from its bytes alone.

Nothing here is shared with the way of writing: contours are filled anew, by the rule that a voxel belongs to a region where its centre lies
within an odd number of its contours on the slice whose image they name.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.values import Analysed, Finding

from .read_back import read_report

TOLERANCE_VOXELS = 0.25  # how far a contour may lie from the plane of its image

Points = npt.NDArray[np.float64]
Plane = npt.NDArray[np.bool_]


def count_wrong_contours(content: bytes, result: Analysed) -> int:
    """Voxels within contours that are not in their finding's mask, or the other way round; contours that lie nowhere, regions that are
    missing, are not what the finding is, or are said to be more than what an algorithm drew; images that are missing."""
    structures = read_report(content)
    regions = {int(item.ROINumber): item for item in structures.StructureSetROISequence}
    observations = {int(item.ReferencedROINumber): item for item in structures.RTROIObservationsSequence}
    drawn = {int(item.ReferencedROINumber): list(item.ContourSequence) for item in structures.ROIContourSequence}
    findings = {finding.number: finding for finding in result.findings}
    numbers = sorted(findings)
    wrong = sum(sorted(one) != numbers for one in (regions, observations, drawn))
    wrong += (structures.ApprovalStatus != "UNAPPROVED") + (_images_of(structures, result) != Counter(_wanted_images(result)))
    for number in set(numbers) & set(regions) & set(observations) & set(drawn):
        wrong += not _is_said(findings[number], regions[number], observations[number], result)
        wrong += _count_wrong_voxels(findings[number], drawn[number], result)
    return int(wrong)


def _images_of(structures: Dataset, result: Analysed) -> Counter[str]:
    """The images of the frame of reference, as far as they stand in the result's study and series."""
    return Counter(
        str(image.ReferencedSOPInstanceUID)
        for frame in structures.ReferencedFrameOfReferenceSequence
        if str(frame.FrameOfReferenceUID) == result.geometry.frame_of_reference_uid
        for study in frame.RTReferencedStudySequence
        if str(study.ReferencedSOPInstanceUID) == result.study_instance_uid
        for series in study.RTReferencedSeriesSequence
        if str(series.SeriesInstanceUID) == result.series_instance_uid
        for image in series.ContourImageSequence
    )


def _wanted_images(result: Analysed) -> set[str]:
    return {frame.sop_instance_uid for frame in result.geometry.frames}


def _is_said(finding: Finding, region: Dataset, observation: Dataset, result: Analysed) -> bool:
    """Whether a region says its number and its finding's code, that an algorithm drew it, and that nobody has interpreted it."""
    (code,) = observation.RTROIIdentificationCodeSequence
    return (
        str(region.ReferencedFrameOfReferenceUID) == result.geometry.frame_of_reference_uid
        and region.ROIGenerationAlgorithm == "AUTOMATIC"
        and str(region.ROIName).split(" ")[0] == str(finding.number)
        and (str(code.CodeValue), str(code.CodingSchemeDesignator)) == (finding.type.value, finding.type.scheme)
        and not observation.RTROIInterpretedType
        and not observation.ROIInterpreter
    )


def _count_wrong_voxels(finding: Finding, contours: Sequence[Dataset], result: Analysed) -> int:
    """Of one finding: voxels that differ, and contours that are no closed ones in the plane of an image of the result."""
    lines: dict[int, list[Points]] = {}
    astray = 0
    for index, line in _place(contours, result):
        if index < 0:
            astray += 1
        else:
            lines.setdefault(index, []).append(line)
    shape, first = result.geometry.shape, finding.mask.origin[0]
    held = {first + number for number, plane in enumerate(finding.mask.voxels) if plane.any()}
    return astray + sum(
        int(np.count_nonzero(_fill(lines.get(index, []), shape[1:]) ^ _plane(finding, index, shape))) for index in held | set(lines)
    )


def _place(contours: Sequence[Dataset], result: Analysed) -> Iterator[tuple[int, Points]]:
    """Each contour's slice, by the image that it names, and its points as (row, column) of pixel centres; -1 where it lies elsewhere."""
    known = {(frame.sop_instance_uid, frame.frame_number): index for index, frame in enumerate(result.geometry.frames)}
    index_from_lps = np.linalg.inv(np.array(result.geometry.lps_from_index, dtype=float))
    for contour in contours:
        (image,) = contour.ContourImageSequence
        index = known.get((str(image.ReferencedSOPInstanceUID), int(image.get("ReferencedFrameNumber", 1))), -1)
        places_lps = np.array([float(value) for value in contour.ContourData]).reshape(-1, 3)
        is_closed = contour.ContourGeometricType == "CLOSED_PLANAR" and len(places_lps) == int(contour.NumberOfContourPoints) > 2
        at = places_lps @ index_from_lps[:3, :3].T + index_from_lps[:3, 3]
        is_in_plane = bool(np.all(np.abs(at[:, 0] - index) <= TOLERANCE_VOXELS))
        yield (index if is_closed and is_in_plane else -1), at[:, 1:]


def _fill(lines: Sequence[Points], shape: tuple[int, int]) -> Plane:
    """The pixels whose centres lie within an odd number of the lines: along each row of centres, every edge turns what lies behind it."""
    crossed = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    for points in lines:
        after = np.roll(points, -1, axis=0)
        low, high = np.minimum(points[:, 0], after[:, 0]), np.maximum(points[:, 0], after[:, 0])
        first = np.clip(np.ceil(low), 0, shape[0]).astype(int)  # rows whose centre an edge passes, its upper end included
        counts = np.clip(np.ceil(high), 0, shape[0]).astype(int) - first
        edges = np.repeat(np.arange(len(points)), counts)
        rows = np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
        share = (rows - points[edges, 0]) / (after[edges, 0] - points[edges, 0])
        columns = points[edges, 1] + share * (after[edges, 1] - points[edges, 1])
        np.add.at(crossed, (rows, np.clip(np.ceil(columns), 0, shape[1]).astype(int)), 1)
    return np.asarray(np.cumsum(crossed, axis=1)[:, :-1] % 2 == 1, dtype=bool)


def _plane(finding: Finding, index: int, shape: tuple[int, int, int]) -> Plane:
    """A finding's pixels on one slice, (rows, columns)."""
    plane, (_, row, column) = np.zeros(shape[1:], dtype=bool), finding.mask.origin
    part = finding.mask.on_slice(index)
    plane[row : row + part.shape[0], column : column + part.shape[1]] = part
    return plane
