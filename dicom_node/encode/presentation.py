"""A Grayscale Softcopy Presentation State: the outlines of all findings, as lines and text that a viewer lays over the source images.

Source: PS3.3 A.33.1, C.10.4, C.10.5, C.10.7, C.11.1, C.11.6, C.11.8, C.11.9, C.11.11; PS3.4 N.2.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence

import highdicom as hd
import numpy as np
from highdicom.base import SOPClass
from pydicom.dataset import Dataset

from dicom_node.values import CodedConcept, Finding, ObjectKind

from .elements import Elements, sequence_value, tag_of
from .frames import find_slices
from .inputs import Inputs
from .kinds import KINDS
from .outlines import Point, largest_slice, outline
from .seg import reference_to
from .source import read_window
from .titles import content_creator, series_description

MOST_SLICES = 60  # of one finding: an organ of a thin CT lies on hundreds, and viewers read all lines before they show one
MOST_POINTS = 8000  # of one line: its numbers must fit into 65534 bytes; a longer one is written as several that join

_Layer = tuple[CodedConcept, tuple[int, int, int]]  # what is shown or hidden as one: findings of one type and colour
_IDENTITY = (1.0, 0.0)  # rescale slope and intercept


def make_presentation(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The outlines of a result that has findings, and its elements that are encoded already.

    It refers to the images that have a line on them, of which it gives window and rescale: a transformation that a presentation state
    does not have is not applied, though the image has it (PS3.4 N.2). A finding that lies on more than MOST_SLICES slices is drawn on
    those where it is largest.
    """
    result, profile, moment = inputs.result, inputs.profile, inputs.source.moment
    slices = {one.finding.number: choose_slices(one.finding, one.slices) for one in find_slices(result.findings, result.geometry.shape)}
    images = _images(inputs, sorted({index for chosen in slices.values() for index in chosen}))
    layers = _name_layers(result.findings)
    state = SOPClass(
        study_instance_uid=result.study_instance_uid,
        sop_class_uid=KINDS[kind].sop_class_uid,
        modality="PR",
        **(inputs.names(kind) | {"series_description": series_description(result.package, "outlines")}),
    )
    copied = inputs.source.series("BodyPartExamined", "Laterality", "RequestAttributesSequence")
    if not {tag_of("BodyPartExamined"), tag_of("Laterality")} & copied.keys():
        state.Laterality = None  # type 2C where the body part may be a paired one, which is not known
    state.ContentLabel = "AI_OUTLINES"
    state.ContentDescription = series_description(result.package)
    state.ContentCreatorName = content_creator(profile.ae_title)
    state.PresentationCreationDate, state.PresentationCreationTime = moment.date, moment.time
    state.DisplayedAreaSelectionSequence = [_displayed_area(inputs)]
    state.GraphicLayerSequence = [_layer(layer, name, order) for order, (layer, name) in enumerate(layers.items(), 1)]
    is_inverse = next(iter(inputs.instances.values())).photometric_interpretation == "MONOCHROME1"
    state.PresentationLUTShape = "INVERSE" if is_inverse else "IDENTITY"
    series: Elements = {
        tag_of("SeriesInstanceUID"): ("UI", result.series_instance_uid.encode()),
        tag_of("ReferencedImageSequence"): ("SQ", sequence_value(images.values())),
    }
    return state, copied | {
        tag_of("ReferencedSeriesSequence"): ("SQ", sequence_value([series])),
        tag_of("GraphicAnnotationSequence"): ("SQ", sequence_value(_annotations(inputs, slices, layers))),
        **_transformations(inputs, images),
    }


def choose_slices(finding: Finding, slices: Sequence[int]) -> tuple[int, ...]:
    """Of these slices those that are drawn, in their order: where a finding is largest, and of equal ones those next to its middle."""
    areas = np.count_nonzero(finding.mask.voxels, axis=(1, 2))
    first, middle = finding.mask.origin[0], largest_slice(finding)
    return tuple(sorted(sorted(slices, key=lambda index: (-areas[index - first], abs(index - middle), index))[:MOST_SLICES]))


def _name_layers(findings: Sequence[Finding]) -> Mapping[_Layer, str]:
    """The name of each layer, as a CS; in the order of the findings."""
    layers = dict.fromkeys((finding.type, finding.colour_rgb) for finding in findings)
    return {layer: f"FINDINGS_{number}" for number, layer in enumerate(layers, 1)}


def _layer(layer: _Layer, name: str, order: int) -> Dataset:
    """An item of Graphic Layer Sequence (PS3.3 C.10.7)."""
    (concept, colour_rgb), item = layer, Dataset()
    item.GraphicLayer, item.GraphicLayerOrder = name, order
    item.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
    item.GraphicLayerRecommendedDisplayCIELabValue = list(hd.color.CIELabColor.from_rgb(*colour_rgb).value)
    item.GraphicLayerDescription = concept.meaning
    return item


def _displayed_area(inputs: Inputs) -> Dataset:
    """All of each image, its pixels as wide and high as they are in the patient (PS3.3 C.10.4)."""
    (_, rows, columns), area = inputs.result.geometry.shape, Dataset()
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [columns, rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    if inputs.result.geometry.lps_from_index is None:
        area.PresentationPixelAspectRatio = [1, 1]
    else:
        area.PresentationPixelSpacing = [f"{spacing_mm:.8g}" for spacing_mm in inputs.result.geometry.spacing_mm[1:]]
    return area


# -- the images -------------------------------------------------------------------------------------------------------------


def _images(inputs: Inputs, slices: Sequence[int]) -> Mapping[str, Elements]:
    """A reference to each image that these slices come from, with the frames where it has several, by SOP Instance UID."""
    frames: dict[str, list[int]] = {}
    for index in slices:
        frame = inputs.result.geometry.frames[index]
        frames.setdefault(frame.sop_instance_uid, []).append(frame.frame_number)
    return {uid: _name_frames(inputs, uid, sorted(numbers)) for uid, numbers in frames.items()}


def _name_frames(inputs: Inputs, sop_instance_uid: str, frame_numbers: Sequence[int]) -> Elements:
    """An image; where it has several frames, these of it."""
    image = reference_to(inputs, sop_instance_uid)
    if len(inputs.instances[sop_instance_uid].frames) > 1:
        image[tag_of("ReferencedFrameNumber")] = ("IS", "\\".join(map(str, frame_numbers)).encode())
    return image


def _transformations(inputs: Inputs, images: Mapping[str, Elements]) -> Elements:
    """Rescale and windows, where one rescale holds for all: there is room for no more than one, and a window is on what it gives."""
    rescales = {(frame.rescale_slope, frame.rescale_intercept) for uid in images for frame in inputs.instances[uid].frames}
    if len(rescales) > 1:
        return {}
    ((slope, intercept),) = rescales
    transformations = _windows(inputs, images)
    if (slope, intercept) != _IDENTITY:
        transformations[tag_of("RescaleSlope")] = ("DS", f"{slope:.10g}".encode())
        transformations[tag_of("RescaleIntercept")] = ("DS", f"{intercept:.10g}".encode())
        transformations[tag_of("RescaleType")] = ("LO", b"HU" if inputs.source.modality == "CT" else b"US")
    return transformations


def _windows(inputs: Inputs, images: Mapping[str, Elements]) -> Elements:
    """Softcopy VOI LUT Sequence: each window with the images that want it (PS3.3 C.11.8)."""
    by_window: dict[tuple[tuple[int, tuple[str, bytes]], ...], list[Elements]] = {}
    for uid, image in images.items():
        window = read_window(inputs.instances[uid])
        if window:
            by_window.setdefault(tuple(window.items()), []).append(image)
    items = [dict(window) | {tag_of("ReferencedImageSequence"): ("SQ", sequence_value(some))} for window, some in by_window.items()]
    return {tag_of("SoftcopyVOILUTSequence"): ("SQ", sequence_value(items))} if items else {}


# -- what is drawn ----------------------------------------------------------------------------------------------------------


def _annotations(inputs: Inputs, slices: Mapping[int, Sequence[int]], layers: Mapping[_Layer, str]) -> Iterator[Elements]:
    """Items of Graphic Annotation Sequence, one for each slice and layer: the lines on it, and a text where a finding is largest."""
    marked: dict[tuple[int, str], list[Finding]] = {}
    for finding in inputs.result.findings:
        for index in slices[finding.number]:
            marked.setdefault((index, layers[finding.type, finding.colour_rgb]), []).append(finding)
    for (index, name), findings in sorted(marked.items(), key=lambda one: one[0]):
        frame = inputs.result.geometry.frames[index]
        image = _name_frames(inputs, frame.sop_instance_uid, [frame.frame_number])
        item: Elements = {
            tag_of("GraphicLayer"): ("CS", name.encode()),
            tag_of("ReferencedImageSequence"): ("SQ", sequence_value([image])),
            tag_of("GraphicObjectSequence"): ("SQ", sequence_value(one for finding in findings for one in _lines(inputs, finding, index))),
        }
        named = [_text(inputs, finding, index) for finding in findings if index == largest_slice(finding)]
        if named:
            item[tag_of("TextObjectSequence")] = ("SQ", sequence_value(named))
        yield item


def _lines(inputs: Inputs, finding: Finding, index: int) -> Iterator[Elements]:
    """Items of Graphic Object Sequence: the closed lines about a finding on a slice, with what it is tracked by."""
    for polygon in _polygons(finding, index):
        for first in range(0, len(polygon) - 1, MOST_POINTS - 1):
            points = polygon[first : first + MOST_POINTS]
            line: Elements = {
                tag_of("GraphicAnnotationUnits"): ("CS", b"PIXEL"),
                tag_of("GraphicDimensions"): ("US", struct.pack("<H", 2)),
                tag_of("NumberOfGraphicPoints"): ("US", struct.pack("<H", len(points))),
                tag_of("GraphicData"): ("FL", np.array(points, dtype="<f4").tobytes()),
                tag_of("GraphicType"): ("CS", b"POLYLINE"),
                **_tracking(inputs, finding),
            }
            if points[0] == points[-1]:
                line[tag_of("GraphicFilled")] = ("CS", b"N")
            yield line


def _text(inputs: Inputs, finding: Finding, index: int) -> Elements:
    """An item of Text Object Sequence: number and label, tied to the upper right of the finding's outline."""
    anchor = max((point for polygon in _polygons(finding, index) for point in polygon), key=lambda point: point[0] - point[1])
    return {
        tag_of("AnchorPointAnnotationUnits"): ("CS", b"PIXEL"),
        tag_of("UnformattedTextValue"): inputs.words.element("UnformattedTextValue", f"{finding.number} {finding.label}"),
        tag_of("AnchorPoint"): ("FL", np.array(anchor, dtype="<f4").tobytes()),
        tag_of("AnchorPointVisibility"): ("CS", b"Y"),
        **_tracking(inputs, finding),
    }


def _polygons(finding: Finding, index: int) -> tuple[tuple[Point, ...], ...]:
    (first, row, column), voxels = finding.mask.origin, finding.mask.voxels
    return outline(voxels[index - first], (row, column))


def _tracking(inputs: Inputs, finding: Finding) -> Elements:
    return {
        tag_of("TrackingID"): inputs.words.element("TrackingID", finding.tracking_identifier),
        tag_of("TrackingUID"): ("UI", finding.tracking_uid.encode()),
    }
