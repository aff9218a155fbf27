"""Pages of pictures against the result that they were made from, from their bytes alone.

What is written on a page cannot be read back. What can: that every page is there and whole, that a picture names the image that it
shows, and that every finding on that image is drawn in its colour.
"""

import io
from collections.abc import Sequence

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_node.values import Analysed, Mask, Picture

from .read_back import is_titled_without_result

_CLASS = "1.2.840.10008.5.1.4.1.1.7"
_FEWEST_PIXELS = 4  # of a colour, for an outline to be seen

# PS3.3 C.7.6.3 of an RGB image of 8 bits, colour by pixel.
_PIXEL_ATTRIBUTES = {
    "SamplesPerPixel": 3,
    "PhotometricInterpretation": "RGB",
    "PlanarConfiguration": 0,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelRepresentation": 0,
}


def count_wrong_pages(contents: Sequence[bytes], result: Analysed) -> int:
    """Pages that are not there, or are not what they should be; 0 where there are no pages at all.

    One or more pages of summary come first, then one page for each picture of the result. Raises what pydicom and Python raise for
    bytes that they cannot read.
    """
    if not contents:
        return 0
    summaries = len(contents) - len(result.pictures)
    if summaries < 1:
        return 1 - summaries
    wrong = 0
    for number, content in enumerate(contents, 1):
        page = pydicom.dcmread(io.BytesIO(content))
        picture = result.pictures[number - summaries - 1] if number > summaries else None
        is_page = is_whole_image(page, number) and not is_titled_without_result(page)
        wrong += not (is_page and (_names_all(page, result) if picture is None else _shows(page, picture, result)))
    return wrong


def is_whole_image(page: Dataset, number: int) -> bool:
    """Whether a page is an RGB image of 8 bits with all its pixels, and has this number in its series."""
    size_bytes = int(page.Rows) * int(page.Columns) * 3
    return (
        str(page.SOPClassUID) == _CLASS
        and int(page.InstanceNumber) == number
        and all(page[keyword].value == value for keyword, value in _PIXEL_ATTRIBUTES.items())
        and len(page.PixelData) == size_bytes + size_bytes % 2
    )


def _names_all(page: Dataset, result: Analysed) -> bool:
    return {uid for uid, _ in _sources(page)} == {frame.sop_instance_uid for frame in result.geometry.frames}


def _shows(page: Dataset, picture: Picture, result: Analysed) -> bool:
    """Whether a page names the source of the picture's slice, and has enough of the colour of each finding that lies on that slice."""
    frame = result.geometry.frames[picture.slice_index]
    pixels = np.frombuffer(page.PixelData, dtype=np.uint8)[: int(page.Rows) * int(page.Columns) * 3].reshape(-1, 3)
    colours = {one.colour_rgb for one in result.findings if _lies_on(one.mask, picture.slice_index)}
    return _sources(page) == [(frame.sop_instance_uid, frame.frame_number)] and all(
        np.count_nonzero((pixels == colour).all(axis=1)) >= _FEWEST_PIXELS for colour in colours
    )


def _lies_on(mask: Mask, slice_index: int) -> bool:
    return bool((np.argwhere(mask.voxels.any(axis=(1, 2))) + mask.origin[0] == slice_index).any())


def _sources(page: Dataset) -> list[tuple[str, int]]:
    """Instance and frame of each image that a page says it was made from; frame 1 where it names none."""
    return [
        (str(item.ReferencedSOPInstanceUID), frame)
        for item in page.SourceImageSequence
        for frame in _numbers(item.get("ReferencedFrameNumber", 1))
    ]


def _numbers(value: object) -> list[int]:
    return [int(one) for one in value] if isinstance(value, MultiValue) else [int(str(value))]
