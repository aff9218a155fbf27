"""An Encapsulated PDF: the result on paper, or that there is none, for a viewer that shows neither segmentations nor reports.

Source: PS3.3 A.45.1, C.8.6.1, C.24.2.
"""

from highdicom.base import SOPClass
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset

from dicom_node.texts import render_report
from dicom_node.values import ObjectKind, derive_digest

from .elements import Elements, sequence_value, tag_of
from .inputs import AnyInputs, Inputs, InputsOfRefusal
from .kinds import KINDS
from .seg import reference_to
from .sentences import sentence_of
from .titles import series_description, title_of

_IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")


def make_page(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The page of a result, with or without findings, and its elements that are encoded already."""
    from .pdf import write_pdf  # fpdf2 and fontTools take half a second to import, and few destinations want a page

    package = inputs.result.package
    title = render_report("page-title", inputs.language, title=package.title)
    content = write_pdf(inputs, _identifier(inputs, kind), title)
    page, encoded = _make(inputs, kind, content, title, series_description(package, "page"))
    page.ConceptNameCodeSequence = [_IMAGING_MEASUREMENT_REPORT]
    return page, encoded


def make_page_of_notice(inputs: InputsOfRefusal, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The page that says that there is no result, and why."""
    from .pdf_notice import write_pdf_notice

    package = inputs.result.package
    title = render_report(sentence_of("not-analysed", inputs.result), inputs.language)
    if package is not None:
        title = render_report(sentence_of("page-title-notice", inputs.result), inputs.language, title=package.title)
    content = write_pdf_notice(inputs, _identifier(inputs, kind), title)
    page, encoded = _make(inputs, kind, content, title, title_of(inputs.result))
    page.ConceptNameCodeSequence = []  # type 2: no code says that there is no report, and the one of a result would say the opposite
    return page, encoded


def _identifier(inputs: AnyInputs, kind: ObjectKind) -> str:
    """Of the file: 32 hexadecimal digits."""
    return derive_digest(inputs.uids(kind).instance)[:32]


def _make(inputs: AnyInputs, kind: ObjectKind, content: bytes, title: str, series_title: str) -> tuple[Dataset, Elements]:
    """A file as an object, which names all images as its source.

    Nothing of the patient is printed on it (Burned In Annotation NO): whose it is stands in the header, where a correction of the
    patient's data reaches it.
    """
    page = SOPClass(
        study_instance_uid=inputs.result.study_instance_uid,
        sop_class_uid=KINDS[kind].sop_class_uid,
        modality="DOC",
        **(inputs.names(kind) | {"series_description": series_title}),
    )
    page.ConversionType = "WSD"
    page.AcquisitionDateTime = None  # type 2, of several images
    page.BurnedInAnnotation = "NO"
    page.DocumentTitle = title
    page.VerificationFlag = "UNVERIFIED"
    page.MIMETypeOfEncapsulatedDocument = "application/pdf"
    page.EncapsulatedDocumentLength = len(content)
    return page, inputs.source.series("RequestAttributesSequence") | {
        tag_of("SourceInstanceSequence"): ("SQ", sequence_value(reference_to(inputs, uid) for uid in inputs.instances)),
        tag_of("EncapsulatedDocument"): ("OB", content),
    }
