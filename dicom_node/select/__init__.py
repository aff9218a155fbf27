"""Which model is asked about which volume: every package about every volume, each answer with its reasons."""

from .judge import judge
from .passed_over import find_passed_over

__all__ = ["find_passed_over", "judge"]
