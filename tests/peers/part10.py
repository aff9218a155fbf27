"""Data sets out of files, byte for byte: what a sender would put on the network."""

import struct
from pathlib import Path

BIG_ENDIAN = "1.2.840.10008.1.2.2"

_LONG = (b"OB", b"OW", b"UN", b"UR", b"UT", b"SQ")


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
