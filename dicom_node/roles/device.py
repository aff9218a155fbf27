"""How a role comes to an inference process of its own, without loading what is loaded in there."""

import sys
from pathlib import Path

from dicom_node import infer
from dicom_node.clock import Clock
from dicom_node.config import Config, InferSection


def open_device(config: Config, clock: Clock) -> infer.Device:
    """The device as it is configured; the process starts with its first task."""
    return infer.Device(command(config.node.infer, config.tuned), clock)


def command(settings: InferSection, tuned: Path) -> tuple[str, ...]:
    """How `infer.Device` starts the process, with the file of settings that were tuned; the descriptor comes behind it."""
    return (sys.executable, "-m", "dicom_node.roles.inference", str(settings.threads), settings.provider, str(tuned))
