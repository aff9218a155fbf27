"""The command set of a C-STORE request in its usual form, and of the answer to it (PS3.7 9.3.1, E.1).

Command sets are implicit VR little endian. What is not in the usual form is left to pynetdicom, which knows all forms.
"""

import re
import struct
from dataclasses import dataclass

COMMAND_SET = 3  # message control header of a command that is whole in one fragment (PS3.8 E.2)

_P_DATA_TF = 4  # type of the PDU (PS3.8 9.3.5)
_REQUEST, _RESPONSE = b"\x01\0", b"\x01\x80"
_NO_DATA_SET = b"\x01\x01"
_ELEMENT, _SHORT = struct.Struct("<HHI"), struct.Struct("<H")
_UID = re.compile(rb"[0-9.]{1,64}")
_TITLE = re.compile(rb"[ !-\[\]-~]{1,16}")
_REQUIRED = frozenset((0x0000, 0x0002, 0x0100, 0x0110, 0x0700, 0x0800, 0x1000))
_KNOWN = _REQUIRED | {0x1030, 0x1031}  # Move Originator: who asked for the image by C-MOVE


@dataclass(frozen=True, slots=True)
class StoreCommand:
    """A C-STORE request that a data set follows."""

    sop_class_uid: str
    sop_instance_uid: str
    message_id: int
    priority: int
    moved_for: str = ""  # Move Originator: the AE title that asked for the image by C-MOVE; empty where that is not said


def parse_store(content: memoryview) -> StoreCommand | None:
    """The request in a whole command set; None where it is another command, or anything in it is unusual."""
    values = _parse_elements(content)
    if values is None or not _REQUIRED <= values.keys() <= _KNOWN or values[0x0100] != _REQUEST:
        return None
    if values[0x0000] != struct.pack("<I", len(content) - 12) or not all(len(values[tag]) == 2 for tag in (0x0110, 0x0700, 0x0800)):
        return None
    sop_class, sop_instance = _parse_uid(values[0x0002]), _parse_uid(values[0x1000])
    (message_id,), (priority,) = _SHORT.unpack(values[0x0110]), _SHORT.unpack(values[0x0700])
    if sop_class is None or sop_instance is None or priority > 2 or values[0x0800] == _NO_DATA_SET:
        return None
    title, number = values.get(0x1030), values.get(0x1031)
    if not (title is None or (_TITLE.fullmatch(title) and title.strip())) or not (number is None or len(number) == 2):
        return None
    return StoreCommand(sop_class, sop_instance, message_id, priority, "" if title is None else title.decode("ascii").strip())


def encode_answer(context_id: int, request: StoreCommand, status: int, comment: str) -> bytes:
    """The answer as one P-DATA-TF PDU; `comment` is Error Comment, ASCII, left out where it is empty."""
    elements = [
        (0x0002, _encode_uid(request.sop_class_uid)),
        (0x0100, _RESPONSE),
        (0x0120, _SHORT.pack(request.message_id)),
        (0x0800, _NO_DATA_SET),
        (0x0900, _SHORT.pack(status)),
        *([(0x0902, comment.encode() + b" " * (len(comment) % 2))] if comment else []),
        (0x1000, _encode_uid(request.sop_instance_uid)),
    ]
    body = b"".join(_ELEMENT.pack(0, tag, len(value)) + value for tag, value in elements)
    group = _ELEMENT.pack(0, 0, 4) + struct.pack("<I", len(body)) + body
    return struct.pack(">BxIIBB", _P_DATA_TF, len(group) + 6, len(group) + 2, context_id, COMMAND_SET) + group


def _parse_elements(content: memoryview) -> dict[int, bytes] | None:
    values: dict[int, bytes] = {}
    at, last, size = 0, -1, len(content)
    while at < size:
        if at + 8 > size:
            return None
        group, tag, length = _ELEMENT.unpack_from(content, at)
        at += 8
        if group or tag <= last or at + length > size:
            return None
        values[tag] = bytes(content[at : at + length])
        at += length
        last = tag
    return values


def _parse_uid(value: bytes) -> str | None:
    text = value[:-1] if value.endswith(b"\0") else value
    return text.decode("ascii") if len(value) % 2 == 0 and _UID.fullmatch(text) else None


def _encode_uid(text: str) -> bytes:
    return text.encode("ascii") + b"\0" * (len(text) % 2)
