"""Small studies with one bright ball each, and a package that finds it in part of a second: what is tested is not the model."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.infer.examples import BRIGHT, bright_package
from tests.make.series import make_series
from tests.peers.modality import encode
from tests.peers.part10 import Encoded

SLICES = 12
_LEVEL_HU = 300.0
_WINDOW = "size = [16, 16, 16], overlap = 0.25, batch = 2"


def write_package(folder: Path, *, overlap: float = 0.94) -> Path:
    """The package; the overlap of its windows says how long it takes, 0.94 part of a second."""
    stages = BRIGHT.replace(_WINDOW, f"size = [12, 12, 12], overlap = {overlap}, batch = 1")
    assert stages != BRIGHT
    bright_package(folder, _LEVEL_HU, stages=stages)
    return folder


def make_study(name: str, slices: int = SLICES) -> list[Dataset]:
    """A series of its own study and patient; the ball lies elsewhere in each, so that no two have the same pixels."""
    random = np.random.default_rng(list(name.encode()))
    centre_lps = random.uniform(-15, 15, 3)

    def sample(lps: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.linalg.norm(lps - centre_lps, axis=-1) < 12.0, 2 * _LEVEL_HU, -50.0)

    return make_series(sample, shape=(slices, 40, 40), spacing_mm=(3.0, 3.0, 3.0), name=name, patient={"PatientID": name})


def encode_study(name: str, slices: int = SLICES) -> list[Encoded]:
    """The same as they are sent."""
    return [encode(instance) for instance in make_study(name, slices)]


def find_study(name: str) -> str:
    """Its Study Instance UID."""
    return str(make_study(name, 1)[0].StudyInstanceUID)
