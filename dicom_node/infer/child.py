"""The child's side: one task after the other, each answered whatever happens; the end of the parent is the end of the child."""

import errno
import os
import queue
import resource
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, assert_never

from dicom_node.errors import ModelUnusable, is_for_now
from dicom_node.package import Package, find_failure
from dicom_node.values import (
    CompletenessRule,
    Geometry,
    InstanceRef,
    NotAnalysed,
    Reason,
    Reservation,
    Result,
    SeriesHeaders,
    StoredSeries,
    Trial,
    Volume,
    codec,
)

from .request import (
    LONGEST_LINE_BYTES,
    AheadRequest,
    AnyRequest,
    ExampleRequest,
    Reply,
    Request,
    TuneRequest,
    VolumeAheadRequest,
    parse_task,
    write_reply,
)
from .run import RunIdentity, run_stages
from .sessions import Sessions
from .tuning import try_settings

# An example is of no patient, and its result goes nowhere.
_EXAMPLE = RunIdentity(key="example", study_instance_uid="", series_instance_uid="")


class ReadHeaders(Protocol):
    """Headers of a series from the spool (`spool.read_headers`)."""

    def __call__(
        self,
        root: Path,
        instances: tuple[InstanceRef, ...],
        *,
        series_instance_uid: str,
        study_instance_uid: str,
        rule: CompletenessRule,
    ) -> SeriesHeaders: ...


@dataclass(frozen=True, slots=True)
class Readers:
    """What the child is handed of the node's other parts, which it may not import; and the time, for the stages' seconds."""

    read_headers: ReadHeaders
    read_ahead: Callable[[Path, tuple[InstanceRef, ...]], None]
    read_volume: Callable[[Path, SeriesHeaders, Geometry], Volume | Reason]
    read_volume_ahead: Callable[[Path, SeriesHeaders, Geometry], None]
    load_package: Callable[[Path], Package]
    monotonic: Callable[[], float]


def serve(tasks: BinaryIO, replies: BinaryIO, readers: Readers, sessions: Sessions, on_error: Callable[[BaseException], None]) -> None:
    """Answer tasks, each a line, until `tasks` ends; then the process ends, at once, whatever it is doing.

    An exception ends its task, not the child: the reply names its class, `on_error` gets it. Memory beyond a task's limit is
    refused to it by the operating system, which shows as MemoryError here or as the end of the process.
    """
    waiting: queue.Queue[bytes] = queue.Queue(maxsize=1)
    threading.Thread(target=_read_tasks, args=(tasks, waiting), daemon=True).start()
    packages: dict[str, Package] = {}
    replies.write(write_reply(Reply()))
    replies.flush()
    while True:
        replies.write(write_reply(_answer(waiting.get(), readers, sessions, packages, on_error)))
        replies.flush()


def _read_tasks(tasks: BinaryIO, waiting: queue.Queue[bytes]) -> None:
    """Runs in a thread of its own, so that the end of the pipe, which is the end of the parent, is seen during a task too."""
    while line := tasks.readline(LONGEST_LINE_BYTES):
        waiting.put(line)
    os._exit(0)


def _answer(
    line: bytes, readers: Readers, sessions: Sessions, packages: dict[str, Package], on_error: Callable[[BaseException], None]
) -> Reply:
    try:
        task = parse_task(line)
        if task.memory_limit_mb:
            _limit_memory(task.memory_limit_mb)
        _write(Path(task.output), codec.dump(_run(task.request, readers, sessions, packages)))
    except Exception as error:  # noqa: BLE001  the outermost handler of a task
        on_error(error)
        # memory is refused to it at the model's own limit
        return Reply(error=type(error).__name__, for_now=is_for_now(error) and getattr(error, "errno", 0) != errno.ENOMEM)
    return Reply()


def _run(
    request: AnyRequest, readers: Readers, sessions: Sessions, packages: dict[str, Package]
) -> Result | Reason | tuple[Trial, ...] | None:
    match request:
        case Request():
            return _run_series(request, _find_package(request, readers, packages), readers, sessions)
        case AheadRequest(root, instances):
            readers.read_ahead(Path(root), instances)
            return None
        case VolumeAheadRequest(root, stored, geometry):
            readers.read_volume_ahead(Path(root), _read_headers(readers, root, stored), geometry)
            return None
        case ExampleRequest():
            package = _find_package(request, readers, packages)
            result = run_stages(package, package.example.volume, _EXAMPLE, sessions, readers.monotonic)
            return find_failure(package.example, result)
        case TuneRequest():
            return try_settings(_find_package(request, readers, packages), sessions.threads, sessions.provider, readers.monotonic)
        case _:
            assert_never(request)


def _run_series(request: Request, package: Package, readers: Readers, sessions: Sessions) -> Result:
    stored = request.stored
    headers = _read_headers(readers, request.spool, stored)
    volume = readers.read_volume(Path(request.spool), headers, request.geometry)
    identity = RunIdentity(
        key=request.identity.key,
        study_instance_uid=stored.study_instance_uid,
        series_instance_uid=stored.series_instance_uid,
        reservations=_reservations(request, headers),
        predecessor_key=request.identity.predecessor_key,
        modality=next((value for one in headers.instances for value in one.attribute("Modality")), ""),
    )
    if isinstance(volume, Reason):
        return NotAnalysed(identity.key, identity.study_instance_uid, identity.series_instance_uid, package.ref, volume)
    return run_stages(package, volume, identity, sessions, readers.monotonic, wants_scores=request.wants_scores)


def _read_headers(readers: Readers, root: str, stored: StoredSeries) -> SeriesHeaders:
    return readers.read_headers(
        Path(root),
        stored.instances,
        series_instance_uid=stored.series_instance_uid,
        study_instance_uid=stored.study_instance_uid,
        rule=stored.rule,
    )


def _reservations(request: Request, headers: SeriesHeaders) -> tuple[Reservation, ...]:
    """Those of the request, and what geometry and headers say of the series."""
    known = {reservation.value for reservation in Reservation}
    tolerated = (Reservation(text) for text in request.geometry.tolerated if text in known)
    is_lossy = any("01" in instance.attribute("LossyImageCompression") for instance in headers.instances)
    lossy = (Reservation.LOSSY_SOURCE,) if is_lossy else ()
    return tuple(dict.fromkeys((*request.reservations, *lossy, *tolerated)))


def _find_package(request: Request | ExampleRequest | TuneRequest, readers: Readers, packages: dict[str, Package]) -> Package:
    """The package of the folder, read once and kept; read again where its digest is not the one that is asked for."""
    known = packages.get(request.package)
    if known is None or request.package_digest not in (None, known.ref.digest):
        known = packages[request.package] = readers.load_package(Path(request.package))
    if request.package_digest not in (None, known.ref.digest):
        raise ModelUnusable(model="package.toml")
    return known


def _limit_memory(limit_mb: int) -> None:
    """Limit the process' own writable memory; mapped files and reserved addresses do not count."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all; the parent reads it in the same moment, so it need not survive a power cut."""
    partial = file.with_suffix(".part")
    partial.write_bytes(content)
    partial.replace(file)
