"""Which model is asked about which volume: every package about every volume, each answer with its reasons."""

from .judge import judge

__all__ = ["judge"]
