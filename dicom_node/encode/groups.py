"""Measurement groups of a report."""

import math

import highdicom as hd
from highdicom.sr import CodedConcept as Code
from pydicom.sr.codedict import codes

from dicom_node.errors import EncodingError
from dicom_node.texts import Language
from dicom_node.values import Analysed, CodedConcept, Finding, Measurement, Role, derive_uid

from .changes import change_items
from .images import references
from .inputs import Inputs
from .kinds import KINDS
from .sentences import comment_item, not_detected
from .titles import LATERALITY

# No concept of SCT or DCM says: an output between 0 and 1 that does not have the meaning of a probability.
SCHEME = "99DCMNODE"
SCORE = CodedConcept("SCORE", SCHEME, "Score of the algorithm (0 to 1)")
_ABSENT = Code("272519000", "SCT", "Absent")  # CID 240
_NO_UNIT = Code("1", "UCUM", "no units")


def found_group(finding: Finding, inputs: Inputs) -> hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """A group on the finding's segment.

    Source: PS3.16 TID 1411, 1419. The reference is built from UIDs: highdicom's own way fails for a single segment, whose
    number lies in the shared functional groups.
    """
    result, segmentation = inputs.result, inputs.profile.segmentation
    assert segmentation is not None
    measurements = [_measurement(measurement, result) for measurement in finding.measurements]
    concepts = (_code(SCORE), codes.DCM.ThresholdValue)
    scores = zip(concepts, numbers_of(finding, result)[len(measurements) :], strict=False)  # there may be no threshold, or no score
    measurements += [_number(concept, value, _NO_UNIT) for concept, value in scores]
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=finding.tracking_uid, identifier=finding.tracking_identifier),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=KINDS[segmentation].sop_class_uid,
            sop_instance_uid=inputs.uids(segmentation).instance,
            segment_number=finding.number,
            source_series=hd.sr.SourceSeriesForSegmentation(result.series_instance_uid),
        ),
        finding_type=_code(finding.type),
        finding_category=_code(finding.category),
        finding_sites=_sites(finding),
        algorithm_id=_algorithm(result),
        measurements=measurements,
    )
    group[0].ContentSequence.extend(change_items(finding, result, Language(inputs.profile.language)))
    return group


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


def not_detected_group(concept: CodedConcept, inputs: Inputs) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    """A group without a region, on all images: this was looked for and not detected.

    Source: PS3.16 TID 1501, CID 240.
    """
    result = inputs.result
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=derive_uid(result.key, Role.REPORT, "not detected", concept.scheme, concept.value),
            identifier=f"Not detected: {concept.meaning}",
        ),
        finding_type=_code(concept),
        algorithm_id=_algorithm(result),
        qualitative_evaluations=[hd.sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, _ABSENT)],
        source_images=[
            hd.sr.SourceImageForMeasurementGroup(sop_class_uid, sop_instance_uid, frame_numbers)
            for sop_class_uid, sop_instance_uid, frame_numbers in references(inputs)
        ],
    )
    group[0].ContentSequence.append(comment_item(not_detected(concept, Language(inputs.profile.language))))
    return group


def _sites(finding: Finding) -> list[hd.sr.FindingSite] | None:
    if finding.site is None:
        return None
    side = None if finding.laterality is None else _code(LATERALITY[finding.laterality])
    return [hd.sr.FindingSite(anatomic_location=_code(finding.site), laterality=side)]


def _measurement(measurement: Measurement, result: Analysed) -> hd.sr.Measurement:
    """TID 300. A method in words goes where TID 4019 has the parameters of the algorithm."""
    return _number(
        _code(measurement.concept),
        measurement.value,
        _code(measurement.unit),
        derivation=None if measurement.derivation is None else _code(measurement.derivation),
        algorithm=None if measurement.method is None else _algorithm(result, measurement.method),
    )


def _number(
    name: Code, value: float, unit: Code, derivation: Code | None = None, algorithm: hd.sr.AlgorithmIdentification | None = None
) -> hd.sr.Measurement:
    """A NUM; highdicom writes at most 16 characters, and the whole value beside them as Floating Point Value."""
    return hd.sr.Measurement(name=name, value=float(value), unit=unit, derivation=derivation, algorithm_id=algorithm)


def _algorithm(result: Analysed, *parameters: str) -> hd.sr.AlgorithmIdentification:
    """TID 4019, with the digest of the package: version strings can be given twice."""
    package = result.package
    return hd.sr.AlgorithmIdentification(
        name=package.name,
        version=package.version,
        manufacturer=package.manufacturer,
        parameters=[f"sha256={package.digest}", *parameters],
    )


def _code(concept: CodedConcept) -> Code:
    return Code(concept.value, concept.scheme, concept.meaning)
