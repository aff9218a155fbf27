"""Sizes of findings from their masks: the same for each model, whatever it measures."""

import math

import numpy as np

from dicom_node.values import Finding, Geometry

_LONG_AXIS = ("103339001", "SCT")


def volume_mm3(finding: Finding, geometry: Geometry) -> float:
    """Voxels times the volume of one."""
    return float(np.count_nonzero(finding.mask.voxels)) * voxel_mm3(geometry)


def voxel_mm3(geometry: Geometry) -> float:
    assert geometry.lps_from_index is not None
    return float(abs(np.linalg.det(np.array(geometry.lps_from_index)[:3, :3])))


def radius_mm(finding: Finding, geometry: Geometry) -> float:
    """The radius of the ball of the same volume."""
    return math.cbrt(3 * volume_mm3(finding, geometry) / (4 * math.pi))


def long_axis_mm(finding: Finding) -> float | None:
    """The long axis as the model measured it, or None where it did not."""
    return next((one.value for one in finding.measurements if (one.concept.value, one.concept.scheme) == _LONG_AXIS), None)
