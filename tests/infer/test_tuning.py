"""Settings that are tried and kept: what is clearly faster is used, by this device alone, and the results stay."""

import itertools
import json
from pathlib import Path

import pytest
from onnx import helper

from dicom_node import infer
from dicom_node.clock import SystemClock
from dicom_node.config import InferSection
from dicom_node.infer.inputs import Floats
from dicom_node.infer.run import RunIdentity, run_stages
from dicom_node.infer.sessions import Sessions, Setting
from dicom_node.infer.tuning import choose, describe_device, keep_settings, read_settings, try_settings
from dicom_node.infer.windows import Network
from dicom_node.package import Package, load_package
from dicom_node.roles.device import command
from dicom_node.values import Analysed, Provider, Trial, codec

from .examples import bright_package, inside_ball, make_volume, nodule_package, write_network

DEVICE = "cpu, A Processor, 2 threads, ONNX Runtime 1"


def tried(package: Package, threads: int = 2) -> tuple[Trial, ...]:
    ticks = itertools.count()
    return try_settings(package, threads, Provider.CPU, lambda: float(next(ticks)))


def test_each_network_is_tried_with_threads_and_batches(tmp_path: Path) -> None:
    trials = tried(bright_package(tmp_path, 450.0), threads=3)
    assert {(trial.threads, trial.batch) for trial in trials} == set(itertools.product((1, 2, 3), (1, 2, 4)))
    assert {trial.model for trial in trials} == {"bright.onnx"}
    (kept,) = (trial for trial in trials if trial.is_kept)
    assert kept.batch == 4  # each call takes one tick of this clock, so the most items at once are the fastest


def test_the_batch_that_the_package_declares_is_among_them(tmp_path: Path) -> None:
    assert {trial.batch for trial in tried(nodule_package(tmp_path))} == {1, 2, 4, 64}


def test_a_batch_that_a_network_does_not_take_is_left_out(tmp_path: Path) -> None:
    package = bright_package(tmp_path, 450.0)  # which declares a batch of 2
    node = helper.make_node("Concat", ["x", "x"], ["y"], axis=1)
    write_network(tmp_path / "bright.onnx", [node], {}, [2, 1, "d", "h", "w"], [2, 2, "d", "h", "w"])
    assert {trial.batch for trial in tried(package)} == {2}


def test_a_network_that_sees_the_whole_volume_has_nothing_to_be_tried(tmp_path: Path) -> None:
    package = bright_package(tmp_path, 450.0)
    manifest = tmp_path / "package.toml"
    lines = [line for line in manifest.read_text(encoding="utf-8").splitlines() if not line.startswith("window")]
    manifest.write_text("\n".join(lines), encoding="utf-8")
    assert tried(load_package(package.folder)) == ()


@pytest.mark.parametrize(("fastest", "chosen"), [(0.96, Setting(2, 1)), (0.94, Setting(1, 4))])
def test_what_is_hardly_faster_changes_nothing(fastest: float, chosen: Setting) -> None:
    assert choose({Setting(2, 1): 1.0, Setting(1, 4): fastest, Setting(2, 4): 1.5}, Setting(2, 1)) == chosen


def test_what_is_kept_is_read_by_the_same_device_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "tuned.json"
    keep_settings(file, DEVICE, "digest", [Trial("a.onnx", 2, 4, 1.0, is_kept=True), Trial("a.onnx", 1, 4, 2.0)])
    keep_settings(file, "another", "digest", [Trial("a.onnx", 8, 1, 1.0, is_kept=True)])
    keep_settings(file, DEVICE, "other digest", [Trial("b.onnx", 1, 1, 1.0, is_kept=True)])
    assert read_settings(file, DEVICE) == {("digest", "a.onnx"): Setting(2, 4), ("other digest", "b.onnx"): Setting(1, 1)}
    assert read_settings(file, "another") == {("digest", "a.onnx"): Setting(8, 1)}
    assert read_settings(file, "a third") == {}


@pytest.mark.parametrize("content", ["", "no json", "[]", "7", json.dumps({DEVICE: {"d": {"m": {"threads": 1}}}}), json.dumps({DEVICE: 3})])
def test_a_damaged_file_is_as_if_nothing_had_been_tuned(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tuned.json"
    file.write_text(content, encoding="utf-8")
    assert read_settings(file, DEVICE) == {}
    keep_settings(file, "another", "digest", [Trial("a.onnx", 2, 4, 1.0, is_kept=True)])
    assert read_settings(file, "another") == {("digest", "a.onnx"): Setting(2, 4)}


def test_a_device_is_its_provider_processor_threads_and_release() -> None:
    assert describe_device(1, Provider.CPU) != describe_device(2, Provider.CPU) != describe_device(2, Provider.CUDA)
    assert describe_device(2, Provider.CPU).startswith("cpu, ")


def test_a_tuned_network_gets_its_threads_and_its_batch_and_gives_the_same(tmp_path: Path) -> None:
    package = bright_package(tmp_path, 450.0)
    volume = make_volume(lambda lps: 900 * inside_ball(lps, (8.0, -6.0, 4.0), 20.0, 0.5), (60, 44, 48), (1.5, 2.0, 2.0))
    seen: list[int] = []

    class Watched(Sessions):
        def network(self, package: Package, model: str) -> Network:
            network = super().network(package, model)

            def run(batch: Floats) -> Floats:
                seen.append(len(batch))
                return network(batch)

            return run

    masks = []
    for tuned in ({}, {(package.ref.digest, "bright.onnx"): Setting(1, 4)}):
        seen.clear()
        result = run_stages(package, volume, RunIdentity("0", "1", "2"), Watched(2, Provider.CPU, tuned), lambda: 0.0)
        assert isinstance(result, Analysed)
        masks.append(codec.dump(result.findings[0].mask))
        assert max(seen) == (4 if tuned else 2)
    assert masks[0] == masks[1]


def test_the_inference_process_tries_them(tmp_path: Path) -> None:
    package = bright_package(tmp_path / "package", 450.0)
    with infer.Device(command(InferSection(threads=2), tmp_path / "tuned.json"), SystemClock()) as device:
        request = infer.TuneRequest(str(package.folder), package.ref.digest)
        trials = device.try_settings(request, time_limit_s=60.0, memory_limit_mb=2000)
    assert {(trial.threads, trial.batch) for trial in trials} == set(itertools.product((1, 2), (1, 2, 4)))
    assert sum(trial.is_kept for trial in trials) == 1
    assert all(trial.item_ms > 0 for trial in trials)
