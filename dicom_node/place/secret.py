"""The site's secret: with it digests of a patient's data are made that nobody else can make, and so try out.

The only thing in the node that is random: it decides no byte of what is sent, only what a site's own rows are found by.
"""

import contextlib
import hashlib
import hmac
import os
from pathlib import Path

from dicom_node.errors import SpoolFailed

from .folder import flush_folder, make_folder

NAME = "site.key"
_BYTES = 32


class Secret:
    """A key that shows itself to nobody."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def digest(self, *parts: str) -> str:
        """HMAC-SHA-256 of the parts in their order, as 64 hexadecimal digits; no part can flow into the next."""
        message = b"".join(f"{len(part.encode())}:".encode() + part.encode() for part in parts)
        return hmac.new(self._content, message, hashlib.sha256).hexdigest()


def open_secret(folder: Path) -> Secret:
    """The secret in a folder, for its owner alone to read; made where there is none yet. Raises SpoolFailed.

    Of several that make it at once the first one's counts: it becomes its name whole, and is not replaced.
    """
    path = folder / NAME
    try:
        if not path.exists():
            _make(path)
        content = path.read_bytes()
    except OSError as cause:
        raise SpoolFailed(cause.errno or 0) from cause
    return Secret(content)


def _make(path: Path) -> None:
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(os.urandom(_BYTES))
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(part, path)
    part.unlink()
    flush_folder(path.parent)
