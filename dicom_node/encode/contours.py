"""An RT Structure Set: each finding as closed contours in the planes of the source images, for planning systems and viewers of such.

A voxel belongs to a finding where its centre lies within one of its contours on that slice: contours run along the edges of pixels, none
lies in another one, and a hole is reached by a keyhole.

Source: PS3.3 A.19, C.8.8.5, C.8.8.6, C.8.8.8, C.8.8.16 (approval).
"""

from collections.abc import Iterator, Mapping, Sequence

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.base import SOPClass
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.errors import EncodingError
from dicom_node.texts import render_concept
from dicom_node.values import Finding, ObjectKind

from .captions import name_site
from .elements import LONGEST_SHORT_VALUE_BYTES, Elements, encode_elements, encode_item, sequence_value, tag_of
from .frames import SegmentSlices, find_slices
from .inputs import Inputs
from .keyholes import outline_whole
from .kinds import KINDS
from .meanings import translate
from .outlines import Point
from .seg import position_of, reference_to, source_of
from .titles import series_description

# Of one contour: its coordinates must fit into 65534 bytes (PS3.5 7.1.2), and one of them takes ten.
MOST_POINTS = 2000
_DIGITS = 3  # of a coordinate in mm
_LONGEST_NAME = 64  # characters of an LO
_STUDY = "1.2.840.10008.3.1.2.3.1"  # how an RT object refers to a study: Detached Study Management, retired, and still the only one


def make_contours(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The structure set of a result that has findings: a region of interest for each, with its number; and its elements that are encoded
    already.

    Nobody has approved it, and the type of a region is left to whoever plans with it. Raises EncodingError where a mask is empty or leaves
    the grid, or the images have no place in the patient.
    """
    result, moment = inputs.result, inputs.source.moment
    if result.geometry.frame_of_reference_uid is None:
        raise EncodingError("place of the images in the patient")
    segments = find_slices(result.findings, result.geometry.shape)
    structures = SOPClass(
        study_instance_uid=result.study_instance_uid,
        sop_class_uid=KINDS[kind].sop_class_uid,
        modality="RTSTRUCT",
        **(inputs.names(kind) | {"series_description": series_description(result.package, "contours")}),
    )
    structures.OperatorsName = None
    structures.FrameOfReferenceUID, structures.PositionReferenceIndicator = result.geometry.frame_of_reference_uid, None
    structures.StructureSetLabel = "AI_CONTOURS"
    structures.StructureSetName = series_description(result.package)
    structures.StructureSetDate, structures.StructureSetTime = moment.date, moment.time
    structures.StructureSetROISequence = [_region(finding, inputs) for finding in result.findings]
    structures.RTROIObservationsSequence = [_observation(finding) for finding in result.findings]
    structures.ApprovalStatus = "UNAPPROVED"
    translate(structures, inputs.language)
    planes = {index: _Plane.of(inputs, index) for index in sorted({index for one in segments for index in one.slices})}
    return structures, inputs.source.series("PositionReferenceIndicator", "RequestAttributesSequence") | {
        tag_of("ReferencedFrameOfReferenceSequence"): ("SQ", sequence_value([_frame_of_reference(inputs)])),
        tag_of("ROIContourSequence"): ("SQ", sequence_value(_contours(segment, planes) for segment in segments)),
    }


def _frame_of_reference(inputs: Inputs) -> Elements:
    """All images of the volume, as the study, series and instances of one frame of reference."""
    result = inputs.result
    assert result.geometry.frame_of_reference_uid is not None
    series: Elements = {
        tag_of("SeriesInstanceUID"): ("UI", result.series_instance_uid.encode()),
        tag_of("ContourImageSequence"): ("SQ", sequence_value(reference_to(inputs, uid) for uid in inputs.instances)),
    }
    study: Elements = {
        tag_of("ReferencedSOPClassUID"): ("UI", _STUDY.encode()),
        tag_of("ReferencedSOPInstanceUID"): ("UI", result.study_instance_uid.encode()),
        tag_of("RTReferencedSeriesSequence"): ("SQ", sequence_value([series])),
    }
    return {
        tag_of("FrameOfReferenceUID"): ("UI", result.geometry.frame_of_reference_uid.encode()),
        tag_of("RTReferencedStudySequence"): ("SQ", sequence_value([study])),
    }


def _region(finding: Finding, inputs: Inputs) -> Dataset:
    """An item of Structure Set ROI Sequence: what the region is called, in the destination's language, and what has drawn it."""
    item, package = Dataset(), inputs.result.package
    named = f"{finding.number} {render_concept(finding.type, inputs.language)}"
    name = ", ".join(part for part in (named, name_site(finding, inputs.language)) if part)
    item.ROINumber = finding.number
    item.ReferencedFrameOfReferenceUID = inputs.result.geometry.frame_of_reference_uid
    item.ROIName = name.replace("\N{NO-BREAK SPACE}", " ")[:_LONGEST_NAME].rstrip()  # people look for it in lists
    item.ROIDescription = finding.label
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = f"{package.name} {package.version}"[:_LONGEST_NAME]
    item.ROIDerivationAlgorithmIdentificationSequence = hd.AlgorithmIdentificationSequence(
        name=package.name, version=package.version, family=codes.cid7162.ArtificialIntelligence, source=package.manufacturer
    )
    return item


def _observation(finding: Finding) -> Dataset:
    """An item of RT ROI Observations Sequence: what the region is, by its code, and that nobody has interpreted it."""
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = finding.number
    item.RTROIIdentificationCodeSequence = [Code(finding.type.value, finding.type.scheme, finding.type.meaning)]
    item.RTROIInterpretedType = item.ROIInterpreter = None
    return item


def _contours(segment: SegmentSlices, planes: Mapping[int, "_Plane"]) -> Elements:
    """An item of ROI Contour Sequence: the contours of a finding, slice by slice, numbered from 1."""
    finding, encoded = segment.finding, list[bytes]()
    _, row, column = finding.mask.origin
    for index in reversed(segment.slices):
        for line in outline_whole(segment.plane(index), (row, column), MOST_POINTS):
            encoded.append(planes[index].encode(line, number=len(encoded) + 1))
    return {
        tag_of("ROIDisplayColor"): ("IS", "\\".join(map(str, finding.colour_rgb)).encode()),
        tag_of("ContourSequence"): ("SQ", b"".join(encoded)),
        tag_of("ReferencedROINumber"): ("IS", str(finding.number).encode()),
    }


class _Plane:
    """The image of a slice, and where its pixels lie: the same for all contours on it."""

    def __init__(self, image: bytes, lps_from_corner: npt.NDArray[np.float64]) -> None:
        """`lps_from_corner` maps (1, column, row) of pixel corners to LPS millimetres, as rows of a matrix."""
        self._image, self._lps_from_corner = image, lps_from_corner

    @classmethod
    def of(cls, inputs: Inputs, index: int) -> "_Plane":
        """Source: PS3.3 equation C.7.6.2.1-1; the first pixel's centre has the corner coordinates (0.5, 0.5)."""
        first, geometry = inputs.frame(0), inputs.result.geometry
        centre = np.array([float(text) for text in position_of(inputs, index)])
        cosines = np.array(first.image_orientation_patient or ()).reshape(2, 3)
        down_mm, across_mm = first.pixel_spacing_mm or geometry.spacing_mm[1:]
        across, down = cosines[0] * across_mm, cosines[1] * down_mm
        return cls(sequence_value([source_of(inputs, index)]), np.stack([centre - (across + down) / 2, across, down]))

    def encode(self, line: Sequence[Point], number: int) -> bytes:
        """An item of Contour Sequence. Raises EncodingError where the coordinates do not fit into a value."""
        corners = np.ones((len(line), 3))
        corners[:, 1:] = line
        coordinates = "\\".join(_coordinates(corners @ self._lps_from_corner)).encode()
        if len(coordinates) > LONGEST_SHORT_VALUE_BYTES:
            raise EncodingError("contour of a finding")
        contour: Elements = {
            tag_of("ContourImageSequence"): ("SQ", self._image),
            tag_of("ContourGeometricType"): ("CS", b"CLOSED_PLANAR"),
            tag_of("NumberOfContourPoints"): ("IS", str(len(line)).encode()),
            tag_of("ContourNumber"): ("IS", str(number).encode()),
            tag_of("ContourData"): ("DS", coordinates),
        }
        return encode_item(encode_elements(contour))


def _coordinates(places_lps: npt.NDArray[np.float64]) -> Iterator[str]:
    """DS, to a thousandth of a millimetre."""
    for value in (np.round(places_lps, _DIGITS) + 0.0).ravel().tolist():
        yield f"{value:.{_DIGITS}f}".rstrip("0").rstrip(".")
