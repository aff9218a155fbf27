"""Room for voxels: the memory of the last volume, which the next one gets.

Fresh memory is handed out by the kernel page by page, at the first touch: for a volume of 150 MB that takes as long as reading it, and
several times as long where a virtual machine has to ask its host for each page.
"""

import math
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

_LIMIT_BYTES = 512 << 20  # what is kept at most: a thousand slices of 512 x 512; a larger volume gets memory that goes with it
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # counts as the process' own, so that a package's memory limit holds for it too


class Room:
    """Memory that is kept from one volume to the next, as much as the last one took. One thread uses it.

    An array of it may be used as long as anybody likes: memory that an array still lies in cannot be resized (the buffer protocol sees to
    that), and is left to it then.
    """

    def __init__(self, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held: mmap.mmap | None = None

    def take(self, shape: tuple[int, ...], dtype: type[np.generic]) -> npt.NDArray[Any]:
        """An array that shares its memory with no other one in use. Its values are anybody's: whoever takes it writes all of them."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if not 0 < size <= self._limit_bytes:
            self._held = None
            return np.empty(shape, dtype)
        if self._held is None or not _is_resized(self._held, size):
            self._held = None
            self._held = mmap.mmap(-1, size, flags=_PRIVATE)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                self._held.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(self._held, dtype).reshape(shape)


def _is_resized(held: mmap.mmap, size: int) -> bool:
    """Give memory the size that is wanted, its pages staying where they are there; False where somebody uses it, or the system cannot."""
    try:
        held.resize(size)
    except (BufferError, SystemError):
        return False
    return True
