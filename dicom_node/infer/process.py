"""What runs in the inference process: the second door of this folder, since nobody else is to load the native libraries behind it."""

from .child import Readers, serve
from .classify import find_scores, sample_patches
from .detect import find_blobs
from .growth import grow
from .lungs import find_lungs
from .regions import Candidate, Region
from .run import RunIdentity, run_stages
from .sessions import Sessions, check_provider, count_threads
from .tuning import describe_device, keep_settings, read_settings

__all__ = [
    "Candidate",
    "Readers",
    "Region",
    "RunIdentity",
    "Sessions",
    "check_provider",
    "count_threads",
    "describe_device",
    "find_blobs",
    "find_lungs",
    "find_scores",
    "grow",
    "keep_settings",
    "read_settings",
    "run_stages",
    "sample_patches",
    "serve",
]
