"""In a French report every code of ours has a French meaning; the codes are the same."""

import dataclasses
import io
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.infer import measure
from dicom_node.texts import ENGLISH, Language, find_languages, load_catalogue, render_meaning, render_unit
from dicom_node.values import CodedConcept, NotAnalysed, ObjectKind
from dicom_node.values.reasons import ModelTooSlow
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.results import NODULE, PACKAGE, read_headers
from tests.encode.test_reports import OF_GROUPS, with_objects
from tests.make import base_anatomy, make_series
from tests.places import REPOSITORY

KINDS = [ObjectKind.SEGMENTATION, *OF_GROUPS, ObjectKind.REPORT_TEXT, ObjectKind.REGIONS, ObjectKind.CONTOURS]
MASS = CodedConcept("4147007", "SCT", "Mass")

Key = tuple[str, str]


def codes_of(dataset: Dataset) -> Iterator[tuple[Key, str]]:
    """Every code in a data set, with its meaning, but in the equipment, which is the scanner's and the node's own record."""
    for element in dataset:
        if element.VR == "SQ" and element.keyword != "ContributingEquipmentSequence":
            for item in element.value:
                if "CodeMeaning" in item:
                    yield (item.CodingSchemeDesignator, item.CodeValue), item.CodeMeaning
                yield from codes_of(item)


def codes_in(case: Case, language: str) -> list[tuple[Key, str]]:
    result = dataclasses.replace(case.result, looked_for=(NODULE, MASS))
    refusal = NotAnalysed(result.key, result.study_instance_uid, result.series_instance_uid, PACKAGE, ModelTooSlow(1.0))
    found: list[tuple[Key, str]] = []
    for kind in KINDS:
        profile = with_objects(*{ObjectKind.SEGMENTATION: None, kind: None}, language=language)
        for made in (encode.encode(result, case.headers, profile), encode.encode_refusal(refusal, case.headers, profile)):
            for one in made:
                found += codes_of(pydicom.dcmread(io.BytesIO(one.content)))
    return found


def is_in_table(key: Key) -> bool:
    return ":".join(key) in load_catalogue(Language("fr")).codes


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_every_code_that_is_written_has_a_french_meaning(tmp_path: Path, modality: str) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, modality=modality)
    headers = read_headers(datasets, tmp_path)
    case = Case(datasets, headers, two_findings(headers, datasets))
    english, french = codes_in(case, "en"), codes_in(case, "fr")
    assert [key for key, _ in english if key != ("RFC5646", "en")] == [key for key, _ in french if key != ("RFC5646", "fr")]
    assert {key for key, _ in french if not is_in_table(key)} == set()
    assert {meaning for (scheme, value), meaning in french if meaning != load_catalogue(Language("fr")).codes[f"{scheme}:{value}"]} == set()
    assert all(meaning != "Poumon" for _, meaning in codes_in(case, "en"))  # one report in French changes none after it


def test_every_code_of_the_shipped_package_and_of_what_is_measured_has_one() -> None:
    def tables(value: Any) -> Iterator[dict[str, Any]]:
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from tables(one)
        if isinstance(value, dict) and {"value", "scheme", "meaning"} <= set(value):
            yield value

    manifest = tomllib.loads((REPOSITORY / "models" / "ct-lung-nodule" / "package.toml").read_text(encoding="utf-8"))
    keys = {(code["scheme"], code["value"]) for code in tables(manifest)}
    assert ("SCT", "27925004") in keys
    measured = {(one.scheme, one.value) for one in vars(measure).values() if isinstance(one, CodedConcept)}
    assert ("UCUM", "mm3") in measured
    assert {key for key in keys | measured if not is_in_table(key)} == set()


def test_every_meaning_fits_and_is_french() -> None:
    for key, meaning in load_catalogue(Language("fr")).codes.items():
        assert 0 < len(meaning) <= 64, key
        assert '"' not in meaning, key
        assert ":" in key


@pytest.mark.parametrize("table", ["words", "signs"])
def test_every_language_has_the_same_words_and_signs(table: str) -> None:
    assert len({frozenset(getattr(load_catalogue(language), table)) for language in find_languages()}) == 1


def test_what_is_not_in_the_table_keeps_its_meaning() -> None:
    other = CodedConcept("60046008", "SCT", "Pleural effusion")
    assert render_meaning(other, Language("fr")) == "Pleural effusion"
    assert render_meaning(NODULE, ENGLISH) == "Nodule"
    assert render_unit(CodedConcept("cm3", "UCUM", "cubic centimeter"), Language("fr")) == "cm3"
    assert render_unit(CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit"), Language("fr")) == "UH"
