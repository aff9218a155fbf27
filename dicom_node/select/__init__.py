"""Which model is asked about which volume: every package about every volume, each answer with its reasons."""

from .conditions import describe_condition
from .judge import judge
from .passed_over import find_passed_over

__all__ = ["describe_condition", "find_passed_over", "judge"]
