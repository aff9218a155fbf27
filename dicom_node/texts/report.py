"""The sentences of a report."""

from .catalogue import Language, load_catalogue


def render_report(name: str, language: Language, **fields: int | float | str) -> str:
    """The sentence `name`; numbers are written as print has them. KeyError where there is no such sentence."""
    written = {key: _written(value, language) for key, value in fields.items()}
    return load_catalogue(language).report[name].format(**written)


def render_number(value: float, digits: int, language: Language) -> str:
    """A number with as many decimals as it was rounded to."""
    return write(f"{value:.{digits}f}", language)


def _written(value: int | float | str, language: Language) -> str:
    if not isinstance(value, float):
        return str(value)
    return write(f"{value:g}", language)


def write(number: str, language: Language) -> str:
    """A number as print has it: the language's decimal sign, a true minus, at which no line ends, and no minus before nothing but noughts.

    ASCII, which some objects are kept to, has a hyphen in its place (`encode.characters`).
    """
    if not number.strip("-0."):
        number = number.lstrip("-")
    sign = "\N{MINUS SIGN}" if number.startswith("-") else ""
    return sign + number.removeprefix("-").replace(".", load_catalogue(language).decimal_sign)
