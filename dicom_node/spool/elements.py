"""Where each element of an encoded data set lies: a walk over tags and lengths that decodes no value and allocates none.

A data set comes from a stranger. What a header announces is never believed beyond the bytes that are there; a sequence that is
never closed, an item in the wrong syntax, an unknown VR cost that element, not the image, wherever lengths allow to go on.

Source: PS3.5 7 (elements, sequences), 6.2.2 (UN of undefined length is implicit VR little endian), A.2 to A.5.
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from pydicom import uid

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # Float, Double Float and Pixel Data: all else of the header comes before them

_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEPTH_LIMIT = 32  # sequences within sequences; SR trees, the deepest that are seen, stay below 20

# VRs whose length field has two bytes in explicit syntaxes (PS3.5 table 7.1-2), with their names; all others, also later ones, have four.
_SHORT = {vr: vr.decode() for vr in b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()}
_SHORT_HEADER = struct.Struct("<HH2sH")  # of nearly all elements of nearly all images


@dataclass(frozen=True, slots=True)
class Syntax:
    """How elements are written."""

    explicit: bool
    little: bool

    @staticmethod
    def of(transfer_syntax_uid: str) -> "Syntax":
        """All syntaxes but two are explicit and little endian (PS3.5 A.4)."""
        return Syntax(explicit=transfer_syntax_uid != uid.ImplicitVRLittleEndian, little=transfer_syntax_uid != uid.ExplicitVRBigEndian)


IMPLICIT_LITTLE = Syntax(explicit=False, little=True)


class Element(NamedTuple):  # there are a hundred for each image
    """A value: the bytes from `start` to `end`. `vr` is empty where the syntax does not say; `is_open` means of undefined length."""

    tag: int
    vr: str
    start: int
    end: int
    is_open: bool = False


class End(Enum):
    """Where a walk ended."""

    REACHED = "reached"  # at the first element that was not wanted any more
    FINISHED = "finished"  # at the last byte
    BROKEN = "broken"  # within an element: bytes are missing, or these are no elements


@dataclass(frozen=True, slots=True)
class Walk:
    """The elements by tag, the position and the tag at which the walk ended; `last` is the last tag that was begun."""

    elements: dict[int, Element]
    position: int
    end: End
    last: int


class _Lost(Exception):
    """The bytes at this place are no element."""


def walk(data: bytes, syntax: Syntax, start: int = 0, end: int | None = None, *, stop: int = PIXELS[0], is_whole: bool = True) -> Walk:
    """Walk over the elements of one level, up to the first tag from `stop` on. Never raises.

    Where `data` is not all that there is, a sequence that cannot be followed may be one that goes on behind it: the walk is BROKEN there,
    as elements of its items would be taken for the level's own.
    """
    limit = len(data) if end is None else end
    elements: dict[int, Element] = {}
    at, last = start, 0
    is_usual = syntax.explicit and syntax.little
    while at < limit:
        if is_usual and at + 8 <= limit:
            group, number, short, length = _SHORT_HEADER.unpack_from(data, at)
            tag, after = group << 16 | number, at + 8 + length
            if short in _SHORT and tag < stop and after <= limit and group != 0xFFFE:
                if tag not in elements:
                    elements[tag] = Element(tag, _SHORT[short], at + 8, after)
                at, last = after, tag
                continue
        try:
            tag, vr, value, length = _read_header(data, at, limit, syntax)
            if tag >> 16 != 0xFFFE:
                last = tag
                if tag >= stop:
                    return Walk(elements, at, End.REACHED, tag)
            at = _find_end(data, at, (tag, vr, value, length), limit, syntax, is_whole=is_whole)
        except _Lost:
            return Walk(elements, at, End.BROKEN, last)
        if tag >> 16 != 0xFFFE:  # a delimiter without its sequence is passed over
            elements.setdefault(tag, Element(tag, vr, value, at, is_open=length == _UNDEFINED))
    return Walk(elements, at, End.FINISHED, last)


def walk_items(data: bytes, sequence: Element, syntax: Syntax) -> list[dict[int, Element]]:
    """The elements of each item of a sequence; what is broken ends the list."""
    inner = nested(sequence.vr, syntax) if sequence.vr in ("UN", "SQ", "") else syntax
    items: list[dict[int, Element]] = []
    at = sequence.start
    while at + 8 <= sequence.end:
        tag, length = _read_item(data, at, syntax)
        if tag != _ITEM:
            break
        try:
            end = _skip_elements(data, at + 8, sequence.end, inner, 1) - 8 if length == _UNDEFINED else at + 8 + length
        except _Lost:
            break
        if end > sequence.end:
            break
        items.append(walk(data, inner, at + 8, end, stop=1 << 32).elements)
        at = end + 8 if length == _UNDEFINED else end
    return items


def nested(vr: str, syntax: Syntax) -> Syntax:
    """How the items of a sequence are written: as all else, but implicit where the sequence came as UN."""
    return IMPLICIT_LITTLE if vr == "UN" else syntax


def _read_header(data: bytes, at: int, limit: int, syntax: Syntax) -> tuple[int, str, int, int]:
    """Tag, VR, start and length of the value. What follows a tag and is no VR is taken as an implicit length: senders mix."""
    if at + 8 > limit:
        raise _Lost
    order = "<" if syntax.little else ">"
    group, number = struct.unpack_from(order + "HH", data, at)
    tag = group << 16 | number
    vr = data[at + 4 : at + 6]
    if not syntax.explicit or group == 0xFFFE or not (vr.isalpha() and vr.isupper()):
        return tag, "", at + 8, struct.unpack_from(order + "I", data, at + 4)[0]
    if vr in _SHORT:
        return tag, _SHORT[vr], at + 8, struct.unpack_from(order + "H", data, at + 6)[0]
    if at + 12 > limit:
        raise _Lost
    return tag, vr.decode(), at + 12, struct.unpack_from(order + "I", data, at + 8)[0]


def _find_end(data: bytes, at: int, header: tuple[int, str, int, int], limit: int, syntax: Syntax, *, is_whole: bool) -> int:
    """Where the next element begins. A sequence that cannot be followed ends at the first delimiter after which tags go on."""
    tag, vr, value, length = header
    if tag >> 16 == 0xFFFE:
        return at + 8
    if length != _UNDEFINED:
        if value + length > limit:
            raise _Lost
        return value + length
    try:
        return _skip_items(data, value, limit, nested(vr, syntax), 1)
    except _Lost:
        if not is_whole:
            raise
        return _find_delimiter(data, value, limit, tag, syntax)


def _skip_items(data: bytes, at: int, limit: int, syntax: Syntax, depth: int) -> int:
    """Behind the delimiter of a sequence of undefined length whose first item is at `at`."""
    if depth > _DEPTH_LIMIT:
        raise _Lost
    while at + 8 <= limit:
        tag, length = _read_item(data, at, syntax)
        at += 8
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise _Lost
        if length == _UNDEFINED:
            at = _skip_elements(data, at, limit, syntax, depth)
        elif at + length > limit:
            raise _Lost
        else:
            at += length
    raise _Lost


def _skip_elements(data: bytes, at: int, limit: int, syntax: Syntax, depth: int) -> int:
    """Behind the delimiter of an item of undefined length whose first element is at `at`."""
    while at < limit:
        tag, vr, value, length = _read_header(data, at, limit, syntax)
        if tag == _ITEM_END:
            return at + 8
        if length == _UNDEFINED:
            at = _skip_items(data, value, limit, nested(vr, syntax), depth + 1)
        elif value + length > limit:
            raise _Lost
        else:
            at = value + length
    raise _Lost


def _find_delimiter(data: bytes, at: int, limit: int, tag: int, syntax: Syntax) -> int:
    """Behind the first Sequence Delimitation Item that a later tag of a near group follows: the sequence's own, very likely."""
    mark = struct.pack("<HHI" if syntax.little else ">HHI", 0xFFFE, 0xE0DD, 0)
    while (found := data.find(mark, at, limit)) >= 0:
        at = found + len(mark)
        if at + 4 > limit:
            break
        group, number = struct.unpack_from("<HH" if syntax.little else ">HH", data, at)
        if tag < group << 16 | number and group <= 0x7FE0:
            return at
    raise _Lost


def _read_item(data: bytes, at: int, syntax: Syntax) -> tuple[int, int]:
    group, number, length = struct.unpack_from("<HHI" if syntax.little else ">HHI", data, at)
    return group << 16 | number, length
