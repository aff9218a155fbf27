"""`dicom-node models list | show | check`: what a person sees of a package, from its own files."""

import json
from pathlib import Path

from typer.testing import CliRunner

from dicom_node.cli import app
from tests.infer.examples import bright_package
from tests.peers.node import write_node
from tests.places import LUNG_NODULE

PACS = {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "may": ["send"]}}


def run(tmp_path: Path, *arguments: str, models: tuple[Path, ...]) -> tuple[int, str]:
    node = write_node(tmp_path / "node", peers=PACS, models=models)
    done = CliRunner().invoke(app, ["models", *arguments, "--config", str(node.config)])
    return done.exit_code, done.output


def test_packages_are_listed_and_shown_with_what_they_take_and_find(tmp_path: Path) -> None:
    package = bright_package(tmp_path / "bright", 450.0)
    models = (LUNG_NODULE, package.folder)
    code, text = run(tmp_path, "list", models=models)
    assert code == 0, text
    _, lung, bright = text.splitlines()
    assert lung.split()[:4] == ["ct-lung-nodule", "0.1.0", "RESEARCH", "yes"]
    assert package.ref.digest[:16] in bright
    code, text = run(tmp_path, "show", "ct-lung-nodule", models=models)
    assert code == 0, text
    assert "slice_spacing_mm: at most 3" in text
    assert "findings are followed" in text
    assert ".onnx (" in text
    code, text = run(tmp_path, "show", "example", "--json", models=models)
    assert json.loads(text)["digest"] == package.ref.digest
    code, text = run(tmp_path, "show", "nothing", models=models)
    assert (code, "there are: ct-lung-nodule, example" in text) == (1, True)


def test_a_package_is_checked_before_it_is_entered(tmp_path: Path) -> None:
    folder = bright_package(tmp_path / "bright", 450.0).folder
    assert run(tmp_path, "check", str(folder), models=()) == (0, "dicom-node models check: problems=0\n")
    (folder / "bright.onnx").write_bytes(b"no model")
    code, text = run(tmp_path, "check", str(folder), models=())
    assert code == 1
    assert "example" in text
    manifest = folder / "package.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('title = "Example"', 'titel = "Example"'), encoding="utf-8")
    code, text = run(tmp_path, "check", str(folder), models=())
    assert code == 1
    assert "package.toml: package.titel" in text
    assert text.splitlines()[-1] != "dicom-node models check: problems=0"
