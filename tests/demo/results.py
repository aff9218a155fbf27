"""What came back, read from the archive's files with nothing of the node's own code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.make.chest import Nodule

_SEGMENTATIONS = {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}
UNITS = {"1": "", "mm3": "mm³", "[hnsf'U]": "HU", "{ratio}": ""}  # of UCUM, as people write them
_MEASUREMENT_GROUP = ("125007", "DCM")
_TRACKING = ("112039", "DCM")
_TRACKING_UID = ("112040", "DCM")
_FINDING = ("121071", "DCM")


@dataclass(frozen=True)
class Plane:
    """One frame of a segment: where it lies, and its mask (rows, columns)."""

    position_lps: npt.NDArray[np.float64]
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Segment:
    """One segment in world coordinates."""

    number: int
    label: str
    tracking_uid: str
    source_series_uid: str
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, float]
    planes: tuple[Plane, ...]
    centre_lps: tuple[float, float, float]
    volume_ml: float

    def holds(self, lps: Sequence[float], within_mm: float) -> bool:
        """Whether a place lies in the segment, or no farther than this from its centre."""
        return float(np.linalg.norm(np.subtract(self.centre_lps, lps))) <= within_mm


@dataclass(frozen=True)
class Group:
    """One measurement group of a report."""

    tracking: str
    tracking_uid: str
    finding: str
    numbers: tuple[tuple[str, float, str], ...]  # name, value, unit
    codes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Made:
    """An object that the node made."""

    file: Path
    sop_class: str
    sop_class_uid: str
    sop_instance_uid: str
    modality: str
    segments: tuple[Segment, ...]
    groups: tuple[Group, ...]


def read_made(file: Path) -> Made:
    dataset = dcmread(file)
    is_segmentation = dataset.SOPClassUID in _SEGMENTATIONS
    return Made(
        file=file,
        sop_class=dataset.SOPClassUID.name,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        modality=str(dataset.get("Modality", "")),
        segments=tuple(_read_segments(dataset)) if is_segmentation else (),
        groups=tuple(_read_groups(dataset)) if dataset.get("Modality") == "SR" else (),
    )


def match_planted(planted: Sequence[Nodule], segments: Sequence[Segment]) -> dict[int, Segment]:
    """Which segment shows which planted nodule, by position in the list: the nearest one whose centre lies in the nodule.

    Each segment answers for one nodule only.
    """
    found: dict[int, Segment] = {}
    left = list(segments)
    for number, nodule in enumerate(planted):
        near = [segment for segment in left if segment.holds(nodule.centre_lps, within_mm=nodule.diameter_mm / 2)]
        if near:
            best = min(near, key=lambda segment: float(np.linalg.norm(np.subtract(segment.centre_lps, nodule.centre_lps))))
            found[number] = best
            left.remove(best)
    return found


def _read_segments(dataset: Dataset) -> Iterator[Segment]:
    frames = np.atleast_3d(dataset.pixel_array) if dataset.NumberOfFrames > 1 else dataset.pixel_array[None]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    planes: dict[int, list[Plane]] = {}
    for frame, group in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        if "SegmentIdentificationSequence" in group:  # BINARY: a frame belongs to one segment
            masks = {int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber): frame > 0}
        else:  # LABELMAP: the values are the numbers
            masks = {int(number): frame == number for number in np.unique(frame) if number > 0}
        for number, mask in masks.items():
            planes.setdefault(number, []).append(Plane(position, mask))
    measures = shared.PixelMeasuresSequence[0]
    spacing = (float(measures.PixelSpacing[0]), float(measures.PixelSpacing[1]))
    orientation = tuple(float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient)
    between = float(measures.get("SpacingBetweenSlices") or measures.SliceThickness)
    for item in dataset.SegmentSequence:
        number = int(item.SegmentNumber)
        if planes.get(number):
            yield _to_segment(dataset, item, planes[number], orientation, spacing, between)


def _to_segment(
    dataset: Dataset, item: Dataset, planes: list[Plane], orientation: tuple[float, ...], spacing: tuple[float, float], between: float
) -> Segment:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    places = []
    for plane in planes:
        down, across = np.nonzero(plane.mask)
        places.append(plane.position_lps + np.outer(across * spacing[1], row) + np.outer(down * spacing[0], column))
    voxels = np.concatenate(places)
    centre = voxels.mean(axis=0)
    return Segment(
        number=int(item.SegmentNumber),
        label=str(item.SegmentLabel),
        tracking_uid=str(item.get("TrackingUID", "")),
        source_series_uid=str(dataset.ReferencedSeriesSequence[0].SeriesInstanceUID),
        orientation=orientation,
        spacing_mm=spacing,
        planes=tuple(planes),
        centre_lps=(float(centre[0]), float(centre[1]), float(centre[2])),
        volume_ml=len(voxels) * spacing[0] * spacing[1] * between / 1000.0,
    )


def _read_groups(dataset: Dataset) -> Iterator[Group]:
    for item in _walk(dataset):
        if _code(item.get("ConceptNameCodeSequence")) != _MEASUREMENT_GROUP:
            continue
        children = list(item.get("ContentSequence", []))
        numbers, codes, tracking, tracking_uid, finding = [], [], "", "", ""
        for child in children:
            name = child.ConceptNameCodeSequence[0] if "ConceptNameCodeSequence" in child else None
            if child.ValueType == "NUM" and name is not None and child.MeasuredValueSequence:
                measured = child.MeasuredValueSequence[0]
                unit = str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
                numbers.append((str(name.CodeMeaning), float(measured.NumericValue), unit))
            elif child.ValueType == "TEXT" and _code(child.ConceptNameCodeSequence) == _TRACKING:
                tracking = str(child.TextValue)
            elif child.ValueType == "UIDREF" and _code(child.ConceptNameCodeSequence) == _TRACKING_UID:
                tracking_uid = str(child.UID)
            elif child.ValueType == "CODE" and name is not None:
                meaning = str(child.ConceptCodeSequence[0].CodeMeaning)
                codes.append((str(name.CodeMeaning), meaning))
                finding = meaning if _code(child.ConceptNameCodeSequence) == _FINDING else finding
        yield Group(tracking, tracking_uid, finding, tuple(numbers), tuple(codes))


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from _walk(child)


def _code(sequence: Any) -> tuple[str, str]:
    if not sequence:
        return "", ""
    return str(sequence[0].get("CodeValue", "")), str(sequence[0].get("CodingSchemeDesignator", ""))
