"""A result as DICOM objects: a segmentation and a report, pure and always the same, and read back before anyone sends them."""

from .compare import compare
from .kinds import KINDS, SteppedDown, find_classes, step_down
from .objects import encode
from .profile import Profile

__all__ = ["KINDS", "Profile", "SteppedDown", "compare", "encode", "find_classes", "step_down"]
