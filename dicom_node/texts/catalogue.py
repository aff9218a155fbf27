"""The texts of a language: one file each, named by the language's code (RFC 5646). Another language is another file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NewType

Language = NewType("Language", str)  # a code of which there is a file; `config` lets no other in

ENGLISH = Language("en")  # the language that every text and code is written in first


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One file: what the language is called in English, how it writes numbers and colons, and its texts by name.

    `reasons` and `errors` hold one for each reader, under the class's name in kebab case; `words`, `signs` and `codes` are keyed by
    `scheme:value` of a code.
    """

    name: str
    decimal_sign: str
    colon: str
    report: Mapping[str, str]
    words: Mapping[str, str]
    signs: Mapping[str, str]
    codes: Mapping[str, str]
    reasons: Mapping[str, Mapping[str, str]]
    errors: Mapping[str, Mapping[str, str]]


@cache
def load_catalogue(language: Language) -> Catalogue:
    """The texts of a language; KeyError where there is no file of it."""
    if language not in find_languages():
        raise KeyError(language)
    content = tomllib.loads(resources.files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    return Catalogue(**content.pop("language"), **{"codes": {}, **content})


@cache
def find_languages() -> tuple[Language, ...]:
    """Every language that there is a file of, English first."""
    files = [entry.name for entry in resources.files(__package__).iterdir() if entry.name.endswith(".toml")]
    codes = sorted(name.removesuffix(".toml") for name in files)
    return tuple(map(Language, sorted(codes, key=lambda code: code != ENGLISH)))
