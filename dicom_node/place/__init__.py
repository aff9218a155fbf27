"""Where images and what is kept lie, by the configuration: a folder, or the objects of a bucket, behind the same verbs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from dicom_node.config import Config

from .ahead import map_ahead
from .folder import Folder
from .secret import Secret, open_secret

__all__ = ["Folder", "Place", "Secret", "map_ahead", "open_place", "open_secret"]


class Place(Protocol):
    """Where files lie. Names are relative, with one folder in them. Raises OSError and SpoolError."""

    @property
    def readers(self) -> int:
        """How many may read at once."""

    def begin(self, name: str) -> tuple[Path, BinaryIO]:
        """A new part, on a disk of this machine, that becomes the file `name` or nothing."""

    def keep(self, part: Path, file: BinaryIO, name: str, size: int) -> bool:
        """Make a part of so many bytes durable under a name; whether it was there in that size, and stays as it is."""

    def write(self, name: str, content: bytes) -> None:
        """Make content durable under a name, in place of what was there."""

    def ensure(self, name: str, content: bytes) -> None:
        """Make content durable under a name that is its own: what is there is the same, and wanted now."""

    def read(self, name: str) -> bytes:
        """The content of a name. Raises FileNotFoundError."""

    def read_all(self, suffix: str) -> Iterator[bytes]:
        """The contents of all whose names end so, in the names' order."""

    def find(self, under: str) -> Iterator[tuple[str, float]]:
        """Names in a folder, also of what a crash left half written, and when they were wanted last."""

    def open(self, name: str, size: int | None = None) -> BinaryIO:
        """A file for reading; of its size, where that is known."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def list(self) -> Iterator[tuple[str, int]]:
        """Names and sizes, in the order of arrival."""

    def has_any(self) -> bool:
        """Whether there is a file at all."""

    def is_there(self) -> bool:
        """Whether the place itself is there: a disk that is not mounted is an empty folder, or none."""

    def local(self, files: Sequence[tuple[str, int | None]]) -> Path:
        """The folder of this machine under which files of these names and sizes lie, as long as they are read within the hour."""

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""

    def remove_leftovers(self) -> int:
        """Remove the parts that nobody writes any more; gives their number."""

    def used_percent(self) -> float:
        """How full the disk is that files arrive on, in percent."""

    def tidy(self) -> None:
        """Remove what is here only to be at hand, and was not for long."""


def open_place(config: Config, part: Literal["spool", "kept"]) -> Place:
    """The place of the images (`spool`), or of what is kept of results."""
    if config.bucket is None:
        return Folder(config.spool if part == "spool" else config.kept)
    from .bucket import Bucket  # of an extra that most installations do not have

    return Bucket(config.bucket, part, config.data, int(config.node.cache_gb * 1e9))
