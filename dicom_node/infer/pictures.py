"""The slices on which the findings are largest, windowed to 8 bits: only the inference process has pixels, and objects show them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dicom_node.values import Finding, Picture, Volume

PICTURES_MOST = 20
LONGEST_SIDE = 1024  # of a picture, in pixels; no page shows more

# Centre and width, in HU.
_LUNG = (-600.0, 1500.0)
_SOFT_TISSUE = (40.0, 400.0)
_PERCENTILES = (1, 99)

Window = tuple[float, float]


def make_pictures(volume: Volume, findings: Sequence[Finding], modality: str, at_most: int = PICTURES_MOST) -> tuple[Picture, ...]:
    """A picture of each slice on which a finding is largest, each slice once, in the order of the findings, `at_most` in all.

    The window is that of the first finding of the slice: on CT the lung's, or that of soft tissue; on other modalities from the 1st to
    the 99th percentile of the slice.
    """
    first_on: dict[int, Finding] = {}
    for finding in findings:
        first_on.setdefault(finding.mask.largest_slice, finding)
    return tuple(_picture(volume, index, finding, modality) for index, finding in list(first_on.items())[:at_most])


def _picture(volume: Volume, index: int, finding: Finding, modality: str) -> Picture:
    plane, is_padding = volume.voxels[index], None if volume.is_padding is None else volume.is_padding[index]
    centre, width = _window(plane if is_padding is None else plane[~is_padding], finding, modality)
    reduced_by = min(-(-max(plane.shape) // LONGEST_SIDE), *plane.shape)  # a strip stays a strip
    shown = _reduce(_show(plane, is_padding, centre, width), reduced_by)
    shown.setflags(write=False)
    return Picture(index, shown, centre, width, reduced_by)


def _window(values: npt.NDArray[Any], finding: Finding, modality: str) -> Window:
    """Centre and width in modality units; the width is at least 1, as the standard wants it (PS3.3 C.11.2.1.2)."""
    if modality == "CT":
        return _LUNG if _is_of_lung(finding) else _SOFT_TISSUE
    lowest, highest = np.percentile(values, _PERCENTILES) if values.size else (0.0, 1.0)
    return round((float(lowest) + float(highest)) / 2, 3), max(round(float(highest) - float(lowest), 3), 1.0)


def _is_of_lung(finding: Finding) -> bool:
    """By the words of its codes: the lung has dozens of parts with codes of their own, and a window is a matter of looks."""
    meanings = [finding.type.meaning, "" if finding.site is None else finding.site.meaning]
    return any("lung" in meaning.lower() for meaning in meanings)


def _show(
    plane: npt.NDArray[np.int16] | npt.NDArray[np.float32], is_padding: npt.NDArray[np.bool_] | None, centre: float, width: float
) -> npt.NDArray[np.uint8]:
    """Modality values as grey levels, 0 to 255, in a linear ramp over the window."""
    grey = (plane.astype(np.float32) - np.float32(centre - width / 2)) * np.float32(255 / width)
    shown: npt.NDArray[np.uint8] = np.rint(np.clip(grey, 0, 255, out=grey), out=grey).astype(np.uint8)
    if is_padding is not None:
        shown[is_padding] = 0
    return shown


def _reduce(shown: npt.NDArray[np.uint8], by: int) -> npt.NDArray[np.uint8]:
    if by == 1:
        return shown
    rows, columns = (extent // by for extent in shown.shape)
    squares = shown[: rows * by, : columns * by].reshape(rows, by, columns, by)
    means: npt.NDArray[np.uint8] = np.rint(squares.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8)
    return means
