"""An Encapsulated PDF: the result on paper, for a viewer that shows neither segmentations nor reports.

Source: PS3.3 A.45.1, C.8.6.1, C.24.2.
"""

from highdicom.base import SOPClass
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset

from dicom_node.texts import Language, render_report
from dicom_node.values import ObjectKind, derive_digest

from .elements import Elements, sequence_value, tag_of
from .inputs import Inputs
from .kinds import KINDS
from .seg import reference_to
from .titles import series_description

_IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")


def make_page(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The page of a result, with or without findings, and its elements that are encoded already.

    Nothing of the patient is printed on it (Burned In Annotation NO): whose it is stands in the header, where a correction of the
    patient's data reaches it.
    """
    from .pdf import write_pdf  # fpdf2 and fontTools take half a second to import, and few destinations want a page

    result = inputs.result
    content = write_pdf(inputs, identifier=derive_digest(inputs.uids(kind).instance)[:32])
    page = SOPClass(
        study_instance_uid=result.study_instance_uid,
        sop_class_uid=KINDS[kind].sop_class_uid,
        modality="DOC",
        **(inputs.names(kind) | {"series_description": series_description(result.package, "page")}),
    )
    page.ConversionType = "WSD"
    page.AcquisitionDateTime = None  # type 2, of several images
    page.BurnedInAnnotation = "NO"
    page.DocumentTitle = render_report("page-title", Language(inputs.profile.language), title=result.package.title)
    page.ConceptNameCodeSequence = [_IMAGING_MEASUREMENT_REPORT]
    page.VerificationFlag = "UNVERIFIED"
    page.MIMETypeOfEncapsulatedDocument = "application/pdf"
    page.EncapsulatedDocumentLength = len(content)
    return page, inputs.source.series("RequestAttributesSequence") | {
        tag_of("SourceInstanceSequence"): ("SQ", sequence_value(reference_to(inputs, uid) for uid in inputs.instances)),
        tag_of("EncapsulatedDocument"): ("OB", content),
    }
