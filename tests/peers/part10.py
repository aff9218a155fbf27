"""Data sets out of files, byte for byte: what a sender would put on the network."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

# Files without meta information: over the network the presentation context gives the syntax.
_SYNTAXES = {"ExplVR_BigEndNoMeta.dcm": BIG_ENDIAN, "ExplVR_LitEndNoMeta.dcm": EXPLICIT_LITTLE, "rtstruct.dcm": IMPLICIT_LITTLE}

_LONG = (b"OB", b"OW", b"UN", b"UR", b"UT", b"SQ")


@dataclass(frozen=True)
class Encoded:
    """An instance as it goes over the network."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


def read_encoded(file: Path) -> Encoded | None:
    """What a C-STORE would carry of a file, every byte of its data set; None where it has no UID, an illegal one, or no syntax."""
    syntax, data_set = split_file(file)
    syntax = syntax or _SYNTAXES.get(file.name)
    plain = zlib.decompressobj(-15).decompress(data_set) if syntax == DEFLATED else data_set
    uids = find_uids(plain, syntax) if syntax else None
    if syntax is None or uids is None or len(uids[1]) > 64:
        return None
    return Encoded(*uids, syntax, data_set)


def split_file(file: Path) -> tuple[str | None, bytes]:
    """Transfer Syntax UID of the meta information, or None where there is no such thing, and the bytes behind it."""
    content = file.read_bytes()
    if content[128:132] != b"DICM":
        return None, content
    at, syntax = 132, None
    while content[at : at + 2] == b"\2\0":
        number, vr = struct.unpack_from("<2xH2s", content, at)
        head = 12 if vr in _LONG else 8
        (length,) = struct.unpack_from("<I" if vr in _LONG else "<H", content, at + head - (4 if vr in _LONG else 2))
        if number == 0x0010:
            syntax = content[at + head : at + head + length].decode().strip("\0 ")
        at += head + length
    return syntax, content[at:]


def find_uids(data_set: bytes, syntax: str) -> tuple[str, str] | None:
    """SOP Class and Instance UID, walking over group 0008 and what comes before it; None where one is absent."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    found: dict[int, str] = {}
    at = 0
    while at + 12 <= len(data_set):
        group, number, vr, short = struct.unpack_from(order + "HH2sH", data_set, at)
        if (group, number) > (0x0008, 0x0018):
            break
        head, length = 8, short
        if vr in _LONG:
            head, length = 12, struct.unpack_from(order + "I", data_set, at + 8)[0]
        elif not (vr.isalpha() and vr.isupper()):
            length = struct.unpack_from(order + "I", data_set, at + 4)[0]
        if group == 0x0008:
            found[number] = data_set[at + head : at + head + length].decode("ascii", "replace").strip("\0 ")
        at += head + length
    return (found[0x0016], found[0x0018]) if found.get(0x0016) and found.get(0x0018) else None
