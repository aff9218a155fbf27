"""A reason or an error as a sentence."""

import dataclasses
import re
from collections.abc import Mapping
from enum import StrEnum

from dicom_node.errors import NodeError
from dicom_node.values import Reason

from .catalogue import Language, load_catalogue
from .report import write


class Reader(StrEnum):
    """Who reads the sentence: the one who mends the network, or the one who reads the images."""

    ADMINISTRATOR = "administrator"
    RADIOLOGIST = "radiologist"


def render_reason(reason: Reason, reader: Reader, language: Language) -> str:
    """The sentence for a reason; numbers carry the unit that their field's name ends in."""
    return _render(load_catalogue(language).reasons, reason, reader, language)


def render_error(error: NodeError, reader: Reader, language: Language) -> str:
    """The sentence for an error. SettingsError has a line for each problem beside it (`cli` prints them)."""
    return _render(load_catalogue(language).errors, error, reader, language)


def name_of(kind: type) -> str:
    """The key of a class in the catalogue: its name in kebab case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", kind.__name__).lower()


_UNITS = {"mm": "mm", "deg": "°", "s": "s", "bytes": "", "percent": "%"}


def _render(texts: Mapping[str, Mapping[str, str]], subject: object, reader: Reader, language: Language) -> str:
    template = texts[name_of(type(subject))][reader]
    fields = {
        field.name: _written(field.name, getattr(subject, field.name), language)
        for field in dataclasses.fields(subject)  # type: ignore[arg-type]
    }
    return template.format(**fields)


def _written(name: str, value: object, language: Language) -> str:
    """A field as text: numbers with two decimals at most, and the unit of the name's suffix, from which no line parts them."""
    if value is None:
        return "?"
    if isinstance(value, float):
        text = write(f"{value:.2f}".rstrip("0").rstrip("."), language)
    else:
        text = getattr(value, "text", None) or str(value)
    unit = _UNITS.get(name.rsplit("_", 1)[-1], "")
    if name == "status":
        return f"{value:04X}"
    return f"{text}\N{NO-BREAK SPACE}{unit}" if unit and unit != "°" else text + unit
