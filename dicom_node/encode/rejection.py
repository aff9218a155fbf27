"""A rejection note: a Key Object Selection that says of earlier objects that they are not to be used any more.

Source: IHE RAD TF-2, 4.66 and 4.80 (Imaging Object Change Management); PS3.16 CID 7010.
"""

from collections.abc import Sequence

from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset

from dicom_node.texts import Language, render_report
from dicom_node.values import ObjectKind, ReportRef

from .inputs import Inputs
from .key_images import make_selection
from .kinds import KINDS
from .seg import empty_patient_and_study
from .titles import series_description

REJECTED_FOR_QUALITY_REASONS = Code("113001", "DCM", "Rejected for Quality Reasons")

# What a document refers to as images; all else that the node makes are documents and presentation states.
_IMAGES = frozenset(KINDS[kind].sop_class_uid for kind in (ObjectKind.SEGMENTATION, ObjectKind.LABEL_MAP, ObjectKind.CAPTURE))


def make_rejection(inputs: Inputs, rejected: Sequence[ReportRef]) -> Dataset:
    """The note on these instances, which lie in the study of the result that takes their place."""
    result = inputs.result
    return make_selection(
        inputs,
        ObjectKind.REJECTION,
        REJECTED_FOR_QUALITY_REASONS,
        [_instance(inputs, reference) for reference in rejected],
        description=render_report("rejected", Language(inputs.profile.language), count=len(rejected)),
        series_description=series_description(result.package, "rejected"),
    )


def _instance(inputs: Inputs, reference: ReportRef) -> Dataset:
    """An earlier object as highdicom wants to see it; Rows and Columns make it an image, their values are not used."""
    instance = empty_patient_and_study(inputs.result)
    instance.SOPClassUID, instance.SOPInstanceUID = reference.sop_class_uid, reference.sop_instance_uid
    instance.SeriesInstanceUID = reference.series_instance_uid
    if reference.sop_class_uid in _IMAGES:
        instance.Rows = instance.Columns = 1
    return instance
