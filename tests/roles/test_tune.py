"""`dicom-node models tune`: every network tried, what is kept written down, what cannot be tried said."""

import json
from pathlib import Path

from typer.testing import CliRunner

from dicom_node.cli import app
from dicom_node.infer.process import count_threads, describe_device
from dicom_node.values import Provider
from tests.infer.examples import bright_package
from tests.peers.node import write_node

PACS = {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "may": ["send"]}}


def test_what_is_found_is_shown_and_kept_for_this_machine(tmp_path: Path) -> None:
    package = bright_package(tmp_path / "bright", 450.0)
    node = write_node(tmp_path / "node", peers=PACS, models=(package.folder,))
    done = CliRunner().invoke(app, ["models", "tune", "--config", str(node.config)])
    assert done.exit_code == 0, done.output
    assert done.stdout.count("kept") == 2  # the line of the table, and the last one
    assert "bright.onnx" in done.stdout
    kept = json.loads((node.data / "tuned.json").read_text(encoding="utf-8"))
    assert kept.keys() == {describe_device(count_threads(), Provider.CPU)}
    ((digest, models),) = next(iter(kept.values())).items()
    assert (digest, models.keys()) == (package.ref.digest, {"bright.onnx"})


def test_what_cannot_be_tried_is_said(tmp_path: Path) -> None:
    package = bright_package(tmp_path / "bright", 450.0)
    (package.folder / "bright.onnx").write_bytes(b"no model")
    node = write_node(tmp_path / "node", peers=PACS, models=(package.folder,))
    done = CliRunner().invoke(app, ["models", "tune", "--config", str(node.config)])
    assert done.exit_code == 1
    assert "ModelUnusable" in done.stderr
    assert not (node.data / "tuned.json").exists()


def test_a_provider_that_is_not_there_is_said_by_check_and_by_tune(tmp_path: Path) -> None:
    package = bright_package(tmp_path / "bright", 450.0)
    node = write_node(tmp_path / "node", peers=PACS, models=(package.folder,), settings={"infer": {"provider": "cuda"}})
    done = CliRunner().invoke(app, ["check", "--config", str(node.config)])
    assert done.exit_code == 1
    (line, count) = done.stdout.splitlines()
    assert "infer.provider = 'cuda'" in line
    assert "cannot run the models on cuda" in line
    assert count == "dicom-node check: problems=1"
    assert "ProviderUnavailable" in CliRunner().invoke(app, ["models", "tune", "--config", str(node.config)]).stderr
