"""Nothing leaves the hospital but what is sent to its own systems."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dicom_node

# Where ONNX Runtime sees that it runs in a test, it sends nothing anyway.
CI_VARIABLES = {"CI", "TF_BUILD", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY"}


@pytest.mark.parametrize("part", ["infer", "roles.worker"])
def test_onnx_runtime_keeps_no_book_for_its_maker(tmp_path: Path, part: str) -> None:
    """Unless told not to, it makes an identity and a store of events in the user's cache, and reports to its maker from there."""
    environment = {name: value for name, value in os.environ.items() if name not in CI_VARIABLES}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    script = f"import dicom_node.{part}, onnxruntime\nassert onnxruntime.get_available_providers()\n"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert [str(path) for path in tmp_path.rglob("*")] == []


def test_every_process_that_the_node_starts_is_told_too() -> None:
    assert dicom_node.__version__
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
