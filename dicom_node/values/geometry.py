"""Where the voxels of a series lie in the patient."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Affine = tuple[tuple[float, float, float, float], ...]  # 4 rows of 4


class Form(StrEnum):
    """How the source holds its planes."""

    CLASSIC = "classic"  # one instance, one slice
    ENHANCED = "enhanced"  # one instance, many frames with positions of their own
    PROJECTION = "projection"  # radiograph or mammogram: a plane without a place in the patient


@dataclass(frozen=True, slots=True)
class FrameRef:
    """The frame that a slice of a volume comes from; `frame_number` counts from 1."""

    sop_instance_uid: str
    frame_number: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """The grid of one volume.

    `shape` is (slices, rows, columns), `frames` are in slice order (along +normal of the image orientation), `lps_from_index`
    maps (slice, row, column, 1) to LPS millimetres at voxel centres. `spacing_mm` is (between slices, between rows, between
    columns), the first from positions, never from Slice Thickness. `volume_of` says which volume of the series this is where
    it held several (keyword, value), else None. For Form.PROJECTION `lps_from_index` is None: there is no place in the patient.
    """

    form: Form
    frames: tuple[FrameRef, ...]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    slice_thickness_mm: float | None
    lps_from_index: Affine | None
    frame_of_reference_uid: str | None
    volume_of: tuple[str, str] | None = None
    tolerated: tuple[str, ...] = ()  # what was not quite right and taken all the same, such as "localizer-left-out"

    @property
    def pixel_proportions(self) -> tuple[float, float]:
        """Between rows and between columns, in millimetres; (1, 1) where a projection does not say it: its pixels are taken for square."""
        _, rows_mm, columns_mm = self.spacing_mm
        return (rows_mm, columns_mm) if rows_mm > 0 and columns_mm > 0 else (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Volume:
    """Voxel values in modality units (HU for CT) on a `Geometry`.

    `voxels` is (slices, rows, columns), int16 where every rescaled value is whole and fits, else float32; read-only.
    `is_padding` is True where the source says that a pixel is no tissue (Pixel Padding Value), or None where nothing is.
    """

    geometry: Geometry
    voxels: npt.NDArray[np.int16] | npt.NDArray[np.float32]
    is_padding: npt.NDArray[np.bool_] | None = None
