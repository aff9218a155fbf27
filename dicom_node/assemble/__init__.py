"""From the instances of a series to volumes whose every voxel has a known place in the patient, or a typed reason why not."""

from .ahead import FramesAhead, VolumeAhead
from .completeness import SeriesSeen, Wait, is_complete
from .geometry import find_volumes
from .priority import PriorityRule, find_priority
from .room import Room
from .voxels import PIXEL_LIMIT_BYTES, read_volume

__all__ = [
    "PIXEL_LIMIT_BYTES",
    "FramesAhead",
    "PriorityRule",
    "Room",
    "SeriesSeen",
    "VolumeAhead",
    "Wait",
    "find_priority",
    "find_volumes",
    "is_complete",
    "read_volume",
]
