"""Frames that were read and decoded while images still arrived: the volume is then filled from memory."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from dicom_node.errors import SpoolFailed
from dicom_node.values import FrameHeaders, InstanceHeaders, Reason

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


def _size_of(held: Sequence[Stored]) -> int:
    return sum(stored.values.nbytes + (0 if stored.is_padding is None else stored.is_padding.nbytes) for stored in held)
