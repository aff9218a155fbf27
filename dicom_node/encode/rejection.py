"""A rejection note: a Key Object Selection that says of earlier objects that they are not to be used any more.

Source: IHE RAD TF-2, 4.66 and 4.80 (Imaging Object Change Management); PS3.16 CID 7010.
"""

from collections.abc import Sequence

from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset

from dicom_node.texts import render_report
from dicom_node.values import ObjectKind, ReportRef, Withdrawn
from dicom_node.values.reasons import NotForCare, WrongPatient

from .inputs import AnyInputs
from .key_images import make_selection
from .kinds import KINDS
from .seg import empty_patient_and_study
from .titles import series_description

# A reader may be shown the former all the same, where he asks for it; the latter never (IHE RAD TF-2, 4.66.4.1.3).
REJECTED_FOR_QUALITY_REASONS = Code("113001", "DCM", "Rejected for Quality Reasons")
REJECTED_FOR_PATIENT_SAFETY_REASONS = Code("113037", "DCM", "Rejected for Patient Safety Reasons")
_NEVER_SHOWN = (WrongPatient, NotForCare)

# What a document refers to as images; all else that the node makes are documents and presentation states.
_IMAGES = frozenset(KINDS[kind].sop_class_uid for kind in (ObjectKind.SEGMENTATION, ObjectKind.LABEL_MAP, ObjectKind.CAPTURE))


def make_rejection(inputs: AnyInputs, rejected: Sequence[ReportRef]) -> Dataset:
    """The note on these instances, which lie in the study of the result that takes their place, or of its withdrawal."""
    result, sentence, title = inputs.result, "rejected", REJECTED_FOR_QUALITY_REASONS
    if isinstance(result, Withdrawn):
        sentence = "rejected-withdrawn"
        if isinstance(result.reason, _NEVER_SHOWN):
            title = REJECTED_FOR_PATIENT_SAFETY_REASONS
    return make_selection(
        inputs,
        ObjectKind.REJECTION,
        title,
        [_instance(inputs, reference) for reference in rejected],
        description=render_report(sentence, inputs.profile.language, count=len(rejected)),
        series_description="AI - rejected" if result.package is None else series_description(result.package, "rejected"),
    )


def _instance(inputs: AnyInputs, reference: ReportRef) -> Dataset:
    """An earlier object as highdicom wants to see it; Rows and Columns make it an image, their values are not used."""
    instance = empty_patient_and_study(inputs.result)
    instance.SOPClassUID, instance.SOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
    instance.SeriesInstanceUID = reference.series_instance_uid
    if reference.sop_class_uid in _IMAGES:
        instance.Rows = instance.Columns = 1
    return instance
