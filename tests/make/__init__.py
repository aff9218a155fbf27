"""Series whose truth is known: `from tests.make import make_series, base_anatomy`."""

from .anatomy import BALL_CENTRE_LPS, BALL_RADIUS_MM, MARKER_CENTRE_LPS, MARKER_HU, Sample, ball, base_anatomy
from .mammogram import draw_breast, make_mammograms
from .series import (
    AXIAL,
    CORONAL,
    OBLIQUE,
    SAGITTAL,
    make_series,
    move,
    to_refs,
    true_lps_from_index,
    write_dataset,
    write_series,
)

__all__ = [
    "AXIAL",
    "BALL_CENTRE_LPS",
    "BALL_RADIUS_MM",
    "CORONAL",
    "MARKER_CENTRE_LPS",
    "MARKER_HU",
    "OBLIQUE",
    "SAGITTAL",
    "Sample",
    "ball",
    "base_anatomy",
    "draw_breast",
    "make_mammograms",
    "make_series",
    "move",
    "to_refs",
    "true_lps_from_index",
    "write_dataset",
    "write_series",
]
