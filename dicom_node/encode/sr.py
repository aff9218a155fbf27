"""A Comprehensive 3D SR: an Imaging Measurement Report with a group for each finding, or one for each thing that was not detected.

Source: PS3.16 TID 1500, 1411, 1501, 1600, 1004, 4019; PS3.3 A.35.13.
"""

from collections.abc import Sequence

import highdicom as hd
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.texts import Language
from dicom_node.values import Finding, ObjectKind, ReportRef

from .elements import Elements, read_elements, sequence_value, tag_of
from .group_forms import encode_groups, find_examples
from .groups import SCHEME, found_group, not_detected_group
from .images import encode_content, encode_evidence, image_library
from .inputs import Inputs
from .kinds import KINDS
from .seg import empty_patient_and_study
from .sentences import comment_item, root_comment
from .words import Words

_LANGUAGES = {Language.ENGLISH: Code("en", "RFC5646", "English"), Language.FRENCH: Code("fr", "RFC5646", "French")}
_PROCEDURES = {  # CID 100, where the images name no procedure
    "CT": codes.cid100.CTUnspecifiedBodyRegion,
    "MR": codes.cid100.MRIUnspecifiedBodyRegion,
    "PT": codes.cid100.PETUnspecifiedBodyRegion,
    "NM": codes.cid100.NMUnspecifiedBodyRegion,
    "CR": codes.cid100.XRUnspecifiedBodyRegion,
    "DX": codes.cid100.XRUnspecifiedBodyRegion,
}


def make_report(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The report of a result, and its elements that are encoded already: content, evidence, and what is copied from the images.

    highdicom makes it with the first image alone and one group of each form; all images and the groups of all findings take their
    places (tests/encode/test_groups.py shows that it would make the same of all).
    """
    words = inputs.words
    report = _make(inputs.first_alone(), kind, find_examples(inputs.result.findings))
    words.fit(report)
    return report, inputs.source.request | {
        tag_of("ContentSequence"): ("SQ", _encode_content(report, inputs, words)),
        tag_of("CurrentRequestedProcedureEvidenceSequence"): (
            "SQ",
            encode_evidence(report.CurrentRequestedProcedureEvidenceSequence, inputs, words),
        ),
    }


def _make(inputs: Inputs, kind: ObjectKind, findings: Sequence[Finding]) -> Dataset:
    """What highdicom makes, with a group for each of these findings."""
    report = hd.sr.Comprehensive3DSR(
        evidence=_evidence(inputs),
        content=_content(inputs, findings),
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="dicom-node", responsible_organization=inputs.profile.manufacturer)],
        **inputs.names(kind),
    )
    if inputs.replaced is not None:
        report.PredecessorDocumentsSequence = [_document(inputs.result.study_instance_uid, inputs.replaced)]
    prior = None if inputs.result.comparison is None else inputs.result.comparison.prior
    if prior is not None and prior.report is not None:
        report.PertinentOtherEvidenceSequence = [_document(prior.study_instance_uid, prior.report)]
    return report


def _encode_content(report: Dataset, inputs: Inputs, words: Words) -> bytes:
    """The root's items. In the last of them, the measurements, the groups of all findings stand before those of what was not detected."""
    *others, measurements = report.ContentSequence
    if not inputs.result.findings:
        return encode_content([*others, measurements], inputs, words)
    count = len(find_examples(inputs.result.findings))
    examples, missing = measurements.ContentSequence[:count], measurements.ContentSequence[count:]
    groups = b"".join([*encode_groups(examples, inputs, words), encode_content(missing, inputs, words)])
    container = read_elements(measurements, words.encoding, without="ContentSequence") | {tag_of("ContentSequence"): ("SQ", groups)}
    return encode_content(others, inputs, words) + sequence_value([container])


def _content(inputs: Inputs, findings: Sequence[Finding]) -> Dataset:
    """The root container, with a group for each of these findings."""
    result, procedure, language = inputs.result, inputs.source.procedure, Language(inputs.profile.language)
    found = {(finding.type.value, finding.type.scheme) for finding in result.findings}
    missing = [concept for concept in result.looked_for if (concept.value, concept.scheme) not in found]
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=_observer(inputs)),
        procedure_reported=(
            Code(procedure.value, procedure.scheme, procedure.meaning)
            if procedure is not None
            else _PROCEDURES.get(inputs.source.modality, codes.cid100.ImagingProcedure)
        ),
        imaging_measurements=[
            *(found_group(finding, inputs) for finding in findings),
            *(not_detected_group(concept, inputs) for concept in missing),
        ],
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(_LANGUAGES[language]),
    )
    root = report[0]
    root.ContentSequence.insert(len(root.ContentSequence) - 1, image_library(inputs))
    root.ContentSequence.insert(len(root.ContentSequence) - 1, comment_item(root_comment(result, missing, language)))
    assert isinstance(root, Dataset)
    return root


def _observer(inputs: Inputs) -> hd.sr.ObserverContext:
    """TID 1004: the model, by a UID that stays the same for all its results."""
    package = inputs.result.package
    return hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=package.device_uid,
            name=package.title,
            manufacturer_name=package.manufacturer,
            model_name=package.name,
            serial_number=package.version,
            physical_location=inputs.profile.station,
        ),
    )


def _evidence(inputs: Inputs) -> Sequence[Dataset]:
    """Every instance that the report refers to, by its UIDs alone."""
    evidence = []
    for uid, headers in inputs.instances.items():
        instance = empty_patient_and_study(inputs.result)
        instance.SOPClassUID, instance.SOPInstanceUID = headers.instance.sop_class_uid, uid
        evidence.append(instance)
    segmentation = inputs.profile.segmentation
    if inputs.result.findings and segmentation is not None:
        uids, instance = inputs.uids(segmentation), empty_patient_and_study(inputs.result)
        instance.SOPClassUID, instance.SOPInstanceUID = KINDS[segmentation].sop_class_uid, uids.instance
        instance.SeriesInstanceUID = uids.series
        evidence.append(instance)
    return evidence


def _document(study_instance_uid: str, replaced: ReportRef) -> Dataset:
    """An item of Predecessor Documents Sequence or of Pertinent Other Evidence Sequence (PS3.3 C.17.2.1, C.17.2.2)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = replaced.sop_class_uid, replaced.sop_instance_uid
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = replaced.series_instance_uid, [reference]
    document = Dataset()
    document.StudyInstanceUID, document.ReferencedSeriesSequence = study_instance_uid, [series]
    return document
