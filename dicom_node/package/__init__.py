"""A model package as values: what it is, what it accepts, its stages, its outputs, its example."""

from .check import Package, load_package
from .example import Example, ExpectedFinding, find_failure
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
    Skip,
    Stage,
    ThresholdSegment,
    Window,
)

__all__ = [
    "BlobDetect",
    "Condition",
    "Example",
    "ExpectedFinding",
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
    "Skip",
    "Stage",
    "ThresholdSegment",
    "Window",
    "find_failure",
    "load_package",
]
