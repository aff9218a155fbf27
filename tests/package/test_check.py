"""A package is checked whole: every problem at once with file, key, value and what is allowed."""

import shutil
from pathlib import Path

import pytest

from dicom_node import package
from dicom_node.errors import Problem, SettingsError
from tests.make.example import write_ball_example

GOOD = """
[package]
name = "box"
version = "1"
title = "Box"
manufacturer = "dicom-node"
intended_use = "tests"
licence = "MIT"

[accept]
[[accept.conditions]]
attribute = "Modality"
one_of = ["CT"]

[[stages]]
kind = "segment"
by = "threshold"
name = "lungs"
below = -400.0

[[stages]]
kind = "detect"
by = "blobs"
name = "candidates"
inside = "lungs"
sigmas_mm = [2.0]
least_response = 10.0

[[stages]]
kind = "classify"
by = "network"
name = "scores"
of = "candidates"
model = "net.onnx"
size = [32, 32]
spacing_mm = [1.0, 1.0]
threshold = 0.5

[[stages]]
kind = "measure"
name = "sizes"
of = "scores"
measurements = ["volume"]

[[outputs]]
stage = "sizes"
label = "Nodule"
category = {value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure"}
type = {value = "27925004", scheme = "SCT", meaning = "Nodule"}
laterality_from = "lungs"
"""


def write_package(folder: Path, manifest: str = GOOD) -> Path:
    folder.mkdir(parents=True)
    (folder / "package.toml").write_text(manifest, encoding="utf-8")
    (folder / "net.onnx").write_bytes(b"network")
    write_ball_example(folder, 50)
    return folder


def problems_of(folder: Path) -> dict[str, Problem]:
    with pytest.raises(SettingsError) as raised:
        package.load_package(folder)
    assert all(problem.file == folder / "package.toml" for problem in raised.value.problems)
    return {problem.key: problem for problem in raised.value.problems}


def test_a_good_package_is_loaded(tmp_path: Path) -> None:
    loaded = package.load_package(write_package(tmp_path / "box"))
    assert [stage.name for stage in loaded.manifest.stages] == ["lungs", "candidates", "scores", "sizes"]
    assert isinstance(loaded.manifest.stages[0], package.ThresholdSegment)
    assert isinstance(loaded.manifest.stages[1], package.BlobDetect)
    assert loaded.ref.device_uid.startswith("2.25.")


def test_every_problem_of_the_schema_is_told_at_once(tmp_path: Path) -> None:
    wrong = GOOD.replace('name = "box"', 'name = "Box!"').replace("threshold = 0.5", "threshold = 1.5\ntreshold = 2")
    wrong = wrong.replace('licence = "MIT"\n', "").replace("[[outputs]]", '[[outputs]]\ncolor_rgb = "red"')
    found = problems_of(write_package(tmp_path / "box", wrong))
    assert len(found) == 5
    assert (found["package.name"].value, found["package.licence"].allowed) == ("Box!", "Field required")
    threshold = next(problem for key, problem in found.items() if key.endswith(".threshold"))
    assert (threshold.value, "less than or equal to 1" in threshold.allowed) == ("1.5", True)
    unknown = next(problem for key, problem in found.items() if key.endswith(".treshold"))
    assert unknown.allowed == "no such key; did you mean threshold?"
    assert found["outputs.0.color_rgb"].allowed == "no such key; did you mean colour_rgb?"


def test_every_reference_that_leads_nowhere_is_told_at_once(tmp_path: Path) -> None:
    wrong = GOOD.replace('inside = "lungs"', 'inside = "lung"').replace('of = "candidates"', 'of = "sizes"')
    wrong = wrong.replace('stage = "sizes"', 'stage = "size"').replace('laterality_from = "lungs"', 'laterality_from = "liver"')
    wrong = wrong.replace('model = "net.onnx"', 'model = "other.onnx"')
    found = problems_of(write_package(tmp_path / "box", wrong))
    assert {key: (problem.value, problem.allowed) for key, problem in found.items()} == {
        "stages.1.inside": ("lung", "an earlier stage: lungs"),
        "stages.2.of": ("sizes", "an earlier stage: lungs, candidates"),  # a later one does not count
        "stages.2.model": ("other.onnx", "an ONNX file in the package's own folder"),
        "outputs.0.stage": ("size", "a stage: lungs, candidates, scores, sizes"),
        "outputs.0.laterality_from": ("liver", "a stage: lungs, candidates, scores, sizes"),
    }


def test_the_first_stage_can_stand_on_no_other(tmp_path: Path) -> None:
    manifest = GOOD[: GOOD.index("[[stages]]")] + GOOD[GOOD.index('[[stages]]\nkind = "measure"') :]
    found = problems_of(write_package(tmp_path / "box", manifest))
    assert found["stages.0.of"].allowed == "an earlier stage: none"


def test_two_stages_of_one_name_are_told(tmp_path: Path) -> None:
    found = problems_of(write_package(tmp_path / "box", GOOD.replace('name = "candidates"', 'name = "lungs"')))
    assert found["stages.1.name"].allowed == "a name of its own"


@pytest.mark.parametrize("model", ["../net.onnx", "sub/net.onnx", "/net.onnx"])
def test_a_model_outside_the_package_is_refused(tmp_path: Path, model: str) -> None:
    """A package is reviewed and signed as a folder: what it runs lies in it."""
    folder = write_package(tmp_path / "box", GOOD.replace("net.onnx", model))
    (folder / "sub").mkdir()
    for place in (tmp_path, folder / "sub"):
        shutil.copy(folder / "net.onnx", place)
    assert problems_of(folder)["stages.2.model"].value == model


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ('attribute = "Modality"\ngeometry = "slices"\none_of = ["CT"]', "exactly one of attribute and geometry"),
        ('one_of = ["CT"]', "exactly one of attribute and geometry"),
        ('attribute = "Modality"', "one of one_of, none_of, contains_none, at_least, at_most"),
    ],
)
def test_a_condition_has_one_subject_and_a_test(tmp_path: Path, condition: str, allowed: str) -> None:
    found = problems_of(write_package(tmp_path / "box", GOOD.replace('attribute = "Modality"\none_of = ["CT"]', condition)))
    assert found["accept.conditions.0"].allowed == allowed


def test_a_stage_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    found = problems_of(write_package(tmp_path / "box", GOOD.replace('kind = "measure"', 'kind = "python"')))
    assert any(key.startswith("stages.3") for key in found)


def test_the_digest_follows_what_the_package_does(tmp_path: Path) -> None:
    """Networks and manifest are the model; a corrected card is not another model."""
    folder = write_package(tmp_path / "box")
    first = package.load_package(folder).ref
    (folder / "MODEL_CARD.md").write_text("words")
    assert package.load_package(folder).ref == first
    (folder / "net.onnx").write_bytes(b"another network")
    second = package.load_package(folder).ref
    assert second.digest != first.digest
    assert second.device_uid != first.device_uid


def test_the_digest_is_that_of_the_model_and_not_of_its_example(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "box")
    first = package.load_package(folder).ref
    write_ball_example(folder, 900)
    assert package.load_package(folder).ref == first


def test_problems_of_manifest_and_example_are_told_together(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "box", GOOD.replace('licence = "MIT"\n', ""))
    (folder / "example" / "example.toml").unlink()
    with pytest.raises(SettingsError) as raised:
        package.load_package(folder)
    assert [str(problem.file.relative_to(folder)) for problem in raised.value.problems] == ["package.toml", "example/example.toml"]


def test_the_digest_is_the_same_in_another_folder(tmp_path: Path) -> None:
    assert package.load_package(write_package(tmp_path / "a")).ref == package.load_package(write_package(tmp_path / "b")).ref


HEAT_MAP = """
[[stages]]
kind = "detect"
by = "heat-map"
name = "spots"
model = "net.onnx"
channel = 1
threshold = 0.5
window = { size = [32, 32, 32], skip = { below = 0.1, outside = [-9.0, -9.0] } }

[[outputs]]
stage = "sizes"
"""


@pytest.mark.parametrize(
    ("right", "wrong", "key", "said"),
    [
        ("outside = [-9.0, -9.0]", "outside = [-9.0]", "stages.4.window.skip.outside", "channel 1"),
        ("outside = [-9.0, -9.0]", "outside = []", "stages.4.window.skip.outside", "at least 1 item"),
        ("outside = [-9.0, -9.0]", "outside = [-9.0, -inf]", "stages.4.window.skip.outside.1", "finite"),
        (", outside = [-9.0, -9.0]", "", "stages.4.window.skip.outside", "required"),
        ("size = [32, 32, 32]", "size = [32, 0, 32]", "stages.4.window.size.1", "greater than or equal to 1"),
    ],
)
def test_windows_that_cannot_be_are_told(tmp_path: Path, right: str, wrong: str, key: str, said: str) -> None:
    manifest = GOOD.replace('[[outputs]]\nstage = "sizes"\n', HEAT_MAP)
    package.load_package(write_package(tmp_path / "right", manifest))
    found = problems_of(write_package(tmp_path / "wrong", manifest.replace(right, wrong)))
    assert said in found[key].allowed
