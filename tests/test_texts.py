"""Every reason and error has words for two readers in two languages, and no word stands there for nothing."""

import ast
import dataclasses
import enum
import re
import string
import types
import typing
from pathlib import Path

import pytest

from dicom_node import errors, values
from dicom_node.texts import Language, Reader, render, render_error, render_reason
from tests.classes import find_leaves
from tests.places import REPOSITORY

REASONS = find_leaves(values.Reason)
ERRORS = find_leaves(errors.NodeError)
FILES = [("reasons.toml", REASONS), ("errors.toml", ERRORS)]
KINDS = [(file, kind) for file, kinds in FILES for kind in kinds]


def names_of(kinds: list[tuple[str, type]]) -> list[str]:
    return [kind.__name__ for _, kind in kinds]


def sample(hint: object) -> object:
    """Some value of a field's type."""
    if isinstance(hint, types.UnionType):
        return sample(next(part for part in typing.get_args(hint) if part is not type(None)))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return next(iter(hint))
    known: dict[object, object] = {str: "SliceThickness", int: 3, float: 2.5, values.PeerName: values.PeerName("pacs")}
    known[values.PackageName] = values.PackageName("lung")
    return known.get(hint, ())


def make(kind: type) -> typing.Any:
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: sample(hints[field.name]) for field in dataclasses.fields(kind)})


def test_the_walk_finds_them() -> None:
    assert len(REASONS) >= 28
    assert len(ERRORS) >= 11
    assert errors.SpoolError not in ERRORS


@pytest.mark.parametrize(("file", "kinds"), FILES, ids=["reasons", "errors"])
def test_there_is_a_text_for_each_class_and_none_for_nothing(file: str, kinds: list[type]) -> None:
    assert sorted(render.load_catalogue(file)) == sorted(render.name_of(kind) for kind in kinds)


@pytest.mark.parametrize(("file", "kind"), KINDS, ids=names_of(KINDS))
def test_four_texts_whose_placeholders_are_fields(file: str, kind: type) -> None:
    texts = render.load_catalogue(file)[render.name_of(kind)]
    assert {reader: set(languages) for reader, languages in texts.items()} == {str(reader): {"en", "fr"} for reader in Reader}
    fields = {field.name for field in dataclasses.fields(kind)}
    for reader, languages in texts.items():
        used = {
            language: {name for _, name, _, _ in string.Formatter().parse(text) if name is not None} for language, text in languages.items()
        }
        assert used["en"] == used["fr"], f"{reader}: the languages say different things"
        assert used["en"] <= fields, f"{reader}: {used['en'] - fields} is no field"


@pytest.mark.parametrize(("file", "kind"), KINDS, ids=names_of(KINDS))
def test_each_is_rendered_for_each_reader(file: str, kind: type) -> None:
    one = make(kind)
    for reader in Reader:
        for language in Language:
            text = render_reason(one, reader, language) if file == "reasons.toml" else render_error(one, reader, language)
            assert "{" not in text
            assert text.endswith(".")


@pytest.mark.parametrize("file", ["reasons.toml", "errors.toml"])
def test_french_is_written_as_french(file: str) -> None:
    for name, texts in render.load_catalogue(file).items():
        for reader, languages in texts.items():
            french, english, place = languages["fr"], languages["en"], f"[{name}] {reader}.fr"
            assert french != english, place
            assert '"' not in french, f"{place}: guillemets « »"
            assert french.count("«") == french.count("»"), place
            assert not re.search(r"\w[;:!?](\s|$)", french), f"{place}: a space stands before ; : ! ?"
            assert not re.search(r"\b(analyse(e|es)|selectionn|reessa|serie|modele|etape|systeme|refuse[ers]? par)\b", french), (
                f"{place}: accents"
            )
        assert any(re.search("[àâçéèêëîïôûùüœ]", languages["fr"]) for languages in texts.values()), f"[{name}]: not one accent"


def test_what_is_told_to_a_radiologist_begins_with_what_it_means() -> None:
    for name, texts in render.load_catalogue("reasons.toml").items():
        assert texts["radiologist"]["en"].startswith("Not analysed: "), name
        assert texts["radiologist"]["fr"].startswith("Non analysé : "), name


def test_numbers_are_written_with_unit_and_the_sign_of_the_language() -> None:
    gap = next(kind for kind in REASONS if kind.__name__ == "SliceGap")(after_mm=-12.5, gap_mm=2.0, spacing_mm=1.0)
    assert "-12.5 mm" in render_reason(gap, Reader.RADIOLOGIST, Language.ENGLISH)
    assert "-12,5 mm" in render_reason(gap, Reader.RADIOLOGIST, Language.FRENCH)
    assert "2 mm" in render_reason(gap, Reader.ADMINISTRATOR, Language.ENGLISH)
    tilted = next(kind for kind in REASONS if kind.__name__ == "Tilted")(angle_deg=15.25)
    assert "15,25°" in render_reason(tilted, Reader.ADMINISTRATOR, Language.FRENCH)
    refused = errors.StatusRefused(peer=values.PeerName("pacs"), status=0xA700)
    assert "pacs" in (text := render_error(refused, Reader.ADMINISTRATOR, Language.ENGLISH))
    assert "A700" in text


def test_groups_of_errors_are_caught_and_never_raised() -> None:
    """They have no text: an error that somebody reads is one of the leaves."""
    groups = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.NodeError)}
    groups -= {kind.__name__ for kind in ERRORS}
    assert "PeerError" in groups
    for file in sorted((REPOSITORY / "dicom_node").rglob("*.py")):
        assert raised_names(file) & groups == set(), file.name


def raised_names(file: Path) -> set[str]:
    raised = [node.exc for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Raise)]
    called = [exc.func if isinstance(exc, ast.Call) else exc for exc in raised]
    return {name.id if isinstance(name, ast.Name) else name.attr for name in called if isinstance(name, ast.Name | ast.Attribute)}
