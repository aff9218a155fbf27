"""Values of a walked header: numbers that are unambiguous, text in its character set. Nothing here warns or guesses.

Source: PS3.5 6.2 (VRs), 6.1 (character sets), 6.2.2 (UN); PS3.6 for the VR where the encoding does not say it.
"""

import math
import re
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR, tag_for_keyword

from .elements import Element, Syntax, nested, walk_items

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")  # DS, also longer than its 16 characters
_INTEGER = re.compile(r"[+-]?\d+(\.0*)?")  # IS, also as some write it: 1.0
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "US or SS": "H", "SV": "q", "UV": "Q"}
_REMEMBERED_BYTES = 256  # a longer value is no label that all images of a series share
_TEXT_DELIMITERS = {0x5C}  # a backslash ends an escape's reach (PS3.5 6.1.2.5.3)


@dataclass(frozen=True, slots=True)
class Illegal:
    """What stands there is not what the VR allows."""


@dataclass(frozen=True, slots=True)
class Header:
    """One level of a data set: the outermost, or an item."""

    data: bytes
    syntax: Syntax
    elements: dict[int, Element]

    def raw(self, keyword: str) -> bytes | None:
        """The encoded value; None where the element is absent."""
        element = self.elements.get(tag_of(keyword))
        return None if element is None else self.data[element.start : element.end]

    def has(self, keyword: str) -> bool:
        return tag_of(keyword) in self.elements

    def items(self, keyword: str) -> "list[Header]":
        """The items of a sequence; an empty list where it is absent or empty."""
        element = self.elements.get(tag_of(keyword))
        return [] if element is None else self.items_of(element)

    def items_of(self, element: Element) -> "list[Header]":
        syntax = nested(element.vr, self.syntax)
        return [Header(self.data, syntax, elements) for elements in walk_items(self.data, element, self.syntax)]

    def sequences(self) -> list[Element]:
        """The elements of this level that are sequences by their VR or by the dictionary."""
        return [element for element in self.elements.values() if vr_of(element) == "SQ"]

    def texts(self, keyword: str, encodings: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The values as text without outer spaces and nulls; empty where absent or empty."""
        element = self.elements.get(tag_of(keyword))
        return () if element is None else self.texts_of(element, encodings)

    def texts_of(self, element: Element, encodings: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Binary numbers are written as text too."""
        find = _find_texts if element.end - element.start <= _REMEMBERED_BYTES else _find_texts.__wrapped__
        return find(vr_of(element), self.data[element.start : element.end], self.syntax, encodings)

    def text(self, keyword: str, encodings: tuple[str, ...] = ()) -> str:
        """The first value, or an empty text."""
        return next(iter(self.texts(keyword, encodings)), "")

    def numbers(self, keyword: str) -> tuple[float, ...] | Illegal | None:
        """All values as numbers; None where the attribute is absent or empty."""
        element = self.elements.get(tag_of(keyword))
        if element is None or element.start == element.end:
            return None
        vr = vr_of(element)
        raw = self.data[element.start : element.end]
        if vr in _BINARY:
            return _unpack(vr, raw, self.syntax)
        texts = self.texts(keyword)
        if not texts:
            return None
        parse: Callable[[str], float | None] = parse_integer if vr == "IS" else parse_decimal
        values = tuple(parse(text) for text in texts)
        return Illegal() if any(value is None for value in values) else tuple(value for value in values if value is not None)

    def encodings(self) -> tuple[str, ...]:
        """Python's names for Specific Character Set (0008,0005), ASCII first where it is absent, empty or unknown."""
        terms = self.texts("SpecificCharacterSet")
        with warnings.catch_warnings():  # pydicom warns, with the value, of terms such as "ISO-IR 100", and takes the one that is meant
            warnings.simplefilter("ignore")
            try:
                return tuple(convert_encodings(list(terms) or [""]))
            except LookupError:
                return ("iso8859",)


def parse_decimal(text: str) -> float | None:
    """A Decimal String as a number; None where it is none, or infinite."""
    if _DECIMAL.fullmatch(text) is None:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def parse_integer(text: str) -> int | None:
    """An Integer String as a number, also beyond its 32 bits; None where it is none."""
    return int(text.partition(".")[0]) if len(text) <= 32 and _INTEGER.fullmatch(text) is not None else None


@cache
def tag_of(keyword: str) -> int:
    """The tag of a keyword of PS3.6."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return int(tag)


def vr_of(element: Element) -> str:
    """The VR as written, or by the dictionary where that says nothing."""
    return element.vr if element.vr not in ("", "UN") else _dictionary_vr(element.tag)


@cache
def keyword_of(tag: int) -> str:
    """The keyword of a standard attribute, or an empty text. Repeating groups (overlays, curves) have none here."""
    return str(dictionary_keyword(tag)) if not tag >> 16 & 1 and dictionary_has_tag(tag) else ""


def name_tag(tag: int) -> str:
    """Keyword, or (gggg,eeee) of what has none."""
    return keyword_of(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


@cache
def _dictionary_vr(tag: int) -> str:
    return str(dictionary_VR(tag)) if keyword_of(tag) else "UN"


@lru_cache(maxsize=4096)  # most values are the same in all images of a series
def _find_texts(vr: str, raw: bytes, syntax: Syntax, encodings: tuple[str, ...]) -> tuple[str, ...]:
    if vr in _BINARY:
        numbers = _unpack(vr, raw, syntax)
        return () if isinstance(numbers, Illegal) else tuple(f"{number:.10g}" for number in numbers)
    values = tuple(value.strip(" \0") for value in _decode(raw, encodings).split("\\"))
    return values if any(values) else ()


def _unpack(vr: str, raw: bytes, syntax: Syntax) -> tuple[float, ...] | Illegal:
    code = _BINARY[vr]
    size = struct.calcsize(code)
    if len(raw) % size:
        return Illegal()
    values = struct.unpack(("<" if syntax.little else ">") + code * (len(raw) // size), raw)
    return values if all(map(math.isfinite, values)) else Illegal()


def _decode(raw: bytes, encodings: tuple[str, ...]) -> str:
    """Text; what its character set does not allow is replaced."""
    if not encodings or (raw.isascii() and b"\x1b" not in raw):
        return raw.decode("latin-1")
    with warnings.catch_warnings():  # pydicom warns, with the bytes, of escapes that it does not know, and replaces them
        warnings.simplefilter("ignore")
        try:
            return decode_bytes(raw, list(encodings), _TEXT_DELIMITERS)
        except (LookupError, UnicodeError):
            return raw.decode("latin-1")
