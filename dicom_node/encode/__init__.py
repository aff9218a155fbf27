"""A result as DICOM objects, or why there is none; pure and always the same, and read back before anyone sends them."""

from .compare import compare
from .compare_refusal import compare_refusal
from .objects import encode, encode_refusal
from .profile import Profile

__all__ = ["Profile", "compare", "compare_refusal", "encode", "encode_refusal"]
