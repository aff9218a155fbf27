"""A package that fails its own example is not put into service: the node says so, refuses for it, and goes on with the others."""

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from dicom_node import infer, journal
from dicom_node.clock import SystemClock
from dicom_node.config import load_config
from dicom_node.errors import PackageWithdrawn
from dicom_node.node import Node
from dicom_node.roles.check import find_problems
from dicom_node.values import Accepted
from dicom_node.values.reasons import OutOfService
from tests.infer.examples import bright_package
from tests.make.study import make_chest
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess, write_node
from tests.places import LUNG_NODULE
from tests.promises.studies import wait_until_done


@pytest.fixture
def zeroed(tmp_path: Path) -> Path:
    """The lung package with every weight of its network set to zero: it loads, runs, and finds nothing."""
    folder = tmp_path / "zeroed"
    shutil.copytree(LUNG_NODULE, folder, ignore=shutil.ignore_patterns("training"))
    model = onnx.load(folder / "nodule.onnx")
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 0, weight.name))
    onnx.save(model, folder / "nodule.onnx")
    return folder


def test_a_package_whose_network_was_changed_is_not_in_service_and_another_is(
    node: Callable[..., NodeProcess], zeroed: Path, tmp_path: Path
) -> None:
    bright_package(tmp_path / "bright", 300.0)
    running = node(models=(zeroed, tmp_path / "bright"))
    chest = make_chest()
    with Modality(running.port) as sender:
        assert all(sender.store(one) == 0x0000 for one in chest)
    study = wait_until_done(running, chest[0].StudyInstanceUID)
    answers = {answer["package"]: answer for series in study["series"] for answer in series["answers"]}
    assert (answers["ct-lung-nodule"]["verdict"], answers["ct-lung-nodule"]["reason"]["name"]) == ("refused", "out-of-service")
    assert answers["example"]["verdict"] == "chosen"
    assert [(result["package"], result["kind"]) for result in study["results"]] == [("example", "analysed")]
    assert "ct-lung-nodule: refused: The package is out of service" in running.run("status").stdout
    (failed,) = running.events("PackageOutOfService")
    (passed,) = running.events("PackageInService")
    assert (failed["package"], failed["cause"], failed["level"]) == ("ct-lung-nodule", "ExampleNotMet", "warning")
    assert passed["package"] == "example"


def test_the_package_that_is_shipped_passes_its_example(tmp_path: Path) -> None:
    assert find_problems(write_node(tmp_path).config, SystemClock(), ask_peers=False) == ()


def test_check_says_which_package_fails_its_example_and_how(zeroed: Path, tmp_path: Path) -> None:
    bright_package(tmp_path / "bright", 300.0)
    configured = write_node(tmp_path / "node", models=(zeroed, tmp_path / "bright"))
    (line,) = find_problems(configured.config, SystemClock(), ask_peers=False)
    assert line.startswith(f"{zeroed / 'example'}: ")
    assert "0 of 2 expected findings" in line


def test_a_job_that_chose_a_package_before_it_went_out_of_service_does_not_run_it(tmp_path: Path) -> None:
    """After a crash the kept choice of a study stands, but the package failed its example at the restart."""
    packages = (bright_package(tmp_path / "bright", 300.0),)
    config = load_config(write_node(tmp_path / "node", models=(tmp_path / "bright",)).config)
    config.data.mkdir()
    choice, engine = Accepted("example", "1.2", 0, (), chosen=True), journal.open_engine(config.database)
    with infer.Device(("unused",), SystemClock()) as device:
        assert Node(config, packages, SystemClock(), device, {}, engine).package(choice) is packages[0]
        with pytest.raises(PackageWithdrawn):
            Node(config, packages, SystemClock(), device, {"example": OutOfService("ChildDied")}, engine).package(choice)
