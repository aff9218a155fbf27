"""The sentences of a report."""

from .catalogue import Language, load_catalogue


def render_report(name: str, language: Language, **fields: int | float | str) -> str:
    """The sentence `name`; a broken number gets the language's decimal sign. KeyError where there is no such sentence."""
    written = {key: _written(value, language) for key, value in fields.items()}
    return load_catalogue(language).report[name].format(**written)


def render_number(value: float, digits: int, language: Language) -> str:
    """A number with as many decimals as it was rounded to, in the language's decimal sign."""
    return _with_sign(f"{value:.{digits}f}", language)


def _written(value: int | float | str, language: Language) -> str:
    if not isinstance(value, float):
        return str(value)
    return _with_sign(f"{value:g}", language)


def _with_sign(text: str, language: Language) -> str:
    return text.replace(".", load_catalogue(language).decimal_sign)
