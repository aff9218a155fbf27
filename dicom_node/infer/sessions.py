"""ONNX Runtime sessions: one per model file, kept warm; asked for by name and refused by name, never replaced in silence."""

import math
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from dicom_node.errors import ModelUnusable
from dicom_node.package import Package

from .inputs import Floats
from .windows import Network

_CANNOT_LOAD = (
    failures.Fail, failures.InvalidArgument, failures.InvalidGraph, failures.InvalidProtobuf, failures.NoSuchFile,
    failures.NotImplemented, failures.RuntimeException, ValueError,
)  # fmt: skip
_PROVIDERS = ["CPUExecutionProvider"]
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


class Sessions:
    """The networks of all packages that this process has run."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._networks: dict[tuple[str, str], Network] = {}

    def network(self, package: Package, model: str) -> Network:
        """The network of a model file of the package; raises ModelUnusable where it cannot be loaded as it should be."""
        key = (package.ref.digest, model)
        if key not in self._networks:
            self._networks[key] = self._load(package.folder / model)
        return self._networks[key]

    def _load(self, file: Path) -> Network:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads  # given, so that ONNX Runtime binds no thread to a core
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other processes share the cores
        options.log_severity_level = 4
        try:
            session = ort.InferenceSession(str(file), options, providers=_PROVIDERS)
        except _CANNOT_LOAD as cause:
            raise ModelUnusable(model=file.name) from cause
        session.disable_fallback()
        if session.get_providers() != _PROVIDERS or len(session.get_inputs()) != 1:
            raise ModelUnusable(model=file.name)
        return _network(session, file.name)


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
        return np.concatenate(outputs).astype(np.float32, copy=False)

    return run
