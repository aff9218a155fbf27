"""Findings across time: two scans are laid over each other, findings paired, and what has become of each is said."""

from .compare import compare_with_prior
from .register import register

__all__ = ["compare_with_prior", "register"]
