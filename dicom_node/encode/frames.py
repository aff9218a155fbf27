"""The frames of a BINARY segmentation in bulk: their bits, and for each the item that says where it lies and what it was made from.

highdicom makes each frame's item a data set of its own, which takes most of the time where there are thousands. Here
what is the same for all frames of a slice is encoded once, from an item that highdicom made.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.errors import EncodingError
from dicom_node.values import Finding

from .elements import LONGEST_VALUE_BYTES, Elements, encode_element, encode_item, read_elements, sequence_value, tag_of

Bits = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_ASCII = "ISO_IR 6"  # highdicom's own text in a frame
_GROUP = 8  # frames whose bits together are whole bytes, whatever their size


@dataclass(frozen=True, slots=True)
class SegmentSlices:
    """A finding, and the slices that hold a pixel of it: the last one first, as highdicom has its frames (against the normal)."""

    finding: Finding
    slices: tuple[int, ...]

    def plane(self, index: int) -> Bits:
        """The part of the mask that lies on a slice."""
        plane: Bits = self.finding.mask.voxels[index - self.finding.mask.origin[0]]
        return plane

    def paste(self, plane: Bits) -> Bits:
        """The part of a whole plane that the mask covers, as a view."""
        (_, row, column), (_, rows, columns) = self.finding.mask.origin, self.finding.mask.voxels.shape
        return plane[row : row + rows, column : column + columns]


def find_slices(findings: Sequence[Finding], shape: tuple[int, int, int]) -> tuple[SegmentSlices, ...]:
    """The slices of each finding.

    Raises EncodingError where a mask is empty or leaves the grid, or numbers are not 1 to n.
    """
    if [finding.number for finding in findings] != list(range(1, len(findings) + 1)):
        raise EncodingError("segment numbers")
    found = []
    for finding in findings:
        first, voxels = finding.mask.origin[0], finding.mask.voxels
        is_held = voxels.any(axis=(1, 2))
        origin, size = np.array(finding.mask.origin), np.array(voxels.shape)
        if np.any(origin < 0) or np.any(origin + size > np.array(shape)) or not is_held.any():
            raise EncodingError("mask of a finding")
        found.append(SegmentSlices(finding, tuple(int(index) + first for index in np.flatnonzero(is_held)[::-1])))
    return tuple(found)


def count_frames(segments: Sequence[SegmentSlices], shape: tuple[int, int, int]) -> int:
    """How many frames there are; raises EncodingError where no Pixel Data can hold so many, before anything of that size is made."""
    if _size_bytes(segments, shape) > LONGEST_VALUE_BYTES:
        raise EncodingError("size of the segmentation")
    return sum(len(segment.slices) for segment in segments)


def do_overlap(segments: Sequence[SegmentSlices], shape: tuple[int, int, int]) -> bool:
    """Whether any voxel belongs to two segments."""
    by_slice: dict[int, list[SegmentSlices]] = {}
    for segment in segments:
        for index in segment.slices:
            by_slice.setdefault(index, []).append(segment)
    for index, held in by_slice.items():
        if len(held) == 1:
            continue
        occupied = np.zeros(shape[1:], dtype=bool)
        for segment in held:
            part, mask = segment.paste(occupied), segment.plane(index)
            if (part & mask).any():
                return True
            part |= mask
    return False


def pack_frames(segments: Sequence[SegmentSlices], shape: tuple[int, int, int]) -> memoryview:
    """The bits of all frames, by segment, then in the order of its slices: without gaps, the first pixel in the least significant bit.

    Padded to an even length. Nothing else of this size is made. Source: PS3.5 8.1.1.
    """
    _, rows, columns = shape
    packed = np.zeros(_size_bytes(segments, shape), dtype=np.uint8)
    if columns % 8 == 0:
        _pack_rows(segments, packed, rows, columns)
    else:
        _pack_groups(segments, packed, rows, columns)
    return packed.data


def _size_bytes(segments: Sequence[SegmentSlices], shape: tuple[int, int, int]) -> int:
    """Of Pixel Data: an even number."""
    _, rows, columns = shape
    return -(-sum(len(segment.slices) for segment in segments) * rows * columns // 16) * 2


def _pack_rows(segments: Sequence[SegmentSlices], packed: Bytes, rows: int, columns: int) -> None:
    """Rows are whole bytes: only those bytes are made in which a mask lies."""
    frame_bytes = rows * columns // 8
    count = sum(len(segment.slices) for segment in segments)
    frames = iter(packed[: count * frame_bytes].reshape(count, rows, columns // 8))
    for segment in segments:
        (_, row, column), (_, height, width) = segment.finding.mask.origin, segment.finding.mask.voxels.shape
        left, right = column // 8, -(-(column + width) // 8)
        wide = np.zeros((height, 8 * (right - left)), dtype=bool)
        for index in segment.slices:
            wide[:, column - 8 * left :][:, :width] = segment.plane(index)
            next(frames)[row : row + height, left:right] = np.packbits(wide, axis=1, bitorder="little")


def _pack_groups(segments: Sequence[SegmentSlices], packed: Bytes, rows: int, columns: int) -> None:
    """Rows are no whole bytes: eight frames at a time."""
    frames = [(segment, index) for segment in segments for index in segment.slices]
    for first in range(0, len(frames), _GROUP):
        group = frames[first : first + _GROUP]
        planes = np.zeros((len(group), rows, columns), dtype=bool)
        for plane, (segment, index) in zip(planes, group, strict=True):
            segment.paste(plane)[:] = segment.plane(index)
        bits = np.packbits(planes, bitorder="little")
        start = first * rows * columns // 8
        packed[start : start + len(bits)] = bits


def describe_frames(segments: Sequence[SegmentSlices], items: "FrameItems") -> bytes:
    """The items of Per-Frame Functional Groups Sequence (5200,9230), in the order of `pack_frames`.

    One segment alone is named in the shared groups. Source: PS3.3 C.8.20.
    """
    encoded, tag = [], tag_of("ReferencedSegmentNumber")
    for segment in segments:
        number = segment.finding.number
        named = _group("SegmentIdentificationSequence", {tag: ("US", struct.pack("<H", number))}) if len(segments) > 1 else b""
        encoded += [items.encode(index, (number, items.place[index]), named) for index in segment.slices]
    return b"".join(encoded)


@dataclass(frozen=True, slots=True)
class FrameItems:
    """What the items of all frames on a slice share, encoded once.

    `place` counts, from 1, the slices that hold a frame, the last one first.
    """

    place: Mapping[int, int]
    _derivations: Mapping[int, bytes]
    _positions: Mapping[int, bytes]

    @classmethod
    def of(cls, example: Dataset, sources: Mapping[int, Elements], positions: Mapping[int, bytes]) -> "FrameItems":
        """From an item by highdicom, in which are replaced what `sources` has for a slice in the item of Source Image Sequence, and
        Image Position (Patient), which `positions` has as DS."""
        tag = tag_of("ImagePositionPatient")
        return cls(
            place={index: number for number, index in enumerate(sorted(positions, reverse=True), 1)},
            _derivations=_derivations(example.DerivationImageSequence[0], sources),
            _positions={index: _group("PlanePositionSequence", {tag: ("DS", value)}) for index, value in positions.items()},
        )

    def encode(self, index: int, index_values: tuple[int, ...], named: bytes = b"") -> bytes:
        """The item of a frame on a slice; `named` is the group that says its segment."""
        values = struct.pack(f"<{len(index_values)}I", *index_values)
        counted = _group("FrameContentSequence", {tag_of("DimensionIndexValues"): ("UL", values)})
        return encode_item(self._derivations[index] + counted + self._positions[index] + named)


def _derivations(example: Dataset, sources: Mapping[int, Elements]) -> dict[int, bytes]:
    """Derivation Image Sequence (0008,9124) of the frames on each slice, from its one source."""
    made_from = read_elements(example.SourceImageSequence[0], _ASCII)
    derived, tag = read_elements(example, _ASCII), tag_of("SourceImageSequence")
    return {
        index: _group("DerivationImageSequence", derived | {tag: ("SQ", sequence_value([made_from | source]))})
        for index, source in sources.items()
    }


def _group(keyword: str, item: Elements) -> bytes:
    """A functional group: a sequence of one item."""
    return encode_element(tag_of(keyword), "SQ", sequence_value([item]))
