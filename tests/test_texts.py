"""Every reason and error has words for two readers in two languages, and no word stands there for nothing."""

import ast
import dataclasses
import enum
import os
import re
import shutil
import string
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest

from dicom_node import errors, values
from dicom_node.texts import ENGLISH, Language, Reader, find_languages, load_catalogue, render, render_error, render_number, render_reason
from dicom_node.values.reasons import WITHDRAWALS, Withdrawal
from tests.classes import find_leaves
from tests.places import REPOSITORY

REASONS = find_leaves(values.Reason)
ERRORS = find_leaves(errors.NodeError)
PARTS = [("reasons", REASONS), ("errors", ERRORS)]
KINDS = [(part, kind) for part, kinds in PARTS for kind in kinds]
FRENCH = Language("fr")


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


@pytest.mark.parametrize("language", find_languages())
@pytest.mark.parametrize(("part", "kinds"), PARTS, ids=["reasons", "errors"])
def test_there_is_a_text_for_each_class_and_none_for_nothing(part: str, kinds: list[type], language: Language) -> None:
    texts = getattr(load_catalogue(language), part)
    assert sorted(texts) == sorted(render.name_of(kind) for kind in kinds)
    assert all(set(readers) == set(Reader) for readers in texts.values())


@pytest.mark.parametrize(("part", "kind"), KINDS, ids=names_of(KINDS))
def test_every_language_says_the_same_of_a_class_and_placeholders_are_fields(part: str, kind: type) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}
    for reader in Reader:
        used = {
            language: placeholders(getattr(load_catalogue(language), part)[render.name_of(kind)][reader]) for language in find_languages()
        }
        assert used[ENGLISH] <= fields, f"{reader}: {used[ENGLISH] - fields} is no field"
        assert all(names == used[ENGLISH] for names in used.values()), f"{reader}: the languages say different things"


def test_every_language_has_the_same_sentences_of_a_report() -> None:
    english = load_catalogue(ENGLISH).report
    for language in find_languages():
        sentences = load_catalogue(language).report
        assert {name: placeholders(text) for name, text in sentences.items()} == {
            name: placeholders(text) for name, text in english.items()
        }


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize(("part", "kind"), KINDS, ids=names_of(KINDS))
def test_each_is_rendered_for_each_reader(part: str, kind: type) -> None:
    one = make(kind)
    for reader in Reader:
        for language in find_languages():
            text = render_reason(one, reader, language) if part == "reasons" else render_error(one, reader, language)
            assert "{" not in text
            assert text.endswith(".")


@pytest.mark.parametrize("part", ["reasons", "errors"])
def test_french_is_written_as_french(part: str) -> None:
    french, english = getattr(load_catalogue(FRENCH), part), getattr(load_catalogue(ENGLISH), part)
    for name, texts in french.items():
        for reader, text in texts.items():
            place = f"[{part}.{name}] {reader}"
            assert text != english[name][reader], place
            assert_french(text, place)
        assert any(re.search("[àâçéèêëîïôûùüœ]", text) for text in texts.values()), f"[{part}.{name}]: not one accent"


def test_sentences_of_a_report_are_written_as_french() -> None:
    for name, text in load_catalogue(FRENCH).report.items():
        assert_french(text, f"[report] {name}")


def assert_french(text: str, place: str) -> None:
    assert '"' not in text, f"{place}: guillemets « »"
    assert text.count("«") == text.count("»"), place
    assert not re.search(r"\w[;:!?](\s|$)", text), f"{place}: a space stands before ; : ! ?"
    assert not re.search(r"\b(analyse(e|es)|selectionn|reessa|serie|modele|etape|systeme|refuse[ers]? par)\b", text), f"{place}: accents"


def test_what_is_told_to_a_radiologist_begins_with_what_it_means() -> None:
    withdrawals = {render.name_of(kind) for kind in WITHDRAWALS}
    for language, begin, of_withdrawal in ((ENGLISH, "Not analysed: ", "Withdrawn: "), (FRENCH, "Non analysé : ", "Retiré : ")):
        for name, texts in load_catalogue(language).reasons.items():
            assert texts["radiologist"].startswith(of_withdrawal if name in withdrawals else begin), name


def test_every_reason_to_withdraw_can_be_asked_for() -> None:
    assert list(WITHDRAWALS) == sorted(find_leaves(Withdrawal), key=WITHDRAWALS.index)


def test_numbers_are_written_with_unit_and_the_sign_of_the_language() -> None:
    gap = next(kind for kind in REASONS if kind.__name__ == "SliceGap")(after_mm=-12.5, gap_mm=2.0, spacing_mm=1.0)
    assert "\u221212.5\u00a0mm" in render_reason(gap, Reader.RADIOLOGIST, ENGLISH)
    assert "\u221212,5\u00a0mm" in render_reason(gap, Reader.RADIOLOGIST, FRENCH)
    assert "2\u00a0mm" in render_reason(gap, Reader.ADMINISTRATOR, ENGLISH)
    tilted = next(kind for kind in REASONS if kind.__name__ == "Tilted")(angle_deg=15.25)
    assert "15,25°" in render_reason(tilted, Reader.ADMINISTRATOR, FRENCH)
    refused = errors.StatusRefused(peer=values.PeerName("pacs"), status=0xA700)
    assert "pacs" in (text := render_error(refused, Reader.ADMINISTRATOR, ENGLISH))
    assert "A700" in text


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (-12.5, 1, "\u221212,5"),
        (-0.04, 1, "0,0"),
        (-0.0, 0, "0"),
        (0.0, 0, "0"),
        (-0.06, 1, "\u22120,1"),
        (1011.4, 1, "1011,4"),
        (100.0, 0, "100"),
    ],
)
def test_a_number_has_a_true_minus_and_none_before_nothing(value: float, digits: int, written: str) -> None:
    assert render_number(value, digits, FRENCH) == written


def test_no_line_ends_between_a_number_and_its_unit() -> None:
    """In no sentence of a report, in no language; nor behind a minus."""
    for language in find_languages():
        for name, text in load_catalogue(language).report.items():
            assert not re.search(r"\} (mm|%|\{unit\})", text), f"[report] {name}"
            assert "-{" not in text, f"[report] {name}"


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


def test_another_language_is_one_file(tmp_path: Path) -> None:
    """A copy of the product with a file more takes it in its configuration, and says everything in it."""
    shutil.copytree(REPOSITORY / "dicom_node", tmp_path / "dicom_node", ignore=shutil.ignore_patterns("__pycache__"))
    texts = tmp_path / "dicom_node" / "texts"
    (texts / "xx.toml").write_text((texts / "en.toml").read_text(encoding="utf-8").replace("Not analysed: ", "Xx: "), encoding="utf-8")
    program = """
from dicom_node.config import NodeFile
from dicom_node.texts import Reader, render_reason
from dicom_node.values.reasons import Localizer
node = NodeFile(ae_title="NODE", data=".", models=["m"], language="xx")
print(render_reason(Localizer(), Reader.RADIOLOGIST, node.language))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("Xx: "), done.stderr
