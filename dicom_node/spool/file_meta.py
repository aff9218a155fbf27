"""The preamble and file meta information in front of each data set (PS3.10 7.1), written and read back.

Every value that can differ between two arrivals of the same instance (titles, address) is padded to one length, so that the
data set begins at the same place whoever sent it: a file may be replaced by its twin while a reference to it is in use.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from dicom_node.values import AETitle, derive_uid

IMPLEMENTATION_CLASS_UID = derive_uid("implementation", "dicom-node", "1")
IMPLEMENTATION_VERSION_NAME = "DICOM-NODE"

_PREAMBLE = b"\0" * 128 + b"DICM"
_LONG = (b"OB", b"UR")  # VRs with a length of four bytes (PS3.5 7.1.2), of those that are used here
_LIMIT_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What a spool file says of its data set, and where that begins."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling: AETitle
    called: AETitle
    offset: int


def encode_file_meta(
    *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling: AETitle, called: AETitle, source: str
) -> bytes:
    """Preamble, prefix and group 0002; `source` is where the instance came from, as an address of at most 64 characters."""
    caller, receiver = calling.text.ljust(16), called.text.ljust(16)
    elements = (
        (0x0001, b"OB", b"\0\1"),
        (0x0002, b"UI", _uid(sop_class_uid)),
        (0x0003, b"UI", _uid(sop_instance_uid)),
        (0x0010, b"UI", _uid(transfer_syntax_uid)),
        (0x0012, b"UI", _uid(IMPLEMENTATION_CLASS_UID)),
        (0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()),
        (0x0016, b"AE", caller.encode()),  # Source Application Entity Title
        (0x0017, b"AE", caller.encode()),  # Sending
        (0x0018, b"AE", receiver.encode()),  # Receiving
        (0x0026, b"UR", source[:64].ljust(64).encode("ascii", "replace")),  # Source Presentation Address
    )
    group = b"".join(_element(number, vr, value) for number, vr, value in elements)
    return _PREAMBLE + _element(0x0000, b"UL", struct.pack("<I", len(group))) + group


def parse_file_meta(file: BinaryIO) -> FileMeta | None:
    """Read it back; None where the file is none of ours. Leaves the file at the data set."""
    start = file.read(len(_PREAMBLE) + 12)
    if start[: len(_PREAMBLE)] != _PREAMBLE or len(start) != len(_PREAMBLE) + 12:
        return None
    (length,) = struct.unpack("<I", start[-4:])
    if length > _LIMIT_BYTES:
        return None
    group = file.read(length)
    values: dict[int, str] = {}
    at = 0
    try:
        while at < len(group):
            number, vr = struct.unpack_from("<2xH2s", group, at)
            at += 12 if vr in _LONG else 8
            (size,) = struct.unpack_from("<I" if vr in _LONG else "<H", group, at - (4 if vr in _LONG else 2))
            values[number] = group[at : at + size].decode("ascii", "replace").strip(" \0")
            at += size
        calling, called = AETitle.parse(values[0x0016]), AETitle.parse(values[0x0018])
        if calling is None or called is None:
            return None
        return FileMeta(values[0x0002], values[0x0003], values[0x0010], calling, called, len(start) + length)
    except (struct.error, KeyError):
        return None


def _uid(text: str) -> bytes:
    raw = text.encode("ascii", "replace")
    return raw + b"\0" * (len(raw) % 2)


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    length = struct.pack("<2xI" if vr in _LONG else "<H", len(value))
    return struct.pack("<HH", 0x0002, number) + vr + length + value
