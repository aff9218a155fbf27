"""The sentences of a report."""

import tomllib
from functools import cache
from importlib import resources

from .render import Language


def render_report(name: str, language: Language, **fields: int | float | str) -> str:
    """The sentence `name` of `report.toml`; a broken number gets the language's decimal sign. KeyError where there is no such sentence."""
    written = {key: _written(value, language) for key, value in fields.items()}
    return load_sentences()[name][language].format(**written)


def render_number(value: float, digits: int, language: Language) -> str:
    """A number with as many decimals as it was rounded to, in the language's decimal sign."""
    return _with_sign(f"{value:.{digits}f}", language)


@cache
def load_sentences() -> dict[str, dict[str, str]]:
    """Every sentence: name, language."""
    return tomllib.loads(resources.files(__package__).joinpath("report.toml").read_text(encoding="utf-8"))


def _written(value: int | float | str, language: Language) -> str:
    if not isinstance(value, float):
        return str(value)
    return _with_sign(f"{value:g}", language)


def _with_sign(text: str, language: Language) -> str:
    return text.replace(".", ",") if language is Language.FRENCH else text
