"""Values that are too large or too rich for a row: files named by their content's key, written once and for good."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from dicom_node.config import Config
from dicom_node.place import Folder, Place, open_place
from dicom_node.values import codec, derive_digest
from dicom_node.values.records import Record


class Kept:
    """Values and objects' bytes. A name is made from the content, so that writing twice is writing once."""

    def __init__(self, place: Path | Place) -> None:
        self._place: Place = Folder(place) if isinstance(place, Path) else place

    def write_value(self, value: object) -> str:
        """Keep a value of the vocabulary; gives its name."""
        return self.write_bytes(codec.dump(value), suffix="value")

    def read_value(self, name: str) -> object:
        """The value of a name. Raises FileNotFoundError."""
        return codec.load(self._place.read(_place_of(name)))

    def find_value(self, name: str) -> object | None:
        """The value of a name; None where it has left, by a rule ("" is its name then) or otherwise."""
        try:
            return self.read_value(name) if name else None
        except FileNotFoundError:
            return None

    def write_record(self, record: Record) -> None:
        """Keep what a journal can be made from again, in place of what was kept of the same before."""
        self._place.write(_place_of(_name_record(record.identity)), codec.dump(record))

    def read_records(self) -> Iterator[object]:
        """All of them; what is damaged is passed over."""
        for content in self._place.read_all(".record"):
            try:
                yield codec.load(content)
            except ValueError:
                continue

    def has_records(self) -> bool:
        """Whether there is one at all."""
        return next(self._place.read_all(".record"), None) is not None

    def find_record(self, shard: str) -> object | None:
        """One of the records in a part of what is kept (two hexadecimal digits); None where there is none, or it is damaged."""
        name = next((name for name, _ in self._place.find(shard) if name.endswith(".record")), None)
        try:
            return None if name is None else codec.load(self._place.read(name))
        except (ValueError, FileNotFoundError):
            return None

    def write_bytes(self, content: bytes, suffix: str) -> str:
        """Keep bytes; gives their name. Durable when it returns."""
        name = _name_of(content, suffix)
        self._place.ensure(_place_of(name), content)
        return name

    def has(self, name: str) -> bool:
        """Whether something is kept under a name."""
        return bool(name) and self._place.has(_place_of(name))

    def remove(self, name: str) -> None:
        """Remove what is kept under a name, or what a crash left half written; one that is gone already is no error."""
        self._place.remove(_place_of(name))

    def remove_record(self, identity: Sequence[str]) -> None:
        """Remove the record of something, if there is one."""
        self.remove(_name_record(identity))

    def find_values(self, shard: str, before: float) -> tuple[str, ...]:
        """The values of a part of what is kept (two hexadecimal digits) that nobody has wanted since a time."""
        found = ((name.rpartition("/")[2], wanted_at) for name, wanted_at in self._place.find(shard))
        return tuple(sorted(name for name, wanted_at in found if name.endswith((".value", ".part")) and wanted_at < before))

    def path(self, name: str) -> Path:
        """Where the bytes of a name lie on this machine."""
        place = _place_of(name)
        return self._place.local([(place, None)]) / place


def open_kept(config: Config) -> Kept:
    """What is kept, by a configuration."""
    return Kept(open_place(config, "kept"))


def _place_of(name: str) -> str:
    return f"{name.lstrip('.')[:2]}/{name}"


def _name_of(content: bytes, suffix: str) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:40]}.{suffix}"


def _name_record(identity: Sequence[str]) -> str:
    return f"{derive_digest(*identity)[:40]}.record"
