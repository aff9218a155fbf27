"""The frames of a LABELMAP segmentation in bulk: one for each slice that holds a finding, each pixel the number of its segment or 0.

Source: PS3.3 C.8.20.2, C.8.31 (segments of a label map exclude each other).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed

from .elements import LONGEST_VALUE_BYTES
from .frames import FrameItems, SegmentSlices, do_overlap, find_slices


def is_writable(result: Analysed) -> bool:
    """Whether no two findings overlap. One whose masks are wrong for any segmentation is said to be so where one is made."""
    shape = result.geometry.shape
    try:
        return not do_overlap(find_slices(result.findings, shape), shape)
    except EncodingError:
        return True


def count_planes(segments: Sequence[SegmentSlices], shape: tuple[int, int, int]) -> int:
    """How many frames there are.

    Raises EncodingError where a voxel belongs to two segments, which no label map can say, or no Pixel Data can hold so many.
    """
    count = len({index for segment in segments for index in segment.slices})
    if count * shape[1] * shape[2] * _label_type(segments).itemsize > LONGEST_VALUE_BYTES:
        raise EncodingError("size of the segmentation")
    if do_overlap(segments, shape):
        raise EncodingError("label map of findings that overlap")
    return count


def pack_labels(segments: Sequence[SegmentSlices], slices: Sequence[int], shape: tuple[int, int, int]) -> tuple[str, memoryview]:
    """VR and value of Pixel Data: the frames of these slices, the last one first, as highdicom has them (against the normal).

    Padded to an even length; 16 bits only where 8 do not tell all segments apart.
    """
    _, rows, columns = shape
    type_ = _label_type(segments)
    count = len(slices) * rows * columns
    packed = np.zeros(count + count * type_.itemsize % 2, dtype=type_)
    planes = packed[:count].reshape(len(slices), rows, columns)
    number_of = {index: number for number, index in enumerate(slices)}
    for segment in segments:
        for index in segment.slices:
            segment.paste(planes[number_of[index]])[segment.plane(index)] = segment.finding.number
    return "OB" if type_.itemsize == 1 else "OW", packed.data.cast("B")


def describe_planes(slices: Sequence[int], items: FrameItems) -> bytes:
    """The items of Per-Frame Functional Groups Sequence (5200,9230), in the order of `pack_labels`: they differ by their place alone."""
    return b"".join(items.encode(index, (items.place[index],)) for index in slices)


def _label_type(segments: Sequence[SegmentSlices]) -> np.dtype[np.unsignedinteger[npt.NBitBase]]:
    return np.dtype("u1" if len(segments) < 256 else "<u2")
