"""What the node asks of the inference process, and how it is written between the two: one line of JSON each way."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from dicom_node.values import Geometry, InstanceRef, Reservation, ResultIdentity, StoredSeries
from dicom_node.values.codec import from_plain, to_plain

# A longer line is no request: some 100 000 instances have room.
LONGEST_LINE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """Run the package in the folder `package` on one volume of a series that lies in the folder `spool`.

    `package_digest`, where it is given, must be that of the folder's files: a package changed under the node's feet is not run.
    `wants_scores`: somebody is to get the score of each voxel, where a stage gives one.
    """

    package: str
    spool: str
    stored: StoredSeries
    geometry: Geometry
    identity: ResultIdentity
    reservations: tuple[Reservation, ...] = ()
    package_digest: str | None = None
    wants_scores: bool = False


@dataclass(frozen=True, slots=True)
class ExampleRequest:
    """Run the package in the folder `package` on its own example. The answer is None, or the reason why it is not fit for service."""

    package: str
    package_digest: str | None = None


@dataclass(frozen=True, slots=True)
class AheadRequest:
    """Read the headers and pixels of images that are on their way to a model, in the folder `spool`. The answer is None."""

    spool: str
    instances: tuple[InstanceRef, ...]


@dataclass(frozen=True, slots=True)
class VolumeAheadRequest:
    """Read a volume whose images may all be here, in the folder `spool`, for the request that may follow. The answer is None."""

    spool: str
    stored: StoredSeries
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """Try the networks of the package in the folder `package` with several settings. The answer is a tuple of Trials."""

    package: str
    package_digest: str | None = None


AnyRequest = Request | ExampleRequest | AheadRequest | VolumeAheadRequest | TuneRequest


@dataclass(frozen=True, slots=True)
class Task:
    """A request with where its answer goes (a file that is not there yet), and the memory that it may use; 0 leaves the limit as it is."""

    request: AnyRequest
    output: str
    memory_limit_mb: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The child's word: it is ready, or done with a task. `error` is the class of the exception that ended the task, `for_now` whether
    it was the machine's and may work later."""

    error: str | None = None
    for_now: bool = False


_KINDS: dict[str, type[AnyRequest]] = {
    kind.__name__: kind for kind in (Request, ExampleRequest, AheadRequest, VolumeAheadRequest, TuneRequest)
}


def write_task(task: Task) -> bytes:
    """A task as one line."""
    request = {field.name: to_plain(getattr(task.request, field.name)) for field in dataclasses.fields(task.request)}
    plain = {"kind": type(task.request).__name__, "request": request, "output": task.output, "memory_limit_mb": task.memory_limit_mb}
    return json.dumps(plain, allow_nan=False).encode("ascii") + b"\n"


def parse_task(line: bytes) -> Task:
    """The task of a line; raises ValueError where it is none."""
    plain: Any = json.loads(line)
    try:
        request = _KINDS[plain["kind"]](**{name: from_plain(value) for name, value in plain["request"].items()})
        return Task(request=request, output=str(plain["output"]), memory_limit_mb=int(plain["memory_limit_mb"]))
    except (KeyError, TypeError, AttributeError) as cause:
        raise ValueError("no task") from cause


def write_reply(reply: Reply) -> bytes:
    """A reply as one line."""
    return json.dumps({"error": reply.error, "for_now": reply.for_now}).encode("ascii") + b"\n"


def parse_reply(line: bytes) -> Reply:
    """The reply of a line; raises ValueError where it is none."""
    plain = json.loads(line)
    if not isinstance(plain, dict) or not isinstance(plain.get("error"), str | None):
        raise ValueError("no reply")
    return Reply(error=plain.get("error"), for_now=plain.get("for_now") is True)
