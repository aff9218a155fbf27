"""The stages of a package, run on a volume in a child process that may crash, hang or be killed without harm to the rest."""

from .child import Readers, serve
from .classify import find_scores, sample_patches
from .detect import find_blobs
from .device import Device
from .growth import grow
from .lungs import find_lungs
from .regions import Candidate, Region
from .request import AheadRequest, ExampleRequest, Request, TuneRequest, VolumeAheadRequest
from .run import RunIdentity, run_stages
from .sessions import Sessions, check_provider, count_threads
from .tuning import describe_device, keep_settings, read_settings

__all__ = [
    "AheadRequest",
    "Candidate",
    "Device",
    "ExampleRequest",
    "Readers",
    "Region",
    "Request",
    "RunIdentity",
    "Sessions",
    "TuneRequest",
    "VolumeAheadRequest",
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
