"""Objects, read from the bytes that were written; of a segmentation the frames.

Nothing here is shared with the way of writing. pydicom finds the outermost elements; the items of the frames are taken apart here, since
pydicom makes some ten data sets of each, which takes seconds where there are thousands.
"""

import io
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicom_node.errors import EncodingError
from dicom_node.values import NotAnalysed, Withdrawn

Fields = Mapping[int, bytes | memoryview]  # the values of a data set, by tag

# Tags as PS3.6 has them.
_SHARED, _PER_FRAME, _PIXEL_DATA = 0x52009229, 0x52009230, 0x7FE00010
_DERIVATION_IMAGE, _SOURCE_IMAGE, _INSTANCE_UID, _FRAME_NUMBER = 0x00089124, 0x00082112, 0x00081155, 0x00081160
_PLANE_POSITION, _POSITION = 0x00209113, 0x00200032
_PLANE_ORIENTATION, _ORIENTATION = 0x00209116, 0x00200037
_PIXEL_MEASURES, _PIXEL_SPACING = 0x00289110, 0x00280030
_SEGMENT_IDENTIFICATION, _SEGMENT_NUMBER = 0x0062000A, 0x0062000B

_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})  # PS3.5 table 7.1-1
_PREAMBLE_BYTES = 132  # with the prefix (PS3.10 7.1)
_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000


_NO_RESULT, _NO_RESULT_ANY_MORE = "not analysed", "withdrawn"


def is_titled_without_result(dataset: Dataset) -> bool:
    """Whether an object says by its Series Description that there is no result, or none any more."""
    return str(dataset.SeriesDescription).endswith((_NO_RESULT, _NO_RESULT_ANY_MORE))


def is_titled_as(dataset: Dataset, result: NotAnalysed) -> bool:
    """Whether it says which of the two."""
    return str(dataset.SeriesDescription).endswith(_NO_RESULT_ANY_MORE if isinstance(result, Withdrawn) else _NO_RESULT)


@dataclass(frozen=True, slots=True, eq=False)
class WrittenFrames:
    """The frames of a segmentation, in their order.

    `segments` are segment numbers, `sources` the instance and frame number that a frame says it was made from. The centre of a frame's
    first pixel lies at `positions_lps`; from there the next column lies `across_mm` away, the next row `down_mm`: each (frames, 3),
    LPS, in millimetres. `packed` is Pixel Data, as a view. A frame of a label map stands here once for each segment that it holds:
    `labels` are those frames as they are, and `stored` says which of them each one is; else `labels` is None.

    Source: PS3.3 equation C.7.6.2.1-1.
    """

    shape: tuple[int, int]  # rows, columns
    segments: tuple[int, ...]
    sources: tuple[tuple[str, int], ...]
    positions_lps: npt.NDArray[np.float64]
    across_mm: npt.NDArray[np.float64]
    down_mm: npt.NDArray[np.float64]
    packed: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.unsignedinteger[npt.NBitBase]] | None = None
    stored: tuple[int, ...] = ()

    def pixels(self, number: int) -> npt.NDArray[np.bool_]:
        """A frame, counted from 0. Frames of bits follow each other without gaps, the least significant bit of a byte first.

        Source: PS3.5 8.1.1.
        """
        if self.labels is not None:
            return np.asarray(self.labels[self.stored[number]] == self.segments[number])
        rows, columns = self.shape
        first, count = number * rows * columns, rows * columns
        bits = np.unpackbits(self.packed[first // 8 : -(-(first + count) // 8)], bitorder="little")[first % 8 :][:count]
        if len(bits) != count:
            raise EncodingError("pixel data is too short")
        return bits.view(np.bool_).reshape(rows, columns)


class _Frame(NamedTuple):
    """What the functional groups say of one frame; a label map's frame has no segment."""

    segment: int | None
    source: tuple[str, int]
    position: tuple[float, ...]
    cosines: tuple[float, ...]
    spacing: tuple[float, ...]


def read_segmentation(content: bytes) -> tuple[Dataset, WrittenFrames]:
    """What stands before Pixel Data as pydicom reads it, and the frames.

    Raises EncodingError, or what pydicom and Python raise for what is not there.
    """
    file = io.BytesIO(content)
    dataset = pydicom.dcmread(file, stop_before_pixels=True)
    rest = _fields(memoryview(content)[file.tell() :])
    (shared,) = _items(_raw(dataset, _SHARED))
    frames = list(_read_frames(_fields(shared), _items(_raw(dataset, _PER_FRAME))))
    packed = np.frombuffer(rest[_PIXEL_DATA], dtype=np.uint8)
    shape, labels = (int(dataset.Rows), int(dataset.Columns)), None
    stored = [(number, frame.segment) for number, frame in enumerate(frames) if frame.segment is not None]
    if dataset.SegmentationType == "LABELMAP":
        labels = _read_labels(packed, (len(frames), *shape), int(dataset.BitsAllocated))
        stored = [(number, int(one)) for number, frame in enumerate(labels) for one in np.flatnonzero(np.bincount(frame.ravel())) if one]
    elif len(stored) != len(frames):
        raise EncodingError("segment of a frame")
    frames = [frames[number] for number, _ in stored]
    cosines = np.array([frame.cosines for frame in frames]).reshape(-1, 2, 3)
    spacings_mm = np.array([frame.spacing for frame in frames]).reshape(-1, 2)
    return dataset, WrittenFrames(
        shape=shape,
        segments=tuple(segment for _, segment in stored),
        sources=tuple(frame.source for frame in frames),
        positions_lps=np.array([frame.position for frame in frames]).reshape(-1, 3),
        across_mm=cosines[:, 0] * spacings_mm[:, 1:],
        down_mm=cosines[:, 1] * spacings_mm[:, :1],
        packed=packed,
        labels=labels,
        stored=tuple(number for number, _ in stored),
    )


def _read_labels(
    packed: npt.NDArray[np.uint8], shape: tuple[int, int, int], bits_allocated: int
) -> npt.NDArray[np.unsignedinteger[npt.NBitBase]]:
    """The frames of a label map, (frames, rows, columns): 8 or 16 bits, little endian; behind them at most one byte of padding."""
    count, type_ = math.prod(shape), np.dtype({8: "u1", 16: "<u2"}[bits_allocated])
    if len(packed) != -(-count * type_.itemsize // 2) * 2:
        raise EncodingError("pixel data is too short")
    return packed[: count * type_.itemsize].view(type_).reshape(shape)


def read_report(content: bytes) -> Dataset:
    """The report as pydicom reads it. Raises as `read_segmentation` does."""
    _fields(memoryview(content)[_PREAMBLE_BYTES:])  # pydicom only warns where a file breaks off
    return pydicom.dcmread(io.BytesIO(content))


def _read_frames(shared: Fields, items: Iterator[memoryview]) -> Iterator[_Frame]:
    known: dict[bytes, tuple[str, int]] = {}  # frames of one slice have one source, and most of a frame's bytes name it
    for item in items:
        own = _fields(item)
        derivation = bytes(own[_DERIVATION_IMAGE])
        if derivation not in known:
            known[derivation] = _source(derivation)
        yield _Frame(
            segment=_segment(own, shared),
            source=known[derivation],
            position=_decimals(_group(own, shared, _PLANE_POSITION)[_POSITION], 3),
            cosines=_decimals(_group(own, shared, _PLANE_ORIENTATION)[_ORIENTATION], 6),
            spacing=_decimals(_group(own, shared, _PIXEL_MEASURES)[_PIXEL_SPACING], 2),
        )


def _segment(own: Fields, shared: Fields) -> int | None:
    if _SEGMENT_IDENTIFICATION not in own and _SEGMENT_IDENTIFICATION not in shared:
        return None
    (segment,) = struct.unpack("<H", _group(own, shared, _SEGMENT_IDENTIFICATION)[_SEGMENT_NUMBER])
    return int(segment)


def _source(derivation: bytes) -> tuple[str, int]:
    """The one instance, and its frame where it names one."""
    (derived,) = _items(derivation)
    (reference,) = _items(_fields(derived)[_SOURCE_IMAGE])
    fields = _fields(reference)
    return bytes(fields[_INSTANCE_UID]).rstrip(b"\0").decode("ascii"), int(bytes(fields.get(_FRAME_NUMBER, b"1")))


def _group(own: Fields, shared: Fields, tag: int) -> Fields:
    """The one item of a functional group, which lies with the frame or with all of them."""
    (item,) = _items(own[tag] if tag in own else shared[tag])
    return _fields(item)


def _decimals(value: bytes | memoryview, count: int) -> tuple[float, ...]:
    """The numbers of a DS."""
    found = tuple(map(float, bytes(value).split(b"\\")))
    if len(found) != count:
        raise EncodingError("place of a frame")
    return found


# -- bytes ------------------------------------------------------------------------------------------------------------------


def _raw(dataset: Dataset, tag: int) -> bytes:
    """The items of a sequence of defined length, as pydicom came across them."""
    element = dataset.get_item(tag)
    if not isinstance(element, RawDataElement) or not isinstance(element.value, bytes):
        raise EncodingError("functional groups")
    return element.value


def _items(value: bytes | memoryview) -> Iterator[memoryview]:
    """The items of a sequence.

    Source: PS3.5 7.5.1, each of defined length.
    """
    start, view = 0, memoryview(value)
    while start < len(view):
        group, element, length = struct.unpack_from("<HHI", view, start)
        start += 8
        if (group << 16) + element != _ITEM or start + length > len(view):
            raise EncodingError("item")
        yield view[start : start + length]
        start += length


def _fields(view: memoryview) -> Fields:
    """The values of a data set in explicit VR little endian, by tag.

    Source: PS3.5 7.1.2.
    """
    found, start = {}, 0
    while start < len(view):
        group, element, vr, length = struct.unpack_from("<HH2sH", view, start)
        start += 8
        if vr in _LONG:
            (length,) = struct.unpack_from("<I", view, start)
            start += 4
        if length == _UNDEFINED or start + length > len(view):
            raise EncodingError("element")
        found[(group << 16) + element] = view[start : start + length]
        start += length
    return found
