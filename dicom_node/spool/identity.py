"""The four UIDs that file an instance, read from the start of its data set and no further: later damage does not matter."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from dicom_node.errors import UnacceptableInstance

from .elements import End, Syntax, walk
from .header import Header, tag_of
from .usable import DEFLATED

CANNOT_UNDERSTAND = 0xC000  # PS3.4 table B.2-1

# What is read at first of a header, and the most that is ever held of one: private elements of many megabytes do exist.
FIRST_BYTES = 1 << 17
HEADER_LIMIT_BYTES = 1 << 28

_UID = re.compile(r"[!-\[\]-~]{1,64}")  # printable, and no backslash; at most 64 characters (PS3.5 9.1)


@dataclass(frozen=True, slots=True)
class Identity:
    """By what an instance is filed; as it stands in its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


def read_identity(file: BinaryIO, offset: int, length: int, transfer_syntax_uid: str) -> Identity:
    """The identity of the data set of `length` bytes at `offset`; reads on only where it is not complete. Raises UnacceptableInstance."""
    for data, is_all in prefixes(file, offset, length, transfer_syntax_uid):
        try:
            return _parse(data, transfer_syntax_uid, is_whole=is_all)
        except UnacceptableInstance:
            if is_all:
                raise
    raise UnacceptableInstance(CANNOT_UNDERSTAND, "data set is empty")


def parse_identity(data_set_prefix: bytes | memoryview, transfer_syntax_uid: str) -> Identity:
    """The identity from the first bytes of a data set, which must reach beyond Series Instance UID (0020,000E).

    Raises UnacceptableInstance (0xC000) where one of the four UIDs is absent, empty or no UID; legal are 1 to 64 printable
    characters here, since senders write more than digits and dots, and bytes are filed as they came.
    """
    data = bytes(data_set_prefix)
    return _parse(inflate(data, HEADER_LIMIT_BYTES) if transfer_syntax_uid == DEFLATED else data, transfer_syntax_uid, is_whole=False)


def prefixes(file: BinaryIO, offset: int, length: int, transfer_syntax_uid: str) -> Iterator[tuple[bytes, bool]]:
    """Ever longer starts of a data set, inflated where it is deflated, and whether that is all there is or will be read."""
    size = FIRST_BYTES
    while True:
        file.seek(offset)
        if transfer_syntax_uid == DEFLATED:
            data = inflate(file.read(min(length, size)), size)
            is_all = size >= HEADER_LIMIT_BYTES or (length <= size and len(data) < size)
        else:
            data = file.read(min(length, size))
            is_all = size >= min(length, HEADER_LIMIT_BYTES)
        yield data, is_all
        if is_all:
            return
        size = min(size * 8, HEADER_LIMIT_BYTES)


def inflate(data: bytes, limit_bytes: int) -> bytes:
    """At most `limit_bytes` of a deflated data set (PS3.5 A.5); what is damaged ends it."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    blocks: list[bytes] = []
    size = 0
    try:
        while size < limit_bytes and data:
            block = inflater.decompress(data, min(limit_bytes - size, FIRST_BYTES))
            if not block:
                break
            blocks.append(block)
            size += len(block)
            data = inflater.unconsumed_tail
    except zlib.error:
        pass  # the walk over what there is says how far it reaches
    return b"".join(blocks)


def _parse(data: bytes, transfer_syntax_uid: str, *, is_whole: bool) -> Identity:
    syntax = Syntax.of(transfer_syntax_uid)
    found = walk(data, syntax, stop=tag_of("SeriesInstanceUID") + 1, is_whole=is_whole)
    header = Header(data, syntax, found.elements)
    values: list[str] = []
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        texts = header.texts(keyword)
        if not texts:
            what = "data set breaks off before" if found.end is End.BROKEN else "data set lacks"
            raise UnacceptableInstance(CANNOT_UNDERSTAND, f"{what} {keyword}")
        if len(texts) != 1 or not is_uid(texts[0]):
            raise UnacceptableInstance(CANNOT_UNDERSTAND, f"{keyword} is no UID")
        values += texts
    return Identity(*values)


def is_uid(text: str) -> bool:
    """Whether the node takes a text as a UID."""
    return _UID.fullmatch(text) is not None
