"""The stages of a package, run on a volume in a child process that may crash, hang or be killed without harm to the rest.

Here is the side that asks; what runs in that process is behind `infer.process`, as it loads native libraries.
"""

from .device import Device
from .request import AheadRequest, ExampleRequest, Request, TuneRequest, VolumeAheadRequest

__all__ = ["AheadRequest", "Device", "ExampleRequest", "Request", "TuneRequest", "VolumeAheadRequest"]
