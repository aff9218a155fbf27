"""The body map of a result: what a later scan is laid over when the images have left."""

import numpy as np

from dicom_node.values import BodyMap

from .inputs import Grid, Labels

# Coarse enough for a few kilobytes, fine enough to lay two pairs of lungs over each other within a voxel of the source.
_SPACING_MM = 6.0


def find_body_map(sides: Labels, source: Grid) -> BodyMap:
    """Every n-th voxel of labels (right 1, left 2) on the source grid, so that they lie about `_SPACING_MM` apart."""
    steps = [max(1, round(_SPACING_MM / mm)) for mm in source.spacing_mm]
    labels = np.ascontiguousarray(sides[tuple(slice(None, None, step) for step in steps)])
    labels.setflags(write=False)
    matrix = source.matrix @ np.diag([*steps, 1.0])
    return BodyMap(labels, tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix))
