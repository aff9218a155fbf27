"""Page, key images and outlines against the result that they were made from, from their bytes alone.

Nothing here is shared with the way of writing: largest slices are found and lines are filled anew.
"""

import io
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset

from dicom_node.values import Analysed, Finding

from .content_tree import evidence_of
from .read_back import is_titled_without_result

_OF_INTEREST = ("113000", "DCM")
_MOST_SLICES = 60  # of a finding are drawn

Plane = npt.NDArray[np.bool_]
Place = tuple[str, int]  # SOP Instance UID, frame number


def count_wrong_on_page(content: bytes, result: Analysed) -> int:
    """1 where the document is no whole PDF of a result, or not from the images of this one; what is printed is not read."""
    page = pydicom.dcmread(io.BytesIO(content))
    sources = [str(source.ReferencedSOPInstanceUID) for source in page.SourceInstanceSequence]
    is_right = (
        is_whole_document(page)
        and not is_titled_without_result(page)
        and sorted(sources) == sorted({frame.sop_instance_uid for frame in result.geometry.frames})
    )
    return 0 if is_right else 1


def is_whole_document(page: Dataset) -> bool:
    """Whether an object holds a PDF from its first to its last line."""
    document = bytes(page.EncapsulatedDocument)
    return (
        page.MIMETypeOfEncapsulatedDocument == "application/pdf"
        and document.startswith(b"%PDF-")
        and document.rstrip().endswith(b"%%EOF")
        and len(document) == int(page.EncapsulatedDocumentLength)
    )


def count_wrong_key_images(content: bytes, result: Analysed) -> int:
    """Findings none of whose largest slices is referred to, references to other slices, and evidence that is not what is referred to."""
    document = pydicom.dcmread(io.BytesIO(content))
    title = document.ConceptNameCodeSequence[0]
    references = [item.ReferencedSOPSequence[0] for item in document.ContentSequence if item.ValueType == "IMAGE"]
    named = [str(reference.ReferencedSOPInstanceUID) for reference in references]
    evidence = [(study, series, uid) for study, series, _, uid in evidence_of(document)]
    wanted_evidence = [(result.study_instance_uid, result.series_instance_uid, uid) for uid in named]
    places = {place for reference in references for place in _places(reference)}
    largest = [_largest_places(finding, result) for finding in result.findings]
    return (
        sum(1 for some in largest if not some & places)
        + len(places - {place for some in largest for place in some})
        + (len(named) - len(set(named)))
        + (sorted(evidence) != sorted(wanted_evidence))
        + ((str(title.CodeValue), str(title.CodingSchemeDesignator)) != _OF_INTEREST)
    )


def count_wrong_outlines(content: bytes, result: Analysed) -> int:
    """Pixels between the lines of a finding that are not its mask's, or the other way round; slices and texts missing or astray."""
    state = pydicom.dcmread(io.BytesIO(content))
    slices = {(frame.sop_instance_uid, frame.frame_number): index for index, frame in enumerate(result.geometry.frames)}
    findings = {finding.tracking_uid: finding for finding in result.findings}
    lines: dict[tuple[str, int], list[npt.NDArray[np.float64]]] = {}
    texts: list[tuple[str, Place, str]] = []
    for item in state.GraphicAnnotationSequence:
        (place,) = (one for image in item.ReferencedImageSequence for one in _places(image))
        for line in item.GraphicObjectSequence:
            points = np.array(line.GraphicData, dtype=np.float64).reshape(-1, 2)
            lines.setdefault((str(line.TrackingUID), slices.get(place, -1)), []).append(points)
        texts += [(str(text.TrackingUID), place, str(text.UnformattedTextValue)) for text in item.get("TextObjectSequence", ())]
    astray = [key for key in lines if key[0] not in findings or key[1] < 0]
    wrong = sum(
        int(np.count_nonzero(_fill(some, result.geometry.shape[1:]) ^ _plane(findings[uid], index, result.geometry.shape)))
        for (uid, index), some in lines.items()
        if (uid, index) not in astray
    )
    undrawn = [
        finding for finding in result.findings if not _has_enough(finding, {index for uid, index in lines if uid == finding.tracking_uid})
    ]
    unnamed = [finding for finding in result.findings if not _is_named(finding, texts, result)]
    return wrong + len(astray) + len(undrawn) + len(unnamed) + abs(len(texts) - len(result.findings))


def _has_enough(finding: Finding, drawn: set[int]) -> bool:
    """Whether a finding is drawn on all of its slices, or on as many as there may be, none of the others being larger."""
    areas = _areas(finding)
    left_out = [area for index, area in areas.items() if index not in drawn]
    if not left_out:
        return True
    return len(drawn) == _MOST_SLICES and max(left_out) <= min(areas.get(index, 0) for index in drawn)


def _is_named(finding: Finding, texts: Sequence[tuple[str, Place, str]], result: Analysed) -> bool:
    """Whether its one text begins with its number and stands on a slice on which it is largest."""
    own = [(place, text) for uid, place, text in texts if uid == finding.tracking_uid]
    return len(own) == 1 and own[0][1].split(" ")[0] == str(finding.number) and own[0][0] in _largest_places(finding, result)


def _fill(lines: Sequence[npt.NDArray[np.float64]], shape: tuple[int, int]) -> Plane:
    """The pixels between lines along pixel edges (even-odd): each upright edge turns what lies to its right, (rows, columns)."""
    turned = np.zeros((shape[0], shape[1] + 1), dtype=bool)
    for points in lines:
        if np.any(points != np.round(points)):
            raise ValueError("a point that is no pixel corner")
        for (x, y), (x_next, y_next) in itertools.pairwise(points.astype(int).tolist()):
            if x == x_next:
                turned[min(y, y_next) : max(y, y_next), x] ^= True
            elif y != y_next:
                raise ValueError("an edge that is no pixel's")
    return np.asarray(np.logical_xor.accumulate(turned, axis=1)[:, :-1], dtype=bool)


def _plane(finding: Finding, index: int, shape: tuple[int, int, int]) -> Plane:
    """A finding's pixels on one slice, (rows, columns)."""
    plane, (first, row, column) = np.zeros(shape[1:], dtype=bool), finding.mask.origin
    depth, height, width = finding.mask.voxels.shape
    if 0 <= index - first < depth:
        plane[row : row + height, column : column + width] = finding.mask.voxels[index - first]
    return plane


def _largest_places(finding: Finding, result: Analysed) -> set[Place]:
    """The frames of the slices on which a finding has most pixels."""
    areas = _areas(finding)
    frames = (result.geometry.frames[index] for index, area in areas.items() if area == max(areas.values()))
    return {(frame.sop_instance_uid, frame.frame_number) for frame in frames}


def _areas(finding: Finding) -> dict[int, int]:
    """Pixels by slice, where there are any."""
    return {finding.mask.origin[0] + number: count for number, plane in enumerate(finding.mask.voxels) if (count := int(plane.sum()))}


def _places(reference: Dataset) -> Iterator[Place]:
    """The frames that a reference names; the only one where it names none."""
    numbers = reference.get("ReferencedFrameNumber", 1)
    for number in [numbers] if isinstance(numbers, int) else numbers:
        yield str(reference.ReferencedSOPInstanceUID), int(number)
