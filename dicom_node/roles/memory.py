"""Memory that is not used any more goes back to the machine, so that a worker needs after months what it needs after a minute."""

import ctypes
import gc


def give_back_memory() -> None:
    """Free what only cycles hold, then what lies free between other things.

    Python looks at old objects the more seldom the more there are (highdicom's tables alone are hundreds of thousands), and glibc
    gives back only what lies at the end of its heap: at full rate a worker grew by 40 MiB an hour (docs/soak.md).
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own; others give back by themselves
    if trim is not None:
        trim(0)
