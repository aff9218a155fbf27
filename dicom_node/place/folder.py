"""Files that are whole or removable: written under a temporary name, flushed, renamed, and the folder flushed after them."""

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

# What a crash leaves. A name that ends so is never read, and removed at the next start unless somebody still writes it.
PART = ".part"

# A part of another machine is left alone so long: not every shared folder carries a lock from one machine to the other (NFS with
# `nolock`). Who is silent for a minute is cut off (network_timeout_s), so that nobody writes that seldom.
_FOREIGN_PART_S = 3600.0

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP}  # a network file system without a lock service

_durable: set[Path] = set()  # folders whose names this process has made durable
_SHARDS = frozenset(f"{number:02x}" for number in range(256))  # the folders in which files lie, by the first digits of their names
_numbers = itertools.count(1)  # with machine and process id: a name of its own for every file that is being written


class Folder:
    """Files in a folder, of this machine or shared by several."""

    readers = 1  # a disk is not asked faster by several

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, name: str) -> tuple[Path, BinaryIO]:
        """A new part that becomes the file `name` or nothing."""
        target = self._root / name
        if target.parent not in _durable and target.parent.name in _SHARDS:
            _make_shards(self._root)
        return create_part(target.parent, target.name)

    def keep(self, part: Path, file: BinaryIO, name: str, size: int) -> bool:
        """Make a part of so many bytes durable under a name; whether it was there in that size, and stays as it is."""
        target = self._root / name
        if _size_of(target) == size:
            drop(part, file)
            flush_folder(target.parent)  # whoever put it may not have come so far yet
            return True
        keep(part, file, target)
        return False

    def write(self, name: str, content: bytes) -> None:
        """Make content durable under a name, in place of what was there."""
        part, file = self.begin(name)
        try:
            file.write(content)
            keep(part, file, self._root / name)
        finally:
            drop(part, file)

    def ensure(self, name: str, content: bytes) -> None:
        """Make content durable under a name that is its own: what is there is the same, and wanted now."""
        path = self._root / name
        if not path.exists():
            self.write(name, content)
            return
        os.utime(path)  # what is cleared away is what was not wanted for long
        make_folder(path.parent)  # who wrote it may have died before its folder's name was durable
        flush_folder(path.parent)  # or before its own

    def read(self, name: str) -> bytes:
        """The content of a name. Raises FileNotFoundError."""
        return (self._root / name).read_bytes()

    def read_all(self, suffix: str) -> Iterator[bytes]:
        """The contents of all whose names end so, in the names' order."""
        for path in sorted(self._root.glob(f"*/*{suffix}")):
            yield path.read_bytes()

    def find(self, under: str) -> Iterator[tuple[str, float]]:
        """Names in a folder, also of what a crash left half written, and when they were wanted last."""
        folder = self._root / under
        if not folder.is_dir():
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # it got its own name meanwhile, or was removed
                    yield f"{under}/{entry.name}", entry.stat().st_mtime

    def open(self, name: str, size: int | None = None) -> BinaryIO:  # noqa: ARG002  (a bucket has to be told)
        """A file for reading."""
        return open(self._root / name, "rb")  # the caller closes it

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        try:
            os.close(os.open(self._root / name, os.O_RDONLY))  # NFS asks its server at an open; what `stat` says may be a minute old
        except FileNotFoundError:
            return False
        return True

    def list(self) -> Iterator[tuple[str, int]]:
        """Names and sizes, in the order of arrival."""
        # Of two instances with one UID the first is the one that counts, also after the journal is lost.
        found = ((path.stat(), path) for path in self._root.glob("*/*.dcm"))
        for _, name, size in sorted((stat.st_mtime_ns, f"{path.parent.name}/{path.name}", stat.st_size) for stat, path in found):
            yield name, size

    def has_any(self) -> bool:
        """Whether there is a file at all."""
        return next(self._root.glob("*/*.dcm"), None) is not None

    def is_there(self) -> bool:
        """Whether the folder is there; one of a disk that is not mounted is empty."""
        return self._root.is_dir() and next(self._root.iterdir(), None) is not None

    def local(self, files: Sequence[tuple[str, int | None]]) -> Path:  # noqa: ARG002  (they are here already)
        """The folder under which files of these names and sizes lie."""
        return self._root

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""
        path = self._root / name
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            flush_folder(path.parent)

    def remove_leftovers(self) -> int:
        """Remove the parts that nobody writes any more; gives their number."""
        make_folder(self._root)
        return remove_leftovers(self._root)

    def used_percent(self) -> float:
        """How full the disk is for us, in percent."""
        return used_percent(self._root)

    def tidy(self) -> None:
        """Nothing is here that is not the spool's own."""


def create_part(folder: Path, stem: str) -> tuple[Path, BinaryIO]:
    """A new file for writing in `folder`, which is made where it is missing; locked as long as it is open."""
    if folder not in _durable:
        make_folder(folder)
    was_missing = False
    while True:
        path = folder / f"{stem}{_own_mark()}{os.getpid()}.{next(_numbers)}{PART}"
        try:
            file = open(path, "x+b")  # noqa: SIM115  (closed by `keep` or `drop`)
        except FileExistsError:
            continue  # another container on the same shared folder has our name and process id
        except FileNotFoundError:
            if was_missing:
                raise
            was_missing = True  # somebody removed it: it is made again
            _durable.discard(folder)
            make_folder(folder)
            continue
        _lock(file)
        return path, file


def keep(part: Path, file: BinaryIO, target: Path) -> None:
    """Make the written part durable under its own name.

    The order is what counts: the bytes reach the disk before the name does, and the name before anyone is told.
    """
    file.flush()
    os.fsync(file.fileno())
    os.rename(part, target)
    file.close()
    flush_folder(target.parent)


def drop(part: Path, file: BinaryIO) -> None:
    """Throw the written part away."""
    with contextlib.suppress(OSError):
        file.close()  # writes what its buffer still holds, which a full disk does not take
    part.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder durably, with those above it.

    One that is there was perhaps made by a process that died before its name was durable: each process makes sure once.
    """
    if folder in _durable and folder.is_dir():
        return
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)
    _durable.add(folder)


def _make_shards(root: Path) -> None:
    """Make all folders of files at once: each by itself would cost the first image that lies in it a flush of its own."""
    make_folder(root)
    shards = [root / name for name in sorted(_SHARDS)]
    for shard in shards:
        shard.mkdir(exist_ok=True)
    flush_folder(root)
    _durable.update(shards)


def remove_leftovers(root: Path) -> int:
    """Remove the parts that nobody writes any more; gives their number."""
    removed = 0
    for part in root.glob(f"*/*{PART}"):
        with contextlib.suppress(FileNotFoundError), open(part, "r+b") as file:  # NFS locks what may be written alone
            is_ours = _own_mark() in part.name
            is_locked = _lock(file)
            if is_locked is False or (not (is_ours and is_locked) and file_time(part.parent) - part.stat().st_mtime < _FOREIGN_PART_S):
                continue  # another receiver on the same folder writes it, or may do so
            part.unlink(missing_ok=True)
            removed += 1
    return removed


def file_time(folder: Path) -> float:
    """The time that a file written now would carry: of the shared folder's server, which is not this machine's."""
    path, file = create_part(folder, "time")
    try:
        return os.fstat(file.fileno()).st_mtime
    finally:
        drop(path, file)


def used_percent(folder: Path) -> float:
    """How full a folder's disk is for us, in percent; as df counts: without what is reserved for root."""
    usage = shutil.disk_usage(folder)
    return 100.0 * usage.used / max(usage.used + usage.free, 1)


def _size_of(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


@cache
def _own_mark() -> str:
    """What tells the parts of this machine from those of another on the same folder."""
    return f".{socket.gethostname()}."


def _lock(file: BinaryIO) -> bool | None:
    """Lock a file as long as it is open: False where somebody else has, None where the file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as cause:
        if cause.errno not in _NO_LOCKS:
            raise
        return None
    return True
