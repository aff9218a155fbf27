"""Sessions: what was asked for, as many threads as allowed, and never something else in silence."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from dicom_node.errors import Again, ModelUnusable, ProviderUnavailable
from dicom_node.infer.sessions import Sessions, check_provider, count_threads
from dicom_node.values import Provider

from .examples import bright_package, write_threshold_segmenter


@pytest.mark.parametrize(
    ("quota", "threads"),
    [("max 100000\n", 1000), ("150000 100000\n", 2), ("50000 100000\n", 1), ("800000 100000\n", 8), ("", 1000), ("nonsense here\n", 1000)],
)
def test_threads_are_what_cores_and_quota_allow(tmp_path: Path, quota: str, threads: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert count_threads(0, tmp_path / "cpu.max") == min(threads, len(os.sched_getaffinity(0)))


def test_threads_that_were_asked_for_are_given(tmp_path: Path) -> None:
    assert count_threads(3, tmp_path / "cpu.max") == 3
    assert count_threads(0, tmp_path / "absent") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("threads", "more"), [(1, 0), (3, 2)])
def test_a_session_has_as_many_threads_as_it_was_given(tmp_path: Path, threads: int, more: int) -> None:
    """The caller's own thread works too, so one thread means no further one."""
    package = bright_package(tmp_path, 0.0)
    before = len(os.listdir("/proc/self/task"))
    sessions = Sessions(threads)
    sessions.network(package, "bright.onnx")
    assert len(os.listdir("/proc/self/task")) - before == more


def test_a_network_is_loaded_once(tmp_path: Path) -> None:
    package = bright_package(tmp_path, 0.0)
    sessions = Sessions(1)
    first = sessions.network(package, "bright.onnx")
    (tmp_path / "bright.onnx").unlink()
    assert sessions.network(package, "bright.onnx") is first


def test_a_model_that_takes_one_at_a_time_gets_one_at_a_time(tmp_path: Path) -> None:
    package = bright_package(tmp_path, 0.5)
    write_threshold_segmenter(tmp_path / "bright.onnx", 0.5, fixed_batch=True)
    batch = np.linspace(0, 1, 3 * 8, dtype=np.float32).reshape(3, 1, 2, 2, 2)
    output = Sessions(1).network(package, "bright.onnx")(batch)
    assert output.shape == (3, 2, 2, 2, 2)
    np.testing.assert_allclose(output[:, 1], batch[:, 0] - 0.5, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07" * 40])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    package = bright_package(tmp_path, 0.0)
    (tmp_path / "bright.onnx").write_bytes(content)
    with pytest.raises(ModelUnusable) as caught:
        Sessions(1).network(package, "bright.onnx")
    assert caught.value.model == "bright.onnx"
    assert caught.value.again is Again.NEVER


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable):
        Sessions(1).network(bright_package(tmp_path, 0.0), "absent.onnx")


def test_a_model_with_two_inputs_is_refused(tmp_path: Path) -> None:
    package = bright_package(tmp_path, 0.0)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "z", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "z"], ["y"])], "two", values[:2], values[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "bright.onnx")
    with pytest.raises(ModelUnusable):
        Sessions(1).network(package, "bright.onnx")


def test_an_input_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    network = Sessions(1).network(bright_package(tmp_path, 0.0), "bright.onnx")
    with pytest.raises(ModelUnusable):
        network(np.zeros((1, 2, 3), dtype=np.float32))


def test_one_that_is_given_one_gives_it_without_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window's output is megabytes for each channel, and comes a hundred times for a volume."""
    network = Sessions(1).network(bright_package(tmp_path, 0.5), "bright.onnx")
    monkeypatch.setattr(np, "concatenate", None)
    assert network(np.ones((1, 1, 2, 2, 2), np.float32)).shape == (1, 2, 2, 2, 2)


# -- what runs them -----------------------------------------------------------------------------------------------------------

ABSENT = [provider for provider in Provider if provider is not Provider.CPU]  # of the ONNX Runtime that the lock file names


def test_the_processor_is_always_there() -> None:
    check_provider(Provider.CPU)


@pytest.mark.parametrize("provider", ABSENT)
def test_a_provider_that_is_not_installed_is_refused(tmp_path: Path, provider: Provider) -> None:
    with pytest.raises(ProviderUnavailable):
        check_provider(provider)
    with pytest.raises(ProviderUnavailable) as caught:
        Sessions(1, provider).network(bright_package(tmp_path, 0.0), "bright.onnx")
    assert (caught.value.provider, caught.value.again) == (provider, Again.NEVER)


@pytest.mark.parametrize("provider", ABSENT)
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_cannot_be_started_is_refused_and_nothing_runs_elsewhere(
    tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime for CUDA without a driver says that it has the provider, and loads the network on the CPU with a mere warning."""
    names = [*ort.get_available_providers(), *ort.get_all_providers()]
    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    with pytest.raises(ProviderUnavailable) as caught:
        Sessions(1, provider).network(bright_package(tmp_path, 0.0), "bright.onnx")
    assert caught.value.provider is provider
