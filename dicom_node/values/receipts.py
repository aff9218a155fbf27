"""What the journal answers to a receipt."""

from enum import StrEnum


class Known(StrEnum):
    """Whether an instance was there before."""

    NEW = "new"
    SAME = "same"  # sent again with the same bytes: one instance
    CONFLICT = "conflict"  # sent again with other bytes: set aside, the first ones stay
