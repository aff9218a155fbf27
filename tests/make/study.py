"""The phantom as a whole series, small enough to be sent through a node in a test."""

from functools import cache
from typing import Any

from pydicom.dataset import Dataset

from .chest import chest
from .series import make_series

SHAPE = (88, 256, 256)
SPACING_MM = (3.0, 1.4, 1.4)


def make_chest(*, name: str = "chest", patient: dict[str, Any] | None = None) -> list[Dataset]:
    """A chest CT with planted nodules, in slice order."""
    sample = _sampled()
    return make_series(sample, shape=SHAPE, spacing_mm=SPACING_MM, name=name, patient=patient)


@cache
def _sampled() -> Any:
    return chest()[0]
