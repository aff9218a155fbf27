"""The transfer syntaxes that the node reads, and the names of all (PS3.6 table A-1)."""

from pydicom.uid import UID

_BASE = "1.2.840.10008.1.2"

IMPLICIT = frozenset({_BASE})
BIG_ENDIAN = frozenset({f"{_BASE}.2"})
DEFLATED = frozenset({f"{_BASE}.1.99"})
NATIVE = IMPLICIT | BIG_ENDIAN | DEFLATED | {f"{_BASE}.1"}

JPEG = frozenset(f"{_BASE}.4.{tail}" for tail in ("50", "51", "57", "70"))
JPEG_LS = frozenset(f"{_BASE}.4.{tail}" for tail in ("80", "81"))
JPEG_2000 = frozenset(f"{_BASE}.4.{tail}" for tail in ("90", "91", "201", "202", "203"))
RLE = frozenset({f"{_BASE}.5"})

READABLE = NATIVE | JPEG | JPEG_LS | JPEG_2000 | RLE


def syntax_name(uid: str) -> str:
    """The name in PS3.6, or the UID where it has none."""
    return str(UID(uid).name)
