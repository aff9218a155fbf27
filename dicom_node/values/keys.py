"""Names that are safe to write anywhere: digests, configured names and checked AE titles."""

import hashlib
import uuid
from dataclasses import dataclass

# The root of every UID that the node derives (UUID version 5 under 2.25, PS3.5 B.2).
NAMESPACE = uuid.UUID("6f0c1a55-3a8e-5a0b-9d0e-6b1f2f9f7d11")


@dataclass(frozen=True, slots=True)
class Key:
    """A digest that stands for a study, series, instance or result where its UID must not be written.

    `text` is 16 hexadecimal digits. Made by `derive_key`; status shows it beside the UID, so that a log line can be found again.
    """

    text: str


@dataclass(frozen=True, slots=True)
class PeerName:
    """A peer as `config/peers.toml` names it."""

    text: str


@dataclass(frozen=True, slots=True)
class PackageName:
    """A model package as its `package.toml` names it."""

    text: str


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A file of the program and a line in it, as `node.py:12`."""

    text: str


@dataclass(frozen=True, slots=True)
class AETitle:
    """An application entity title without its outer spaces: 1 to 16 printable ASCII characters, no backslash (PS3.5 6.2)."""

    text: str

    @staticmethod
    def parse(raw: str) -> "AETitle | None":
        """The title, or None where the text is none."""
        text = raw.strip(" \0")
        is_title = 1 <= len(text) <= 16 and all(" " <= character <= "~" and character != "\\" for character in text)
        return AETitle(text) if is_title else None


def derive_key(uid: str) -> Key:
    """The key of a UID: the same on every node, so that logs of two nodes can be compared."""
    return Key(hashlib.sha256(uid.encode()).hexdigest()[:16])


def derive_digest(*parts: str) -> str:
    """SHA-256, as 64 hexadecimal digits, of the parts in their order; no part can flow into the next."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(f"{len(encoded)}:".encode())
        digest.update(encoded)
    return digest.hexdigest()


def derive_withdrawal_key(result_key: str) -> str:
    """The key of the withdrawal of a result: who knows the result knows whether it was withdrawn, by a look for this key."""
    return derive_digest("withdrawal", result_key)


def derive_uid(*parts: str) -> str:
    """A UID of at most 44 characters, the same for the same parts.

    Source: PS3.5 B.2, a version-5 UUID as one decimal component under 2.25.
    """
    return f"2.25.{uuid.uuid5(NAMESPACE, derive_digest(*parts)).int}"
