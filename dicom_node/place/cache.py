"""Copies of objects of a bucket on this machine's disk, under their own names: for those that read files."""

import os
from collections.abc import Iterable
from pathlib import Path

from . import folder

# What was used within this time stays, since somebody may be reading it: a series is read within minutes.
_IN_USE_S = 3600.0
# What nobody wanted for this long leaves, so that no copy outlives its object by more: images leave the bucket by rule.
_LONGEST_S = 86_400.0
_LOOK_EVERY_S = 600.0
_SHARE = 20  # and when a twentieth of the limit has come


class Cache:
    """A folder of copies, shared by the processes of a machine. What was used longest ago leaves when it grows beyond its limit.

    A name has one content for ever, so that a copy is never out of date. Copies are whole or not there.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.root, self._limit_bytes = root, limit_bytes
        self._new_bytes, self._looked_at = 0, 0.0

    def find(self, name: str, size: int | None = None) -> Path | None:
        """The copy of a name, of a size where that is known; it counts as used now."""
        path = self.root / name
        try:
            if size is not None and path.stat().st_size != size:
                return None
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def put(self, name: str, blocks: Iterable[bytes | memoryview]) -> Path:
        """Make a copy from its content, block by block."""
        path = self.root / name
        part, file = folder.create_part(path.parent, path.name)
        try:
            for block in blocks:
                self._new_bytes += file.write(block)
            folder.keep(part, file, path)  # flushed, so that one of this name has its content also after a power cut
        finally:
            folder.drop(part, file)
        return path

    def remove(self, name: str) -> None:
        """Remove a copy, where there is one."""
        (self.root / name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what was used longest ago as far as the rest is beyond the limit, what nobody wanted for a day, and what crashes left.

        It is looked through once in a while, and when much has come.
        """
        now = folder.file_time(self.root)
        if abs(now - self._looked_at) < _LOOK_EVERY_S and self._new_bytes < self._limit_bytes // _SHARE:
            return
        self._new_bytes, self._looked_at = 0, now
        copies = []
        for path in self.root.glob("*/*/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # another process of this machine tidies too
            copies.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in copies)
        for used_at, size, path in sorted(copies):
            idle_s = now - used_at
            if idle_s < _IN_USE_S or (total <= self._limit_bytes and idle_s < _LONGEST_S and not path.name.endswith(folder.PART)):
                continue
            path.unlink(missing_ok=True)
            total -= size
