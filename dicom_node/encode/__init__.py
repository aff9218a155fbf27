"""A result as DICOM objects, or why there is none; pure and always the same, and read back before anyone sends them."""

from .compare import compare
from .compare_refusal import compare_refusal
from .compare_rejection import compare_rejection
from .fitting import find_unwritable, is_unwritable
from .kinds import KINDS, SteppedDown, find_classes, is_for_people, step_down
from .objects import encode, encode_refusal, encode_rejection
from .profile import Profile

__all__ = [
    "KINDS",
    "Profile",
    "SteppedDown",
    "compare",
    "compare_refusal",
    "compare_rejection",
    "encode",
    "encode_refusal",
    "encode_rejection",
    "find_classes",
    "find_unwritable",
    "is_for_people",
    "is_unwritable",
    "step_down",
]
