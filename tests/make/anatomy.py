"""What a made patient looks like: functions from LPS millimetres to Hounsfield units, so that any slice geometry shows the same."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Sample = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]  # LPS (..., 3) in mm -> HU (...)

AIR_HU = -1000.0
SOFT_TISSUE_HU = 40.0
BALL_HU = 300.0
MARKER_HU = 1200.0

BALL_CENTRE_LPS = (14.0, -9.0, 8.0)
BALL_RADIUS_MM = 8.0
MARKER_CENTRE_LPS = (-26.0, 12.0, -15.0)
MARKER_RADIUS_MM = 4.0


def ball(centre_lps: tuple[float, float, float], radius_mm: float, *, inside: float, outside: float) -> Sample:
    """A ball of one value in surroundings of another."""

    def sample(lps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        distance_mm = np.linalg.norm(lps - np.asarray(centre_lps), axis=-1)
        return np.where(distance_mm <= radius_mm, inside, outside)

    return sample


def base_anatomy(lps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Air, in it an ellipsoid of soft tissue (half axes 44, 32, 38 mm round the origin), in that one ball and one small marker.

    The ball lies left, anterior and superior of the middle, the marker right, posterior and inferior: no mirror or turn of the
    picture looks like it.
    """
    ellipsoid = np.sum((lps / np.array([44.0, 32.0, 38.0])) ** 2, axis=-1) <= 1.0
    values = np.where(ellipsoid, SOFT_TISSUE_HU, AIR_HU)
    values[np.linalg.norm(lps - np.array(BALL_CENTRE_LPS), axis=-1) <= BALL_RADIUS_MM] = BALL_HU
    values[np.linalg.norm(lps - np.array(MARKER_CENTRE_LPS), axis=-1) <= MARKER_RADIUS_MM] = MARKER_HU
    return values
