"""Studies as fast as they can be sent: made once, then written again under other UIDs of the same length."""

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from tests.make.series import make_series
from tests.peers.modality import encode
from tests.peers.part10 import Encoded

# (slices, rows, columns) and their distances in mm: from 60 kB to 3.5 MB. Each holds the ball that the package finds.
SIZES = (
    ((12, 40, 40), (3.0, 3.0, 3.0)),
    ((12, 40, 40), (3.0, 3.0, 3.0)),
    ((24, 96, 96), (2.0, 1.5, 1.5)),
    ((48, 192, 192), (1.5, 1.0, 1.0)),
)
_LEVEL_HU, _RADIUS_MM = 600.0, 12.0
_UID = re.compile(rb"2\.25\.\d{30,}")
_PATIENT = "SOAK-{:08}"


class Kind(Enum):
    """How a study is sent."""

    PLAIN = "plain"
    TWO_ASSOCIATIONS = "two associations at once"
    DUPLICATES = "part of it twice"
    BROKEN = "the connection cut in the middle of an image, then again"
    LATE = "its last images when the first report is there"
    STRANGER = "after calls that are refused: an unknown title, an object that is none"


@dataclass(frozen=True)
class Study:
    """One study and how it goes."""

    number: int
    kind: Kind
    study_instance_uid: str
    instances: Sequence[Encoded]


class Studies:
    """Makes study after study: every kind in every size, in turn."""

    def __init__(self) -> None:
        self._templates = [_make_template(*size) for size in SIZES]

    def make(self, number: int) -> Study:
        kinds = tuple(itertools.product(Kind, range(len(SIZES))))
        # 11 has no factor in common with their number, so that neighbours differ in both.
        kind, size = kinds[number * 11 % len(kinds)]
        template = self._templates[size]
        renamed = [_rename(instance, number) for instance in template]
        return Study(number, kind, _renamed(template_study(template), number), renamed)


def template_study(template: Sequence[Encoded]) -> str:
    """The Study Instance UID of instances."""
    found = re.search(rb"\x20\x00\x0d\x00UI..([0-9.]+)", template[0].data_set, re.DOTALL)
    assert found is not None
    return found[1].decode()


def _make_template(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> list[Encoded]:
    def sample(lps: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.linalg.norm(lps - (4.0, -6.0, 3.0), axis=-1) < _RADIUS_MM, _LEVEL_HU, -50.0)

    name = f"soak {shape}"
    patient = {"PatientID": _PATIENT.format(0)}
    return [encode(instance) for instance in make_series(sample, shape=shape, spacing_mm=spacing_mm, name=name, patient=patient)]


def _rename(instance: Encoded, number: int) -> Encoded:
    content = _UID.sub(lambda found: _renamed(found[0].decode(), number).encode(), instance.data_set)
    content = content.replace(_PATIENT.format(0).encode(), _PATIENT.format(number).encode())
    return Encoded(instance.sop_class_uid, _renamed(instance.sop_instance_uid, number), instance.transfer_syntax_uid, content)


def _renamed(uid: str, number: int) -> str:
    """Another UID of the same length below 2.25 (PS3.5 B.2)."""
    digits = len(uid) - len("2.25.")
    drawn = int.from_bytes(hashlib.sha256(f"{uid} {number}".encode()).digest(), "big") % 10 ** (digits - 1)
    return f"2.25.1{drawn:0{digits - 1}}"
