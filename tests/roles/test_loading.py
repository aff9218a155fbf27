"""Each role loads what it works with and no more: the parent and the receiver are there soon, whatever the worker needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers.node import write_node
from tests.peers.ports import find_free_port

MODELS, OBJECTS = {"onnxruntime", "dicom_node.infer.process"}, {"highdicom", "scipy", "dicom_node.encode"}


@pytest.mark.parametrize(
    ("role", "loaded", "not_loaded"),
    [
        ("", {"dicom_node.roles.serve"}, MODELS | OBJECTS | {"pynetdicom", "dicom_node.pipeline", "dicom_node.receive"}),
        ("receiver", {"dicom_node.roles.receiver", "pynetdicom"}, MODELS | OBJECTS | {"dicom_node.pipeline"}),
        ("worker", {"dicom_node.roles.worker", "dicom_node.infer.device"} | OBJECTS, MODELS),
    ],
)
def test_a_role_loads_what_it_works_with(tmp_path: Path, role: str, loaded: set[str], not_loaded: set[str]) -> None:
    """Asked of the real command, which waits for a database that does not answer: everything is loaded by then."""
    nowhere = f"postgresql+psycopg://node@127.0.0.1:{find_free_port()}/node"
    modules = load(tmp_path, "dicom_node", "serve", *(("--role", role) if role else ()), database=nowhere)
    assert loaded <= modules
    assert modules.isdisjoint(not_loaded)


def load(folder: Path, *command: str, database: str) -> set[str]:
    """The names of all modules that `python -m` loads until it says that the journal is away."""
    node = write_node(folder, settings={"database": database})
    environment = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    arguments = (sys.executable, "-m", *command, "--config", str(node.config))
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "JournalAway" in line:
                process.terminate()
        assert process.wait(60) == 0, "".join(lines[-20:])
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
