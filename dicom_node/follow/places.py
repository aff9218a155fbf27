"""Places of one scan in the other."""

import numpy as np
import numpy.typing as npt

from dicom_node.values import Affine, Geometry

Points = npt.NDArray[np.float64]


def move(affine: Affine, lps: npt.ArrayLike, *, backwards: bool = False) -> Points:
    """Places (..., 3) in LPS millimetres by an affine, or by its inverse."""
    matrix = np.array(affine, dtype=np.float64)
    matrix = np.asarray(np.linalg.inv(matrix), dtype=np.float64) if backwards else matrix
    return np.asarray(np.asarray(lps, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3])


def as_affine(matrix: npt.NDArray[np.float64], digits: int) -> Affine:
    """Four rows of four, rounded: the last bits differ between machines, and the result must not."""
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in np.round(matrix, digits) + 0.0)


def is_inside(lps: npt.ArrayLike, geometry: Geometry, margin_mm: float) -> bool:
    """Whether a place lies in a volume, and not within the margin of its faces."""
    assert geometry.lps_from_index is not None
    index = move(geometry.lps_from_index, lps, backwards=True)
    margin = margin_mm / np.array(geometry.spacing_mm)
    return bool(np.all(index >= margin - 0.5) and np.all(index <= np.array(geometry.shape) - 0.5 - margin))
