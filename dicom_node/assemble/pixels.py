"""Where do the bytes of each frame lie in a stored instance? Nothing is decoded and nothing large is read to find out."""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from dicom_node.values import InstanceHeaders, Reason
from dicom_node.values.reasons import CannotDecode, NoPixels, PixelsTruncated

from .syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT, NATIVE, syntax_name

Span = tuple[int, int]  # offset in the file, length

_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD
_EXTENDED_OFFSETS, _BEFORE_PIXELS = 0x7FE00001, {0x7FE00002, 0x7FE00003}
_FLOAT_PIXELS, _PIXELS = {0x7FE00008, 0x7FE00009}, 0x7FE00010
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UN", b"UC", b"UR", b"UT", b"SV", b"UV"}
# How a codestream of each family begins: JPEG and JPEG-LS, JPEG 2000, a JP2 file.
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
_INFLATED_SLACK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FrameSpans:
    """The place of each frame of one instance in `file`, in frame order; a compressed frame may have several spans."""

    file: BinaryIO
    spans: tuple[tuple[Span, ...], ...]

    def read(self, frame_number: int) -> bytes:
        """The bytes of one frame, joined."""
        parts = []
        for offset, length in self.spans[frame_number - 1]:
            self.file.seek(offset)
            parts.append(self.file.read(length))
        return parts[0] if len(parts) == 1 else b"".join(parts)


def find_frames(file: BinaryIO, headers: InstanceHeaders) -> FrameSpans | Reason:
    """The spans of all frames of an instance whose file is open; or NoPixels, PixelsTruncated, CannotDecode.

    The element is looked for right behind the header, as the header's own length says. A closing Sequence Delimitation Item may
    be missing; item lengths decide, never bytes that look like a delimiter. Source: PS3.5 A.4.
    """
    instance = headers.instance
    if instance.transfer_syntax_uid in DEFLATED:
        inflated = _inflate(file, headers)
        if isinstance(inflated, Reason):
            return inflated
        file, start, end = inflated, 0, len(inflated.getbuffer())
    else:
        start = instance.offset
        end = min(start + instance.length, file.seek(0, io.SEEK_END))
    element = _find_element(file, start + len(headers.data_set), end, headers)
    if isinstance(element, Reason):
        return element
    offset, length, table = element
    if instance.transfer_syntax_uid in NATIVE:
        return _find_native(file, offset, length, end, headers)
    if length != _UNDEFINED:
        return NoPixels() if length == 0 else CannotDecode(syntax_name(instance.transfer_syntax_uid))
    return _find_encapsulated(file, offset, end, table, headers)


def _inflate(file: BinaryIO, headers: InstanceHeaders) -> io.BytesIO | Reason:
    """The whole data set, inflated to no more than header and announced pixels can be: a bomb gives CannotDecode."""
    file.seek(headers.instance.offset)
    limit = len(headers.data_set) + frame_bytes(headers) * len(headers.frames) + _INFLATED_SLACK_BYTES
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(file.read(headers.instance.length), limit)
    except zlib.error:
        return CannotDecode(syntax_name(headers.instance.transfer_syntax_uid))
    if inflater.unconsumed_tail:
        return CannotDecode(syntax_name(headers.instance.transfer_syntax_uid))
    return io.BytesIO(inflated)


def _find_element(file: BinaryIO, offset: int, end: int, headers: InstanceHeaders) -> tuple[int, int, list[int]] | Reason:
    """Offset and length of the value of Pixel Data (7FE0,0010), and the Extended Offset Table before it, if there is one."""
    syntax, table = headers.instance.transfer_syntax_uid, list[int]()
    order = ">" if syntax in BIG_ENDIAN else "<"
    while offset + 8 <= end:
        file.seek(offset)
        head = file.read(12)
        group, element = struct.unpack(f"{order}HH", head[:4])
        tag = (group << 16) + element
        if syntax in IMPLICIT:
            length, value = struct.unpack(f"{order}I", head[4:8])[0], offset + 8
        elif head[4:6] in _LONG_VRS and len(head) == 12:
            length, value = struct.unpack(f"{order}I", head[8:12])[0], offset + 12
        else:
            length, value = struct.unpack(f"{order}H", head[6:8])[0], offset + 8
        if tag == _PIXELS:
            return value, length, table
        if tag in _FLOAT_PIXELS:
            return CannotDecode(syntax_name(syntax))
        if tag not in {_EXTENDED_OFFSETS, *_BEFORE_PIXELS} or length > end - value:
            break
        if tag == _EXTENDED_OFFSETS:
            file.seek(value)
            table = [number for (number,) in struct.iter_unpack("<Q", file.read(length - length % 8))]
        offset = value + length
    return NoPixels()


def _find_native(file: BinaryIO, offset: int, length: int, end: int, headers: InstanceHeaders) -> FrameSpans | Reason:
    if length == 0:
        return NoPixels()
    if length == _UNDEFINED or headers.bits_allocated not in {8, 16, 32}:
        return CannotDecode(syntax_name(headers.instance.transfer_syntax_uid))
    size, count = frame_bytes(headers), len(headers.frames)
    found = min(length, end - offset)
    if found < size * count:
        return PixelsTruncated(wanted_bytes=size * count, found_bytes=found)
    return FrameSpans(file, tuple(((offset + size * index, size),) for index in range(count)))


def _find_encapsulated(file: BinaryIO, offset: int, end: int, table: list[int], headers: InstanceHeaders) -> FrameSpans | Reason:
    damaged = CannotDecode(syntax_name(headers.instance.transfer_syntax_uid))
    items = list[Span]()
    while offset + 8 <= end:
        file.seek(offset)
        group, element, length = struct.unpack("<HHI", file.read(8))
        tag = (group << 16) + element
        if tag != _ITEM:
            if tag != _SEQUENCE_END and not items:
                return damaged
            break
        if length > end - offset - 8:
            return damaged if length == _UNDEFINED else PixelsTruncated(wanted_bytes=length, found_bytes=end - offset - 8)
        items.append((offset + 8, length))
        offset += 8 + length
    if len(items) < 2:
        return NoPixels()
    if not table and items[0][1]:
        file.seek(items[0][0])
        table = [number for (number,) in struct.iter_unpack("<I", file.read(items[0][1] - items[0][1] % 4))]
    grouped = group_fragments(items[1:], table, len(headers.frames), _begins(file, items[1:]))
    return damaged if grouped is None else FrameSpans(file, grouped)


def group_fragments(
    fragments: Sequence[Span], table: Sequence[int], frames: int, begins: Sequence[bool]
) -> tuple[tuple[Span, ...], ...] | None:
    """The fragments of each frame, or None where that cannot be told; never a shifted frame.

    `table` holds the offsets of the frames' first items, from the first fragment's item on, or nothing; `begins` says of each
    fragment whether a codestream begins in it. A table that does not fit is passed over. Source: PS3.5 A.4.
    """
    offsets = [offset - fragments[0][0] for offset, _ in fragments]
    if len(table) == frames and all(entry in offsets for entry in table) and list(table) == sorted(set(table)) and table[0] == 0:
        starts = [offsets.index(entry) for entry in table]
    elif frames == 1:
        starts = [0]
    elif len(fragments) == frames:
        starts = list(range(frames))
    else:
        starts = [index for index, is_begin in enumerate(begins) if is_begin]
    if len(starts) != frames or starts[0] != 0:
        return None
    return tuple(tuple(fragments[start:stop]) for start, stop in zip(starts, [*starts[1:], len(fragments)], strict=True))


def _begins(file: BinaryIO, fragments: Sequence[Span]) -> list[bool]:
    """Which fragments begin a codestream: by its marker, after a fragment that ends one; RLE by its header of offsets."""
    begins, ended = [], True
    for offset, length in fragments:
        file.seek(offset)
        head = file.read(min(length, 8))
        is_rle = len(head) == 8 and 1 <= head[0] <= 15 and head[1:4] == b"\0\0\0" and head[4:8] == b"\x40\0\0\0"
        begins.append(is_rle or (ended and head.startswith(_STARTS)))
        file.seek(max(offset, offset + length - 4))
        ended = file.read(min(length, 4)).rstrip(b"\0").endswith(b"\xff\xd9")
    return begins


def frame_bytes(headers: InstanceHeaders) -> int:
    """The length of one uncompressed frame."""
    return headers.rows * headers.columns * headers.samples_per_pixel * headers.bits_allocated // 8
