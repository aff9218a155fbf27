"""Text of the images, strictly: decoded only where it is certain what it says."""

import re
import unicodedata
from collections.abc import Sequence

from pydicom.charset import CODES_TO_ENCODINGS, STAND_ALONE_ENCODINGS, handled_encodings, python_encoding

_DELIMITERS = re.compile(rb"[\\^=\r\n\f\t]")  # each resets a designated set to the first one (PS3.5 6.1.2.5.3)
_FRAGMENTS = re.compile(rb"\A[^\x1b]+|\x1b[^\x1b]*")
# What Unicode does not take apart.
_LETTERS = {"œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ß": "ss"}
_SIGNS = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\N{MINUS SIGN}": "-"}
_SPELT = str.maketrans(_LETTERS | _SIGNS)
_CONTROLS = re.compile(r"[\x1b\x80-\x9f]")


def decode(value: bytes, terms: Sequence[str]) -> str | None:
    """The text of a value under the terms of Specific Character Set (0008,0005), or None where that cannot be told for certain.

    Certain is ASCII, and what decodes without a replacement under a known term; a control character in the result says that
    the set was another one.

    Source: PS3.5 6.1.2, PS3.3 C.12.1.1.2.
    """
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    known = tuple(terms) or ("",)
    if any(term not in python_encoding for term in known):
        return None
    try:
        text = _decode_known(value, known)
    except UnicodeError:
        return None
    return None if text is None or _CONTROLS.search(text) else text


def to_ascii(text: str) -> str:
    """The text without accents, for an object that keeps the character set of its images because their text cannot be decoded.

    A question mark stands for what ASCII cannot spell: a reader sees that there was something, and no value becomes empty.
    """
    return "".join(map(_spell, text)) or ("?" if text else "")


def _spell(character: str) -> str:
    """One character in ASCII; nothing for an accent that belongs to the character before."""
    parts = [part for part in unicodedata.normalize("NFKD", character.translate(_SPELT)) if not unicodedata.category(part).startswith("M")]
    if not any(part.isascii() for part in parts):
        return "?" if parts else ""
    return "".join(part if part.isascii() else "?" for part in parts)


def _decode_known(value: bytes, terms: tuple[str, ...]) -> str | None:
    first = _codec(terms[0])
    if terms[0] in STAND_ALONE_ENCODINGS or b"\x1b" not in value:
        return value.decode(first)
    allowed = {_codec(term) for term in terms}
    parts: list[str] = []
    for fragment in _FRAGMENTS.findall(value):
        if not fragment.startswith(b"\x1b"):
            parts.append(fragment.decode(first))
            continue
        escape = fragment[: 4 if fragment.startswith((b"\x1b$(", b"\x1b$)")) else 3]
        codec = CODES_TO_ENCODINGS.get(escape)
        if codec is None or (codec not in allowed and escape != b"\x1b(B" and escape != b"\x1b(J"):
            return None
        parts.append(_decode_fragment(fragment, escape, codec, first))
    return "".join(parts)


def _decode_fragment(fragment: bytes, escape: bytes, codec: str, first: str) -> str:
    """What follows an escape sequence, up to the next one."""
    if codec in handled_encodings:
        return fragment.decode(codec)  # Python's own codecs read these escapes; the bytes of delimiters are halves of characters here
    rest = fragment[len(escape) :]
    end = _DELIMITERS.search(rest)
    cut = end.start() if end else len(rest)
    return rest[:cut].decode(codec) + rest[cut:].decode(first)


def _codec(term: str) -> str:
    return "ascii" if term in {"", "ISO_IR 6", "ISO 2022 IR 6"} else python_encoding[term]
