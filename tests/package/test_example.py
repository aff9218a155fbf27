"""The example of a package: what is wrong with its files is told as for the manifest, and what it expects is checked to the letter."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_node import package
from dicom_node.errors import Problem, SettingsError
from dicom_node.package.example import load_example
from dicom_node.values import Analysed, CodedConcept, Finding, Laterality, Mask, NotAnalysed, PackageRef
from dicom_node.values.reasons import ExampleNotMet, NotANumber
from tests.make.example import Place, write_example

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
EXPECTED = {"centre_lps": (10.0, 20.0, 30.0), "within_mm": 5.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_example(tmp_path, VOXELS, Place((3.0, 2.0, 1.0), (-7.0, 8.0, 9.0), "IAL"), [EXPECTED], 2)
    return tmp_path / "example"


def problem_of(folder: Path) -> Problem:
    with pytest.raises(SettingsError) as raised:
        load_example(folder)
    (problem,) = raised.value.problems
    return problem


# -- the files ------------------------------------------------------------------------------------------------------------


def test_the_voxels_lie_where_the_file_says(folder: Path) -> None:
    volume = load_example(folder).volume
    assert np.array_equal(volume.voxels, VOXELS)
    assert volume.geometry.shape == VOXELS.shape
    at = np.array(volume.geometry.lps_from_index) @ (1, 1, 1, 1)  # one slice down, one row forward, one column to the left
    assert at.tolist() == [-7.0 + 1.0, 8.0 - 2.0, 9.0 - 3.0, 1.0]


@pytest.mark.parametrize(
    ("old", "new", "key", "value", "allowed"),
    [
        ("findings_at_most = 2", "findings_at_most = 0", "findings_at_most", "0", "greater than or equal to 1"),
        ('"IAL"', '"IAP"', "volume.orientation", "IAP", "one letter of each pair"),
        ("within_mm", "within", "findings.0.within", "5.0", "did you mean within_mm?"),
        ("[[findings]]", "[[finding]]", "findings", "", "Field required"),
        ("spacing_mm = [3.0, ", "spacing_mm = [-3.0, ", "volume.spacing_mm.0", "-3.0", "greater than 0"),
    ],
)
def test_a_wrong_key_is_told_with_what_is_allowed(folder: Path, old: str, new: str, key: str, value: str, allowed: str) -> None:
    file = folder / "example.toml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SettingsError) as raised:
        load_example(folder)
    told = {problem.key: problem for problem in raised.value.problems}
    assert (told[key].file, told[key].value) == (file, value)
    assert allowed in told[key].allowed


def test_an_example_that_expects_nothing_is_none(folder: Path) -> None:
    """A network that gives nothing would pass it."""
    file = folder / "example.toml"
    file.write_text("findings = []\n" + file.read_text().partition("[[findings]]")[0])
    assert problem_of(folder).key == "findings"


def test_a_file_that_is_missing_is_told(folder: Path) -> None:
    (folder / "volume.npz").unlink()
    assert problem_of(folder) == Problem(folder / "volume.npz", "", "", "a file that can be read (No such file or directory)")
    (folder / "example.toml").unlink()
    assert problem_of(folder).file == folder / "example.toml"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[60:80] = bytes(20)
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        spoil,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"no archive"),
        lambda file: np.savez_compressed(file, voxels=VOXELS, more=VOXELS),
        lambda file: np.savez_compressed(file, hu=VOXELS),
        lambda file: np.savez_compressed(file, voxels=VOXELS.astype(np.float32)),
        lambda file: np.savez_compressed(file, voxels=VOXELS[0]),
        lambda file: np.savez_compressed(file, voxels=VOXELS[:0]),
        lambda file: np.savez_compressed(file, voxels=np.zeros((600, 600, 100), np.int16)),
        lambda file: np.savez_compressed(file, voxels=np.array([{"a": 1}], dtype=object)),  # a pickle
    ],
    ids=["cut", "spoilt", "empty", "no archive", "two", "name", "float", "plane", "nothing", "large", "pickle"],
)
def test_voxels_of_another_form_are_refused(folder: Path, damage: Callable[[Path], Any]) -> None:
    damage(folder / "volume.npz")
    problem = problem_of(folder)
    assert problem.file == folder / "volume.npz"
    assert problem.allowed.startswith("one array 'voxels', int16")


# -- the comparison ---------------------------------------------------------------------------------------------------------

CODE = CodedConcept("27925004", "SCT", "Nodule")
FINDING = Finding(
    1, "lung 1", "2.25.1", "Nodule", CODE, CODE, None, Laterality.LEFT, Mask((0, 0, 0), np.ones((1, 2, 2), bool)), (10.0, 20.0, 33.0),
    (), 0.9, (1, 2, 3),
)  # fmt: skip
REF = PackageRef("lung", "1", "d", "1.2", "t", "m", product=False)


def failure(folder: Path, findings: tuple[Finding, ...], **more: Any) -> Any:
    write_example(folder.parent, VOXELS, Place((3.0, 2.0, 1.0)), [{**EXPECTED, **more}], 2)
    example = load_example(folder)
    return package.find_failure(example, Analysed("k", "", "", REF, example.volume.geometry, (), findings, None, (), ()))


@pytest.mark.parametrize("more", [{}, {"volume_mm3": (20, 25)}, {"score": (0.9, 1.0)}, {"label": "Nodule"}, {"laterality": "L"}])
def test_a_finding_as_expected_passes(folder: Path, more: dict[str, Any]) -> None:
    """Four voxels of 6 mm³, 3 mm from where the finding is expected."""
    assert failure(folder, (FINDING, replace(FINDING, centre_lps=(0.0, 0.0, 0.0))), **more) is None


@pytest.mark.parametrize(
    "more",
    [
        {"within_mm": 2.9},
        {"volume_mm3": (25, 30)},
        {"volume_mm3": (1, 23)},
        {"score": (0.91, 1.0)},
        {"label": "Lesion"},
        {"laterality": "R"},
    ],
)
def test_a_finding_that_differs_does_not(folder: Path, more: dict[str, Any]) -> None:
    assert failure(folder, (FINDING,), **more) == ExampleNotMet(wanted=1, met=0, found=1, at_most=2)


def test_nothing_and_too_much_do_not_pass(folder: Path) -> None:
    assert failure(folder, ()) == ExampleNotMet(1, 0, 0, 2)
    assert failure(folder, (FINDING,) * 3) == ExampleNotMet(1, 1, 3, 2)


def test_an_example_that_is_not_analysed_fails_for_that_reason(folder: Path) -> None:
    reason = NotANumber("nodules")
    assert package.find_failure(load_example(folder), NotAnalysed("k", "", "", REF, reason)) == reason
