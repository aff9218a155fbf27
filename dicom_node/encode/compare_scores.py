"""A parametric map against the scores of the result that it was made from, from its bytes alone."""

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.values import SCORE_STEPS, Analysed, ScoreMap

from .read_back import WrittenMap, read_map

TOLERANCE_VOXELS = 0.25  # how far a voxel may lie from the one that it stands for
_HALF_SLICE = 0.5  # how far the source image that a frame names may lie from it, with that tolerance
_CLASS = "1.2.840.10008.5.1.4.1.1.30"
_QUANTITY, _SCORE, _NO_UNITS = ("246205007", "SCT"), ("SCORE", "99DCMNODE"), ("1", "UCUM")


def count_wrong_scores(content: bytes, result: Analysed) -> int:
    """Voxels whose score differs, or whose frame does not lie where it should or names an image that lies elsewhere; and 1 where it is not
    said that they are scores without a unit, or in which frame of reference they lie."""
    dataset, written = read_map(content)
    scores = result.scores
    if scores is None or written.stored.shape != scores.scores.shape:
        return written.stored.size + 1
    (shared,) = dataset.SharedFunctionalGroupsSequence
    (mapping,) = shared.RealWorldValueMappingSequence
    is_said = (
        str(dataset.SOPClassUID) == _CLASS
        and _is_of_scores(mapping)
        and str(dataset.FrameOfReferenceUID) == result.geometry.frame_of_reference_uid
        and dataset.PixelRepresentation == 0
    )
    slices = _find_slices(written, scores)
    held = [index for index in slices.tolist() if index >= 0]
    slices[~_are_named_well(written, result)] = -1
    values = float(mapping.RealWorldValueSlope), float(mapping.RealWorldValueIntercept)
    wrong = sum(_count_wrong(frame, index, scores, *values) for frame, index in zip(written.stored, slices.tolist(), strict=True))
    return wrong + len(held) - len(set(held)) + (not is_said)


def _is_of_scores(mapping: Dataset) -> bool:
    """Whether a mapping holds for all values, and says what they are."""
    (unit,), (quantity,) = mapping.MeasurementUnitsCodeSequence, mapping.QuantityDefinitionSequence
    (name,), (value,) = quantity.ConceptNameCodeSequence, quantity.ConceptCodeSequence
    said = [(str(code.CodeValue), str(code.CodingSchemeDesignator)) for code in (unit, name, value)]
    ends = int(mapping.RealWorldValueFirstValueMapped), int(mapping.RealWorldValueLastValueMapped)
    return said == [_NO_UNITS, _QUANTITY, _SCORE] and ends == (0, SCORE_STEPS)


def _find_slices(written: WrittenMap, scores: ScoreMap) -> npt.NDArray[np.int64]:
    """The slice of the result's map on which each frame lies with all its corners; -1 where it lies on none."""
    affine = np.array(scores.lps_from_index, dtype=float)
    index_from_lps = np.linalg.inv(affine)
    count, rows, columns = written.stored.shape
    corners = np.array([(y, x) for y in (0, rows - 1) for x in (0, columns - 1)])
    found = np.full(count, -1, dtype=np.int64)
    for number in range(count):
        places = written.positions_lps[number] + corners @ np.stack([written.down_mm[number], written.across_mm[number]])
        at = places @ index_from_lps[:3, :3].T + index_from_lps[:3, 3]
        nearest = round(float(at[0, 0]))
        away = np.abs(at - np.column_stack([np.full(len(corners), nearest), corners]))
        if away.max() <= TOLERANCE_VOXELS and 0 <= nearest < count:
            found[number] = nearest
    return found


def _are_named_well(written: WrittenMap, result: Analysed) -> npt.NDArray[np.bool_]:
    """Whether each frame names an image of the result that lies next to it."""
    known = {(frame.sop_instance_uid, frame.frame_number): index for index, frame in enumerate(result.geometry.frames)}
    named = np.array([known.get(source, -1) for source in written.sources])
    index_from_lps = np.linalg.inv(np.array(result.geometry.lps_from_index, dtype=float))
    at = written.positions_lps @ index_from_lps[0, :3] + index_from_lps[0, 3]
    return np.asarray((named >= 0) & (np.abs(at - named) <= _HALF_SLICE + TOLERANCE_VOXELS))


def _count_wrong(frame: npt.NDArray[np.unsignedinteger[npt.NBitBase]], index: int, scores: ScoreMap, slope: float, intercept: float) -> int:
    """Pixels of a frame whose value is not the score of their voxel, to half a step; all where it lies nowhere."""
    if index < 0:
        return int(frame.size)
    away = np.abs(frame * slope + intercept - scores.scores[index] / SCORE_STEPS)
    return int(np.count_nonzero(~(away < 0.5 / SCORE_STEPS)))
