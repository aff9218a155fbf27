"""What coded concepts and units are called; the codes themselves are the same in every language."""

from dicom_node.values import CodedConcept

from .catalogue import Language, load_catalogue


def render_meaning(concept: CodedConcept, language: Language) -> str:
    """The Code Meaning of a code in a language; the concept's own where the language has none."""
    return load_catalogue(language).codes.get(_key(concept), concept.meaning)


def render_unit(unit: CodedConcept, language: Language) -> str:
    """How a UCUM unit is written behind a number, such as `mm³`; the code itself where there is no sign for it."""
    return load_catalogue(language).signs.get(_key(unit), unit.value)


def render_concept(concept: CodedConcept, language: Language) -> str:
    """What a code is called on pictures and pages, else the meaning that came with it, in whatever language that is."""
    return load_catalogue(language).words.get(_key(concept), concept.meaning)


def _key(concept: CodedConcept) -> str:
    return f"{concept.scheme}:{concept.value}"
