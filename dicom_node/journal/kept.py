"""Values that are too large or too rich for a row: files named by their content's key, written once and for good."""

import hashlib
import os
from pathlib import Path

from dicom_node.values import codec


class Kept:
    """A folder of values and of objects' bytes. A name is made from the content, so that writing twice is writing once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write_value(self, value: object) -> str:
        """Keep a value of the vocabulary; gives its name."""
        return self.write_bytes(codec.dump(value), suffix="value")

    def read_value(self, name: str) -> object:
        """The value of a name."""
        return codec.load((self.folder / name[:2] / name).read_bytes())

    def write_bytes(self, content: bytes, suffix: str) -> str:
        """Keep bytes; gives their name. Durable when it returns: file, then its name in the folder."""
        name = f"{hashlib.sha256(content).hexdigest()[:40]}.{suffix}"
        folder = self.folder / name[:2]
        path = folder / name
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            _flush(self.folder)
        if path.exists():
            _flush(folder)  # who wrote it may have died before its name was durable
            return name
        partial = folder / f".{name}.{os.getpid()}.part"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _flush(folder)
        return name

    def path(self, name: str) -> Path:
        """Where the bytes of a name lie."""
        return self.folder / name[:2] / name


def _flush(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
