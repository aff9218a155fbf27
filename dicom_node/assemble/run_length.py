"""RLE Lossless, decoded here: pylibjpeg's decoder, written in Rust, panics on segments that run too long, which nobody can catch."""

import struct

import numpy as np
import numpy.typing as npt

_HEADER_BYTES = 64
_PAD_BYTES = 2
_REPEATS_FROM, _NOTHING = 129, 128


def decode_run_length(content: bytes, pixels: int, bytes_per_pixel: int) -> npt.NDArray[np.unsignedinteger] | None:
    """The pixel cells of one grey frame as unsigned words, flat; None where the segments are not those of such a frame.

    The end of the last run may stand over and a pad byte may follow; a segment of another length is that of another frame.
    Source: PS3.5 annex G.
    """
    if len(content) < _HEADER_BYTES:
        return None
    count, *offsets = struct.unpack("<16I", content[:_HEADER_BYTES])
    bounds = [*offsets[:count], len(content)]
    if count != bytes_per_pixel or bounds[0] < _HEADER_BYTES or bounds != sorted(bounds):
        return None
    planes = np.empty((pixels, bytes_per_pixel), dtype=np.uint8)
    for number in range(count):
        segment = _unpack(content[bounds[number] : bounds[number + 1]], pixels)
        if segment is None:
            return None
        # The most significant byte comes first.
        planes[:, bytes_per_pixel - 1 - number] = np.frombuffer(segment, dtype=np.uint8, count=pixels)
    return planes.view(f"<u{bytes_per_pixel}").reshape(-1)


def _unpack(segment: bytes, wanted: int) -> bytearray | None:
    """The bytes of one segment, at least those that are wanted; None where there are fewer, or more than their last run gives."""
    unpacked, at, end = bytearray(), 0, len(segment)
    while at < end and len(unpacked) < wanted:
        head = segment[at]
        if head >= _REPEATS_FROM:
            unpacked += segment[at + 1 : at + 2] * (257 - head)
            at += 2
        elif head < _NOTHING:
            unpacked += segment[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            at += 1
    return unpacked if len(unpacked) >= wanted and end - at <= _PAD_BYTES else None
