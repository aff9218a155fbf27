"""Frames that were read and decoded while images still arrived: the volume is then filled from memory."""

import dataclasses
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from dicom_node.errors import SpoolFailed
from dicom_node.values import CompletenessRule, FrameHeaders, Geometry, InstanceHeaders, InstanceRef, Reason, SeriesHeaders, Volume

from .codecs import Stored
from .frames import read_frames

_LIMIT_BYTES = 512 << 20  # of pixels: a thousand slices of 512 x 512; of more the oldest are dropped, and read when they are wanted
_LONGEST_BYTES = 1 << 26  # of one instance


class FramesAhead:
    """Stored values by instance, each given out once. One thread uses it: the inference process does one thing at a time."""

    def __init__(self, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit_bytes, self._size_bytes = limit_bytes, 0
        self._held: dict[str, tuple[Stored, ...]] = {}  # by file, the oldest first

    def read_ahead(self, root: Path, headers: InstanceHeaders) -> None:
        """Decode all frames of an instance. One that cannot be decoded is left to whoever wants it, and so is a large one."""
        file = headers.instance.file
        is_large = headers.rows * headers.columns * len(headers.frames) * 4 > _LONGEST_BYTES
        if file in self._held or is_large or not 1 <= headers.bits_stored <= headers.bits_allocated:
            return
        try:
            found = tuple(stored for _, stored in read_frames(root, headers, headers.frames))
        except SpoolFailed:
            return
        held = tuple(stored for stored in found if isinstance(stored, Stored))
        if len(held) < len(headers.frames):
            return
        self._held[file] = held
        self._size_bytes += _size_of(held)
        while self._size_bytes > self._limit_bytes:
            self._size_bytes -= _size_of(self._held.pop(next(iter(self._held))))

    def keep(self, files: Collection[str]) -> None:
        """Drop all but these: a model is about to run, and the memory is its own."""
        for file in [file for file in self._held if file not in files]:
            self._size_bytes -= _size_of(self._held.pop(file))

    def read_frames(
        self, root: Path, headers: InstanceHeaders, frames: Sequence[FrameHeaders]
    ) -> Iterator[tuple[FrameHeaders, Stored | Reason]]:
        """As `read_frames` without a memory; what was read ahead is forgotten then. Raises SpoolFailed."""
        held = self._held.pop(headers.instance.file, None)
        if held is not None:
            self._size_bytes -= _size_of(held)
        if held is None or not (root / headers.instance.file).exists():
            return read_frames(root, headers, frames)
        return ((frame, held[frame.frame_number - 1]) for frame in frames)


class VolumeAhead:
    """A whole volume with the headers that it was made from, given out once. One thread uses it.

    It stays until it is given out, or until something else is wanted: then its memory is gone before that is read.
    """

    def __init__(self, read: Callable[[Path, SeriesHeaders, Geometry], Volume | Reason]) -> None:
        self._read = read
        self._held: tuple[SeriesHeaders, Geometry, Volume] | None = None

    def read_ahead(self, root: Path, headers: SeriesHeaders, geometry: Geometry) -> None:
        """Read a volume. One that there is a reason against is left to whoever wants it. Raises SpoolFailed."""
        volume = self.read_volume(root, headers, geometry)
        if isinstance(volume, Volume):
            self._held = headers, geometry, volume

    def find_headers(self, root: Path, instances: Sequence[InstanceRef], rule: CompletenessRule) -> SeriesHeaders | None:
        """The headers of the volume that is held, where it is one of exactly these instances and their files are still there."""
        if self._held is not None:
            headers = self._held[0]
            is_same = tuple(instances) == tuple(one.instance for one in headers.instances) and not headers.unreadable
            if is_same and all(os.path.exists(f"{root}/{one.file}") for one in instances):
                return dataclasses.replace(headers, rule=rule)
            self._held = None
        return None

    def read_volume(self, root: Path, headers: SeriesHeaders, geometry: Geometry) -> Volume | Reason:
        """The volume that is held, where it is one of these headers, else as without a memory."""
        held, self._held = self._held, None
        if held is not None and held[0].instances is headers.instances and held[1] == geometry:
            return held[2]
        del held  # before another one takes its place
        return self._read(root, headers, geometry)


def _size_of(held: Sequence[Stored]) -> int:
    return sum(stored.values.nbytes + (0 if stored.is_padding is None else stored.is_padding.nbytes) for stored in held)
