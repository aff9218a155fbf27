"""The frames of a BINARY segmentation in bulk: their bits, and for each the item that says where it lies and what it was made from.

highdicom makes each frame's item a data set of its own, which takes most of the time where there are thousands. Here
what is the same for all frames of a slice is encoded once, from an item that highdicom made.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.errors import EncodingError
from dicom_node.values import Finding

from .elements import Elements, encode_element, encode_item, read_elements, sequence_value, tag_of

Bits = npt.NDArray[np.bool_]

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
    """The slices of each finding. Raises EncodingError where a mask is empty or leaves the grid, or numbers are not 1 to n."""
    if [finding.number for finding in findings] != list(range(1, len(findings) + 1)):
        raise EncodingError("segment numbers")
    found = []
    for finding in findings:
        first, voxels = finding.mask.origin[0], finding.mask.voxels
        is_held = voxels.reshape(len(voxels), -1).any(axis=1)
        origin, size = np.array(finding.mask.origin), np.array(voxels.shape)
        if np.any(origin < 0) or np.any(origin + size > np.array(shape)) or not is_held.any():
            raise EncodingError("mask of a finding")
        found.append(SegmentSlices(finding, tuple(int(index) + first for index in np.flatnonzero(is_held)[::-1])))
    return tuple(found)


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


def pack_frames(segments: Sequence[SegmentSlices], shape: tuple[int, int, int]) -> bytes:
    """The bits of all frames, by segment, then in the order of its slices: without gaps, the first pixel in the least significant bit.

    Source: PS3.5 8.1.1. Padded to an even length.
    """
    _, rows, columns = shape
    packed = _pack_rows(segments, rows, columns) if columns % 8 == 0 else b"".join(_pack_groups(segments, rows, columns))
    return packed + bytes(len(packed) % 2)


def _pack_rows(segments: Sequence[SegmentSlices], rows: int, columns: int) -> bytes:
    """Rows are whole bytes: only those bytes are made in which a mask lies."""
    count = sum(len(segment.slices) for segment in segments)
    packed = np.zeros((count, rows, columns // 8), dtype=np.uint8)
    first = 0
    for segment in segments:
        (top, row, column), voxels = segment.finding.mask.origin, segment.finding.mask.voxels
        left, right = column // 8, -(-(column + voxels.shape[2]) // 8)
        held = voxels[np.array(segment.slices) - top]
        wide = np.pad(held, ((0, 0), (0, 0), (column - 8 * left, 8 * right - column - voxels.shape[2])))
        last = first + len(segment.slices)
        packed[first:last, row : row + voxels.shape[1], left:right] = np.packbits(wide, axis=2, bitorder="little")
        first = last
    return packed.tobytes()


def _pack_groups(segments: Sequence[SegmentSlices], rows: int, columns: int) -> Iterator[bytes]:
    """Rows are no whole bytes: eight frames at a time."""
    frames = [(segment, index) for segment in segments for index in segment.slices]
    for first in range(0, len(frames), _GROUP):
        group = frames[first : first + _GROUP]
        planes = np.zeros((len(group), rows, columns), dtype=bool)
        for plane, (segment, index) in zip(planes, group, strict=True):
            segment.paste(plane)[:] = segment.plane(index)
        yield np.packbits(planes, bitorder="little").tobytes()


def describe_frames(
    segments: Sequence[SegmentSlices], example: Dataset, sources: Mapping[int, Elements], positions: Mapping[int, bytes]
) -> bytes:
    """The items of Per-Frame Functional Groups Sequence (5200,9230), in the order of `pack_frames`.

    `example` is such an item by highdicom. In it are replaced what `sources` has for a slice in the item of Source Image Sequence,
    and Image Position (Patient), which `positions` has as DS. One segment alone is named in the shared groups. Source: PS3.3 C.8.20.
    """
    place = {index: number for number, index in enumerate(sorted(positions, reverse=True), 1)}
    derivations = _derivations(example.DerivationImageSequence[0], sources)
    where = {index: _group("PlanePositionSequence", {tag_of("ImagePositionPatient"): ("DS", value)}) for index, value in positions.items()}
    index_values, segment_number = tag_of("DimensionIndexValues"), tag_of("ReferencedSegmentNumber")
    items = []
    for segment in segments:
        number = segment.finding.number
        named = _group("SegmentIdentificationSequence", {segment_number: ("US", struct.pack("<H", number))}) if len(segments) > 1 else b""
        for index in segment.slices:
            counted = _group("FrameContentSequence", {index_values: ("UL", struct.pack("<II", number, place[index]))})
            items.append(encode_item(derivations[index] + counted + where[index] + named))
    return b"".join(items)


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
