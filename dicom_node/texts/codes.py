"""What coded concepts and units are called."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from dicom_node.values import CodedConcept

from .render import Language


def render_meaning(concept: CodedConcept, language: Language) -> str:
    """The meaning of a code in a language; in English, and where `codes.toml` does not have it, the concept's own."""
    texts = load_codes().get(f"{concept.scheme}:{concept.value}", {})
    return concept.meaning if language is Language.ENGLISH else str(texts.get(language, concept.meaning))


def render_unit(unit: CodedConcept, language: Language) -> str:
    """How a UCUM unit is written behind a number, such as `mm³`; the code itself where `codes.toml` has no sign for it."""
    texts = load_codes().get(f"{unit.scheme}:{unit.value}", {})
    return str(texts.get("sign", {}).get(language, unit.value))


@cache
def load_codes() -> dict[str, dict[str, Any]]:
    """Every code of the file: scheme and value, language."""
    return tomllib.loads(resources.files(__package__).joinpath("codes.toml").read_text(encoding="utf-8"))
