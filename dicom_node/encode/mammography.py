"""A Mammography CAD SR: each finding as a mark on its image, as mammography workstations lay it over what they show.

Its template is not extensible: there is no place for measurements, tracking, site or an observer, who is the equipment of the document.

Source: PS3.3 A.35.5; PS3.16 TID 4000, 4001, 4002, 4003, 4006, 4015, 4017, 4019, 4020, 4021.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_node.errors import EncodingError
from dicom_node.values import CodedConcept, Finding, ObjectKind

from .content_items import code_item, container, content_item, date_item, number_item, points_item, reference_to, text_item, time_item
from .documents import encode_parts, language, make_document
from .elements import Elements, read_elements, sequence_value
from .images import reference_of_slice
from .inputs import Inputs
from .mammography_codes import find_single_image_finding
from .meanings import translate
from .outlines import largest_region
from .sentences import find_missing, root_comment
from .views import View, read_view

_CONTAINS, _PROPERTY, _INFERRED = "CONTAINS", "HAS PROPERTIES", "INFERRED FROM"
_MODIFIER, _ACQUISITION, _SELECTED = "HAS CONCEPT MOD", "HAS ACQ CONTEXT", "SELECTED FROM"

# The meanings in pydicom's table have a space without width in one place, and are too long in another.
_IMPRESSION = Code("111034", "DCM", "Individual Impression/Recommendation")
_REQUIRED = Code("111150", "DCM", "Presentation Required: Rendering device is expected to present")
_WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")  # CID 6047
_WITHOUT_FINDINGS = Code("111241", "DCM", "All algorithms succeeded; without findings")

_LIBRARY_PLACE = (1, 2)  # in the tree: behind the language


def make_mammography_report(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The report of a result that fits (`fitting.fits`), and its elements that are encoded already.

    highdicom makes the document around a tree with the first image alone; the whole tree takes its place.
    """
    document = make_document(_frame(inputs), inputs.first_alone(), kind)
    content = [*language(inputs), _library(inputs), _summary(inputs), _detections(inputs), _analyses()]
    return document, encode_parts(document, sequence_value(_encode(item, inputs) for item in content), inputs)


def _encode(item: Dataset, inputs: Inputs) -> Elements:
    translate(item, inputs.language)
    inputs.words.fit(item)
    return read_elements(item, inputs.words.encoding)


def _frame(inputs: Inputs) -> Dataset:
    """The root container as highdicom wants it."""
    sop_class_uid, sop_instance_uid, _ = reference_of_slice(inputs, 0)
    image = hd.sr.ImageContentItem(codes.DCM.ImageLibrary, sop_class_uid, sop_instance_uid, relationship_type=_CONTAINS)
    library = hd.sr.ContainerContentItem(codes.DCM.ImageLibrary, relationship_type=_CONTAINS)
    library.ContentSequence = hd.sr.ContentSequence([image])
    root = hd.sr.ContainerContentItem(codes.DCM.MammographyCADReport, is_content_continuous=False, template_id="4000")
    root.ContentSequence = hd.sr.ContentSequence([*language(inputs), library])
    assert isinstance(root, Dataset)
    return root


# -- the images (TID 4020) ------------------------------------------------------------------------------------------------------


def _library(inputs: Inputs) -> Dataset:
    """An entry for each slice of the grid, which is an image here."""
    entries = [_entry(inputs, index) for index in range(len(inputs.result.geometry.frames))]
    return container(_CONTAINS, codes.DCM.ImageLibrary, entries)


def _entry(inputs: Inputs, index: int) -> Dataset:
    sop_class_uid, sop_instance_uid, frame_numbers = reference_of_slice(inputs, index)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    if frame_numbers is not None:
        reference.ReferencedFrameNumber = frame_numbers
    view = read_view(inputs.instances[sop_instance_uid])
    context = [*_describe_view(view), *_describe_spacing(inputs)]
    return content_item(_CONTAINS, "IMAGE", None, context, ReferencedSOPSequence=[reference])


def _describe_view(view: View) -> Iterator[Dataset]:
    dcm = codes.DCM
    if view.side is not None:
        yield code_item(_ACQUISITION, dcm.ImageLaterality, view.side)
    if view.view is not None:
        modifiers = [code_item(_MODIFIER, dcm.ImageViewModifier, modifier) for modifier in view.modifiers]
        yield code_item(_ACQUISITION, dcm.ImageView, view.view, modifiers)
    if view.orientation is not None:
        for name, letters in zip((dcm.PatientOrientationRow, dcm.PatientOrientationColumn), view.orientation, strict=True):
            yield text_item(_ACQUISITION, name, letters)
    times = [
        (date_item, dcm.StudyDate, view.study_date),
        (time_item, dcm.StudyTime, view.study_time),
        (date_item, dcm.ContentDate, view.content_date),
        (time_item, dcm.ContentTime, view.content_time),
    ]
    yield from (make(_ACQUISITION, name, value) for make, name, value in times if value)


def _describe_spacing(inputs: Inputs) -> Iterator[Dataset]:
    """None where it is not known, which is 0."""
    _, rows_mm, columns_mm = inputs.result.geometry.spacing_mm
    for name, spacing_mm in ((codes.DCM.HorizontalPixelSpacing, columns_mm), (codes.DCM.VerticalPixelSpacing, rows_mm)):
        if spacing_mm > 0:
            yield number_item(_ACQUISITION, name, spacing_mm, codes.UCUM.Millimeter)


def _refer_to(relationship: str, index: int) -> Dataset:
    """A reference to the image of a slice."""
    return reference_to(relationship, (*_LIBRARY_PLACE, index + 1))


# -- what was found (TID 4001, 4002, 4003, 4006, 4021) --------------------------------------------------------------------------


def _summary(inputs: Inputs) -> Dataset:
    """What the algorithm says of all images: that it found something or not, in words under which reservations, and each finding."""
    result = inputs.result
    comment = root_comment(result, find_missing(result), inputs.language, inputs.source)
    findings = [_impression(finding, inputs) for finding in result.findings]
    return code_item(
        _CONTAINS,
        codes.DCM.CADProcessingAndFindingsSummary,
        _WITH_FINDINGS if findings else _WITHOUT_FINDINGS,
        [text_item(_PROPERTY, codes.DCM.ImpressionDescription, comment), *findings],
    )


def _impression(finding: Finding, inputs: Inputs) -> Dataset:
    """A finding of its own: the algorithm does not say which ones belong together."""
    return container(_INFERRED, _IMPRESSION, [_intent(), _single_image_finding(finding, inputs)])


def _single_image_finding(finding: Finding, inputs: Inputs) -> Dataset:
    """Centre and outline on the image where it is largest, to be shown; how sure the algorithm is, and which algorithm."""
    index, line = largest_region(finding)
    return code_item(
        _CONTAINS,
        codes.DCM.SingleImageFinding,
        _code_of(finding.type),
        [
            _intent(),
            *_algorithm(inputs),
            *_certainty(finding),
            points_item(_PROPERTY, codes.DCM.Center, "POINT", [_centre(finding, index)], _refer_to(_SELECTED, index)),
            points_item(_PROPERTY, codes.DCM.Outline, "POLYLINE", line, _refer_to(_SELECTED, index)),
        ],
    )


def _intent() -> Dataset:
    """What is found passed the operating point of the algorithm: all of it is to be shown."""
    return code_item(_MODIFIER, codes.DCM.RenderingIntent, _REQUIRED)


def _certainty(finding: Finding) -> Iterator[Dataset]:
    """The score in percent. Raises EncodingError where it is no number."""
    if finding.score is None:
        return
    if not math.isfinite(finding.score):
        raise EncodingError("score is no number")
    yield number_item(_PROPERTY, codes.DCM.CertaintyOfFinding, round(finding.score * 100, 10), codes.UCUM.Percent)


def _centre(finding: Finding, index: int) -> tuple[float, float]:
    """The centroid of the pixels on a slice, (column, row); the centre of the image's first pixel is (0.5, 0.5)."""
    first, row, column = finding.mask.origin
    rows, columns = np.nonzero(finding.mask.voxels[index - first])
    return column + float(columns.mean()) + 0.5, row + float(rows.mean()) + 0.5


# -- what was looked for (TID 4015, 4017, 4019) ---------------------------------------------------------------------------------


def _detections(inputs: Inputs) -> Dataset:
    """One detection on all images for each thing that was looked for: it is what tells *nothing found* from *not looked for*."""
    found = (finding.type for finding in inputs.result.findings)
    looked_for = {(code.value, code.scheme_designator): code for code in map(_code_of, itertools.chain(inputs.result.looked_for, found))}
    performed = [_detection(code, inputs) for code in looked_for.values()]
    successful = container(_INFERRED, codes.DCM.SuccessfulDetections, performed)
    return code_item(_CONTAINS, codes.DCM.SummaryOfDetections, codes.DCM.Succeeded, [successful])


def _detection(code: Code, inputs: Inputs) -> Dataset:
    images = [_refer_to(_PROPERTY, index) for index in range(len(inputs.result.geometry.frames))]
    series = content_item(_PROPERTY, "UIDREF", codes.DCM.SeriesInstanceUID, UID=inputs.result.series_instance_uid)
    return code_item(_CONTAINS, codes.DCM.DetectionPerformed, code, [*_algorithm(inputs), *images, series])


def _analyses() -> Dataset:
    """None of what CID 6043 calls an analysis: no images are compared, and none is judged by its quality."""
    return code_item(_CONTAINS, codes.DCM.SummaryOfAnalyses, codes.DCM.NotAttempted)


def _algorithm(inputs: Inputs) -> Sequence[Dataset]:
    """TID 4019, with the digest of the package: version strings can be given twice."""
    package = inputs.result.package
    return [
        text_item(_PROPERTY, codes.DCM.AlgorithmName, package.name),
        text_item(_PROPERTY, codes.DCM.AlgorithmVersion, package.version),
        text_item(_PROPERTY, codes.DCM.AlgorithmManufacturer, package.manufacturer),
        text_item(_PROPERTY, codes.DCM.AlgorithmParameters, f"sha256={package.digest}"),
    ]


def _code_of(concept: CodedConcept) -> Code:
    """Raises EncodingError where mammography CAD has none: then this kind does not fit, and another one is made."""
    found = find_single_image_finding(concept)
    if found is None:
        raise EncodingError("finding of a mammogram")
    return Code(found.value, found.scheme, found.meaning)
