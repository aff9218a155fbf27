"""What a person types: bounds are told before anything is opened, an unknown study is no success."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicom_node.cli import app
from tests.peers.node import write_node


@pytest.mark.parametrize("limit", ["0", "-1", "100001", "many"])
def test_the_number_of_studies_is_bounded(limit: str) -> None:
    done = CliRunner().invoke(app, ["status", "--config", "no-such-file.toml", "--limit", limit])
    assert done.exit_code == 2
    assert "--limit" in done.stderr
    assert "no-such-file" not in done.stderr


@pytest.mark.parametrize("limit", ["1", "100000"])
def test_a_number_within_the_bounds_is_taken(tmp_path: Path, limit: str) -> None:
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "may": ["send"]}
    file = write_node(tmp_path, peers={"pacs": pacs}, models=()).config
    done = CliRunner().invoke(app, ["status", "--config", str(file), "--limit", limit])
    assert (done.exit_code, done.stdout) == (0, "no studies yet\n")


@pytest.mark.parametrize("command", ["status", "replay"])
def test_an_unknown_study_is_said_and_is_no_success(tmp_path: Path, command: str) -> None:
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "may": ["send"]}
    file = write_node(tmp_path, peers={"pacs": pacs}, models=()).config
    done = CliRunner().invoke(app, [command, "UNKNOWN", "--config", str(file)])
    assert done.exit_code == 1
    assert done.stderr == f"dicom-node {command}: no study UNKNOWN\n"
    assert done.stdout == ""
