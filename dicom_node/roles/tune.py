"""Which settings are the fastest for the networks on this machine, tried in the inference process as the worker has it."""

from collections.abc import Mapping

from dicom_node import infer
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import InferenceError
from dicom_node.infer import process
from dicom_node.node import load_packages
from dicom_node.texts import Reader, render_error
from dicom_node.values import Trial

from .device import open_device

_LIMIT_S = 3600.0  # for one package: a large network on a few cores takes seconds for a window


def tune_packages(config: Config, clock: Clock) -> tuple[Mapping[str, tuple[Trial, ...]], tuple[str, ...]]:
    """Every package's trials, by its name, and a line for each that could not be tried; what was found is kept in the data folder."""
    settings = config.node.infer
    device_name = process.describe_device(process.count_threads(settings.threads), settings.provider)
    trials: dict[str, tuple[Trial, ...]] = {}
    failed = []
    packages = load_packages(config)
    with open_device(config, clock) as device:
        for package in packages:
            request = infer.TuneRequest(str(package.folder), package.ref.digest)
            try:
                found = device.try_settings(request, time_limit_s=_LIMIT_S, memory_limit_mb=package.manifest.running.memory_limit_mb)
            except InferenceError as error:
                failed.append(f"{package.folder}: {render_error(error, Reader.ADMINISTRATOR, config.node.language)}")
                continue
            process.keep_settings(config.tuned, device_name, package.ref.digest, found)
            trials[package.ref.name] = found
    return trials, tuple(failed)


def as_table(trials: Mapping[str, tuple[Trial, ...]]) -> str:
    """A line for each trial, those that are kept marked; a package whose networks see whole volumes has nothing to be tuned."""
    lines = [f"{'package':24} {'network':24} {'threads':>7} {'at once':>7} {'ms each':>9}"]
    for name, tried in trials.items():
        lines += [
            f"{name:24} {trial.model:24} {trial.threads:7} {trial.batch:7} {trial.item_ms:9.2f}{'  kept' if trial.is_kept else ''}"
            for trial in tried
        ]
        lines += [] if tried else [f"{name:24} nothing to be tuned"]
    return "\n".join(lines)
