"""Files that are whole or removable: written under a temporary name, flushed, renamed, and the folder flushed after them."""

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dicom_node.errors import SpoolFailed

# What a crash leaves. A name that ends so is never read, and removed at the next start unless somebody still writes it.
PART = ".part"

_numbers = itertools.count(1)  # with the process id: a name of its own for every file that is being written


@contextmanager
def disk_errors() -> Iterator[None]:
    """What the operating system refuses becomes SpoolFailed with its error number."""
    try:
        yield
    except OSError as cause:
        raise SpoolFailed(cause.errno or 0) from cause


def create_part(folder: Path, stem: str) -> tuple[Path, BinaryIO]:
    """A new file for writing in `folder`, which is made where it is missing; locked as long as it is open."""
    make_folder(folder)
    while True:
        path = folder / f"{stem}.{os.getpid()}.{next(_numbers)}{PART}"
        try:
            file = open(path, "x+b")  # noqa: SIM115  (closed by `keep` or `drop`)
        except FileExistsError:
            continue  # another machine on the same shared folder has our process id
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
    file.close()
    part.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder durably, with those above it."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)


def remove_leftovers(root: Path) -> int:
    """Remove the parts that nobody writes any more; gives their number."""
    removed = 0
    for part in root.glob(f"*/*{PART}"):
        with open(part, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # another receiver on the same folder is writing it
            part.unlink(missing_ok=True)
            removed += 1
    return removed
