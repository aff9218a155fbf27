"""Coded concepts and units as people write them; the codes themselves are the same in every language."""

import tomllib
from functools import cache
from importlib import resources

from dicom_node.values import CodedConcept

from .render import Language


def render_concept(concept: CodedConcept, language: Language) -> str:
    """The words of `concepts.toml` for a code, else the meaning that came with it, in whatever language that is."""
    return load_concepts().get(f"{concept.scheme} {concept.value}", {}).get(language, concept.meaning)


@cache
def load_concepts() -> dict[str, dict[str, str]]:
    """Every concept that has words: scheme and value, language."""
    return tomllib.loads(resources.files(__package__).joinpath("concepts.toml").read_text(encoding="utf-8"))
