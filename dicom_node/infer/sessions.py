"""ONNX Runtime sessions: one per model file, kept warm; asked for by name and refused by name, never replaced in silence."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from dicom_node.errors import InferenceError, ModelUnusable, ProviderUnavailable
from dicom_node.package import Package
from dicom_node.values import Provider

from .inputs import Floats
from .windows import Network

_CANNOT_START = (failures.EPFail, failures.NotFound, failures.RuntimeException, RuntimeError, ValueError)
_CANNOT_LOAD = (
    failures.Fail, failures.InvalidArgument, failures.InvalidGraph, failures.InvalidProtobuf, failures.NoSuchFile,
    failures.NotImplemented, *_CANNOT_START,
)  # fmt: skip
CANNOT_RUN = (failures.Fail, failures.RuntimeException)  # memory, above all
_PROVIDERS = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.OPENVINO: "OpenVINOExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
}
# Models were validated in single precision: where a provider would round further by itself, it is told not to.
_OPTIONS: dict[Provider, dict[str, str]] = {
    Provider.CPU: {},
    Provider.OPENVINO: {"device_type": "CPU", "precision": "FP32"},
    Provider.CUDA: {"use_tf32": "0"},
    Provider.TENSORRT: {},
}
_LEFT_TO_CPU = "fallback to CPU EP has been explicitly disabled"  # ONNX Runtime's words where the provider does not take every node
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def count_threads(asked: int = 0, quota_file: Path = _CPU_QUOTA) -> int:
    """As many threads as asked for, or, for 0, as the process may use: its cores, and the quota of its control group."""
    if asked:
        return asked
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or "max": no quota
        return cores


def check_provider(provider: Provider) -> None:
    """Raises ProviderUnavailable where ONNX Runtime was built without it. That its driver is there shows only with a network."""
    if _PROVIDERS[provider] not in ort.get_available_providers():
        raise ProviderUnavailable(provider)


@dataclass(frozen=True, slots=True)
class Setting:
    """With how many threads a network is run, and how many items it gets at once."""

    threads: int
    batch: int


class Sessions:
    """The networks of all packages that this process has run. `tuned`: settings by package digest and model (`tuning`)."""

    def __init__(
        self, threads: int, provider: Provider = Provider.CPU, tuned: Mapping[tuple[str, str], Setting] = MappingProxyType({})
    ) -> None:
        self.threads, self.provider, self._tuned = threads, provider, tuned
        self._networks: dict[tuple[str, str], Network] = {}

    def network(self, package: Package, model: str) -> Network:
        """The network of a model file of the package; raises ModelUnusable or ProviderUnavailable where it cannot be run as it should."""
        key = (package.ref.digest, model)
        if key not in self._networks:
            threads = self._tuned[key].threads if key in self._tuned else self.threads
            self._networks[key] = self._load(package.folder / model, threads)
        return self._networks[key]

    def batch(self, package: Package, model: str) -> int | None:
        """How many items the network gets at once on this machine; None where it was not tuned: as the package declares."""
        setting = self._tuned.get((package.ref.digest, model))
        return None if setting is None else setting.batch

    def _load(self, file: Path, threads: int) -> Network:
        check_provider(self.provider)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # given, so that ONNX Runtime binds no thread to a core
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other processes share the cores
        options.log_severity_level = 4
        if self.provider is not Provider.CPU:  # else ONNX Runtime gives the CPU what the provider does not take, or everything
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        name = _PROVIDERS[self.provider]
        try:
            session = ort.InferenceSession(str(file), options, providers=[(name, _OPTIONS[self.provider])], enable_fallback=0)
        except _CANNOT_LOAD as cause:
            raise self._refusal(cause, file) from cause
        if session.get_providers()[0] != name:
            raise ProviderUnavailable(self.provider)
        if len(session.get_inputs()) != 1:
            raise ModelUnusable(model=file.name)
        return _network(session, file.name)

    def _refusal(self, cause: Exception, file: Path) -> InferenceError:
        """Whose fault it is that there is no session: the provider's, where it cannot start or leaves nodes over, or the model's."""
        is_of_provider = isinstance(cause, _CANNOT_START) or _LEFT_TO_CPU in str(cause)
        if self.provider is not Provider.CPU and is_of_provider:
            return ProviderUnavailable(self.provider)
        return ModelUnusable(model=file.name)


def _network(session: ort.InferenceSession, model: str) -> Network:
    """A session as a function. A model that takes one item at a time gets one at a time."""
    wanted = session.get_inputs()[0]
    output = session.get_outputs()[0].name
    takes_one = wanted.shape[0] == 1

    def run(batch: Floats) -> Floats:
        parts = [batch[number : number + 1] for number in range(len(batch))] if takes_one else [batch]
        try:
            outputs = [session.run([output], {wanted.name: np.ascontiguousarray(part)})[0] for part in parts]
        except failures.InvalidArgument as cause:  # the package's sizes are not the network's
            raise ModelUnusable(model=model) from cause
        joined = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return joined.astype(np.float32, copy=False)

    return run
