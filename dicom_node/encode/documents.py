"""What all structured reports have alike: the document around a content tree, and who says it, of which procedure, in which language.

Source: PS3.3 A.35, C.17; PS3.16 TID 1001, 1004, 1204.
"""

from collections.abc import Mapping, Sequence

import highdicom as hd
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.texts import load_catalogue
from dicom_node.values import ObjectKind, PriorRef, ReportRef, Role, derive_uid

from .elements import Elements, tag_of
from .groups import SCHEME
from .images import encode_evidence
from .inputs import AnyInputs, Inputs
from .kinds import KINDS
from .meanings import translate
from .seg import empty_patient_and_study

# highdicom has no class for Basic Text SR and Mammography CAD SR; they are others that use less, under another SOP class.
_CLASSES: Mapping[ObjectKind, type[hd.sr.EnhancedSR | hd.sr.ComprehensiveSR | hd.sr.Comprehensive3DSR]] = {
    ObjectKind.REPORT_3D: hd.sr.Comprehensive3DSR,
    ObjectKind.REPORT_COMPREHENSIVE: hd.sr.ComprehensiveSR,
    ObjectKind.REPORT_ENHANCED: hd.sr.EnhancedSR,
    ObjectKind.REPORT_TEXT: hd.sr.EnhancedSR,
    ObjectKind.MAMMOGRAPHY_CAD: hd.sr.ComprehensiveSR,
    ObjectKind.REGIONS: hd.sr.ComprehensiveSR,
}
# What a report may name as its predecessor: structured reports, no pictures and pages.
_DOCUMENTS = frozenset(form.sop_class_uid for form in KINDS.values() if form.role in {Role.REPORT, Role.REGIONS})
_PROCEDURES: Mapping[str, Code] = {  # CID 100, where the images name no procedure
    "CT": codes.cid100.CTUnspecifiedBodyRegion,
    "MR": codes.cid100.MRIUnspecifiedBodyRegion,
    "PT": codes.cid100.PETUnspecifiedBodyRegion,
    "NM": codes.cid100.NMUnspecifiedBodyRegion,
    "CR": codes.cid100.XRUnspecifiedBodyRegion,
    "DX": codes.cid100.XRUnspecifiedBodyRegion,
}


def make_document(root: Dataset, inputs: AnyInputs, kind: ObjectKind) -> Dataset:
    """A document with this content, in the language of the report; unverified and preliminary, since no person has looked at it."""
    document = _CLASSES[kind](
        evidence=_evidence(inputs, kind),
        content=root,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="dicom-node", responsible_organization=inputs.profile.manufacturer)],
        **inputs.names(kind),
    )
    document.SOPClassUID = KINDS[kind].sop_class_uid
    replaced = [one for one in inputs.replaced if one.sop_class_uid in _DOCUMENTS]
    if replaced and KINDS[kind].role is Role.REPORT:
        document.PredecessorDocumentsSequence = [_documents(inputs.result.study_instance_uid, replaced)]
    prior = inputs.result.comparison.prior if isinstance(inputs, Inputs) and inputs.result.comparison is not None else None
    if prior is not None and (evidence := _prior_evidence(prior)):
        document.PertinentOtherEvidenceSequence = [evidence]
    translate(document, inputs.language)
    inputs.words.fit(document)
    return document


def encode_parts(document: Dataset, content: bytes, inputs: AnyInputs) -> Elements:
    """The elements of a document that are encoded already: its content, all images as evidence, and the request of the images."""
    evidence = encode_evidence(document.CurrentRequestedProcedureEvidenceSequence, inputs, inputs.words)
    return inputs.source.request | {
        tag_of("ContentSequence"): ("SQ", content),
        tag_of("CurrentRequestedProcedureEvidenceSequence"): ("SQ", evidence),
    }


def language(inputs: AnyInputs) -> hd.sr.LanguageOfContentItemAndDescendants:
    """TID 1204."""
    code = Code(inputs.language, "RFC5646", load_catalogue(inputs.language).name)
    return hd.sr.LanguageOfContentItemAndDescendants(code)


def procedure(inputs: AnyInputs) -> Code:
    """The images' own, else the general one of their modality."""
    own, modality = inputs.source.procedure, inputs.source.modality
    if own is not None:
        return Code(own.value, own.scheme, own.meaning)
    return _PROCEDURES.get(modality, codes.cid100.ImagingProcedure)


def observation_context(inputs: AnyInputs) -> hd.sr.ObservationContext:
    """TID 1001."""
    return hd.sr.ObservationContext(observer_device_context=observer(inputs))


def observer(inputs: AnyInputs) -> hd.sr.ObserverContext:
    """TID 1004: the model, by a UID that stays the same for all its results; the node, where no model looked."""
    package, profile = inputs.result.package, inputs.profile
    if package is None:
        node = profile.model_name, profile.manufacturer, profile.model_name, profile.node_version
        uid, (name, manufacturer, model, version) = derive_uid("device", *node, profile.ae_title), node
    else:
        uid, name, manufacturer = package.device_uid, package.title, package.manufacturer
        model, version = package.name, package.version
    return hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=uid,
            name=name,
            manufacturer_name=manufacturer,
            model_name=model,
            serial_number=version,
            physical_location=profile.station,
        ),
    )


def _evidence(inputs: AnyInputs, kind: ObjectKind) -> Sequence[Dataset]:
    """The images, and the segmentations where the document refers to them, by their UIDs alone."""
    evidence = []
    for uid, headers in inputs.instances.items():
        instance = empty_patient_and_study(inputs.result)
        instance.SOPClassUID, instance.SOPInstanceUID = headers.instance.sop_class_uid, uid
        evidence.append(instance)
    segmentation = inputs.profile.segmentation
    if isinstance(inputs, Inputs) and inputs.result.findings and KINDS[kind].names_segmentation and segmentation is not None:
        for number in range(1, len(inputs.starts) + 1):
            uids, instance = inputs.uids(segmentation, number), empty_patient_and_study(inputs.result)
            instance.SOPClassUID, instance.SOPInstanceUID = KINDS[segmentation].sop_class_uid, uids.instance
            instance.SeriesInstanceUID = uids.series
            evidence.append(instance)
    return evidence


def _prior_evidence(prior: PriorRef) -> Dataset | None:
    """The report of the prior, where the destination has one, else its images; None where neither is known."""
    if prior.report is not None:
        return _documents(prior.study_instance_uid, [prior.report])
    images = [ReportRef(sop_class_uid, uid, prior.series_instance_uid) for sop_class_uid, uid in prior.images]
    return _documents(prior.study_instance_uid, images) if images else None


def _documents(study_instance_uid: str, references: Sequence[ReportRef]) -> Dataset:
    """An item of Predecessor Documents Sequence or of Pertinent Other Evidence Sequence (PS3.3 C.17.2): objects of one study."""
    by_series: dict[str, list[Dataset]] = {}
    for reference in references:
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
        by_series.setdefault(reference.series_instance_uid, []).append(one)
    item = Dataset()
    item.StudyInstanceUID, item.ReferencedSeriesSequence = study_instance_uid, []
    for uid, instances in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedSOPSequence = uid, instances
        item.ReferencedSeriesSequence.append(series)
    return item
