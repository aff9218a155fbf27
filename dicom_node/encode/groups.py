"""Measurement groups of a report."""

import math
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.sr import CodedConcept as Code
from pydicom.sr.codedict import codes

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, CodedConcept, Finding, Measurement, PackageRef, Role, derive_uid

from .changes import change_items
from .images import reference_of_slice, references
from .inputs import Inputs
from .kinds import KINDS
from .outlines import largest_region, largest_slice
from .sentences import comment_item, not_detected
from .titles import LATERALITY

# No concept of SCT or DCM says: an output between 0 and 1 that does not have the meaning of a probability.
SCHEME = "99DCMNODE"
SCORE = CodedConcept("SCORE", SCHEME, "Score of the algorithm (0 to 1)")
_ABSENT = Code("272519000", "SCT", "Absent")  # CID 240
_NO_UNIT = Code("1", "UCUM", "no units")

# TID 1501, 1410, 1411
Group = (
    hd.sr.MeasurementsAndQualitativeEvaluations
    | hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
    | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
)


def found_group(finding: Finding, inputs: Inputs) -> Group:
    """A group on the finding's segment; without a segmentation, on the image of the slice where it is largest.

    Source: PS3.16 TID 1411, 1501, 1419. The reference is built from UIDs: highdicom's own way fails for a single segment, whose
    number lies in the shared functional groups.
    """
    if inputs.profile.segmentation is None:
        images = [hd.sr.SourceImageForMeasurementGroup(*reference_of_slice(inputs, largest_slice(finding)))]
        return _with_change(hd.sr.MeasurementsAndQualitativeEvaluations(source_images=images, **describe(finding, inputs)), finding, inputs)
    sop_instance_uid, segment_number = inputs.segment(finding)
    segment = hd.sr.ReferencedSegment(
        sop_class_uid=KINDS[inputs.profile.segmentation].sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        segment_number=segment_number,
        source_series=hd.sr.SourceSeriesForSegmentation(inputs.result.series_instance_uid),
    )
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **describe(finding, inputs))
    return _with_change(group, finding, inputs)


def region_group(finding: Finding, inputs: Inputs) -> Group:
    """A group on the outline of the finding on the slice where it is largest.

    Source: PS3.16 TID 1410; PS3.3 C.18.6.
    """
    index, line = largest_region(finding)
    region = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array(line),
        source_image=hd.sr.SourceImageForRegion(*reference_of_slice(inputs, index)),
    )
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **describe(finding, inputs))
    return _with_change(group, finding, inputs)


def describe(finding: Finding, inputs: Inputs) -> dict[str, Any]:
    """What the group of a finding says, wherever it refers to."""
    result = inputs.result
    measurements = [_measurement(measurement, result) for measurement in finding.measurements]
    concepts = (code_of(SCORE), codes.DCM.ThresholdValue)
    scores = zip(concepts, numbers_of(finding, result)[len(measurements) :], strict=False)  # there may be no threshold, or no score
    measurements += [_number(concept, value, _NO_UNIT) for concept, value in scores]
    return {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=finding.tracking_uid, identifier=finding.tracking_identifier),
        "finding_type": code_of(finding.type),
        "finding_category": code_of(finding.category),
        "finding_sites": _sites(finding),
        "algorithm_id": algorithm(result.package),
        "measurements": measurements,
    }


def numbers_of(finding: Finding, result: Analysed) -> list[float]:
    """The numbers of a finding's group, in its order: measurements, score, and the threshold that the score passed.

    Raises EncodingError where one is not finite.
    """
    numbers = [float(measurement.value) for measurement in finding.measurements]
    if finding.score is not None:
        numbers += [finding.score] if result.threshold is None else [finding.score, result.threshold]
    if not all(map(math.isfinite, numbers)):
        raise EncodingError("measurement is no number")
    return numbers


def not_detected_group(concept: CodedConcept, inputs: Inputs) -> Group:
    """A group without a region, on all images: this was looked for and not detected.

    Source: PS3.16 TID 1501, CID 240.
    """
    result = inputs.result
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=derive_uid(result.key, Role.REPORT, "not detected", concept.scheme, concept.value),
            identifier=f"Not detected: {concept.meaning}",
        ),
        finding_type=code_of(concept),
        algorithm_id=algorithm(result.package),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, _ABSENT)],
        source_images=[hd.sr.SourceImageForMeasurementGroup(*one) for one in references(inputs)],
    )
    group[0].ContentSequence.append(comment_item(not_detected(concept, inputs.language)))
    return group


def _with_change(group: Group, finding: Finding, inputs: Inputs) -> Group:
    """The group, and behind all else what has become of the finding."""
    group[0].ContentSequence.extend(change_items(finding, inputs.result, inputs.language))
    return group


def _sites(finding: Finding) -> list[hd.sr.FindingSite] | None:
    if finding.site is None:
        return None
    side = None if finding.laterality is None else code_of(LATERALITY[finding.laterality])
    return [hd.sr.FindingSite(anatomic_location=code_of(finding.site), laterality=side)]


def _measurement(measurement: Measurement, result: Analysed) -> hd.sr.Measurement:
    """TID 300. A method in words goes where TID 4019 has the parameters of the algorithm."""
    return _number(
        code_of(measurement.concept),
        measurement.value,
        code_of(measurement.unit),
        derivation=None if measurement.derivation is None else code_of(measurement.derivation),
        algorithm=None if measurement.method is None else algorithm(result.package, measurement.method),
    )


def _number(
    name: Code, value: float, unit: Code, derivation: Code | None = None, algorithm: hd.sr.AlgorithmIdentification | None = None
) -> hd.sr.Measurement:
    """A NUM; highdicom writes at most 16 characters, and the whole value beside them as Floating Point Value."""
    return hd.sr.Measurement(name=name, value=float(value), unit=unit, derivation=derivation, algorithm_id=algorithm)


def algorithm(package: PackageRef, *parameters: str) -> hd.sr.AlgorithmIdentification:
    """TID 4019, with the digest of the package: version strings can be given twice."""
    return hd.sr.AlgorithmIdentification(
        name=package.name,
        version=package.version,
        manufacturer=package.manufacturer,
        parameters=[f"sha256={package.digest}", *parameters],
    )


def code_of(concept: CodedConcept) -> Code:
    """A code as highdicom takes it."""
    return Code(concept.value, concept.scheme, concept.meaning)
