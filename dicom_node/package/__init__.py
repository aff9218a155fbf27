"""A model package as values: what it is, what it accepts, its stages, its outputs."""

from .check import Package, load_package
from .manifest import Condition, Manifest, Preference
from .stages import (
    BlobDetect,
    GrowthSegment,
    HeatMapDetect,
    Input,
    Intensity,
    Measure,
    NetworkClassify,
    NetworkSegment,
    Stage,
    ThresholdSegment,
    Window,
)

__all__ = [
    "BlobDetect",
    "Condition",
    "GrowthSegment",
    "HeatMapDetect",
    "Input",
    "Intensity",
    "Manifest",
    "Measure",
    "NetworkClassify",
    "NetworkSegment",
    "Package",
    "Preference",
    "Stage",
    "ThresholdSegment",
    "Window",
    "load_package",
]
