"""A result as DICOM objects, or why there is none; pure and always the same, and read back before anyone sends them."""

from .compare import compare
from .compare_refusal import compare_refusal
from .kinds import KINDS, SteppedDown, find_classes, step_down
from .objects import encode, encode_refusal
from .profile import Profile

__all__ = [
    "KINDS",
    "Profile",
    "SteppedDown",
    "compare",
    "compare_refusal",
    "encode",
    "encode_refusal",
    "find_classes",
    "step_down",
]
