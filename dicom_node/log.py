"""The only way to a log line: events as classes, whose fields cannot hold a patient's value.

A field is a `Key`, `PeerName`, `PackageName`, `AETitle`, `SourceLine`, number, bool, enum, or the class of a reason or error: `str` is
refused by a test.
Lines of foreign libraries keep level and place and lose their text, since libraries put values into messages.
"""

import dataclasses
import json
import logging
import sys
import threading
import traceback
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from dicom_node.errors import CommitmentRefused, NotHeld, TLSFault
from dicom_node.values import AETitle, CompletenessRule, DeliveryState, Key, PackageName, PeerName, Proof, SearchEnd, SourceLine


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. `failed` ones are written as warnings."""


class Failed:
    """Mixed into events that an administrator should see."""

    __slots__ = ()


class RoleName(Enum):
    """The processes of the node."""

    SERVE = "serve"
    RECEIVER = "receiver"
    WORKER = "worker"
    INFERENCE = "inference"


@dataclass(frozen=True, slots=True)
class RoleStarted(Event):
    role: RoleName
    pid: int
    port: int = 0


@dataclass(frozen=True, slots=True)
class RoleStopped(Event):
    role: RoleName
    exit_code: int


@dataclass(frozen=True, slots=True)
class RoleDied(Event, Failed):
    """A process ended unasked and is started again."""

    role: RoleName
    exit_code: int


@dataclass(frozen=True, slots=True)
class JournalDamaged(Event, Failed):
    """The journal's file is damaged, or gone: it was set aside, and made again from the images and results on the disk."""

    entered: int


@dataclass(frozen=True, slots=True)
class JournalAway(Event, Failed):
    """The database does not answer; this process waits for it."""


@dataclass(frozen=True, slots=True)
class ImagesRemoved(Event):
    """The images of a study left the node by the rules of retention; what was done stands in `dicom-node jobs show`."""

    study: Key
    instances: int


@dataclass(frozen=True, slots=True)
class WorkerTakenOver(Event, Failed):
    """A worker is dead; what it had under way goes on in this one."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReceiverLost(Event, Failed):
    """A receiver is dead; its associations count as broken off."""


@dataclass(frozen=True, slots=True)
class NameLost(Event, Failed):
    """The database let go of this process' name, as when the way to it was cut: the process ends and begins anew."""

    role: RoleName


@dataclass(frozen=True, slots=True)
class ClockSet(Event, Failed):
    """The machine's clock was set by so many seconds; what waits goes on waiting as long as it would have."""

    seconds: float


@dataclass(frozen=True, slots=True)
class PackageInService(Event):
    """The package gave on its own example what it must."""

    package: PackageName
    seconds: float


@dataclass(frozen=True, slots=True)
class PackageOutOfService(Event, Failed):
    """The package failed its own example, for this reason or error; until the next start its studies are refused."""

    package: PackageName
    cause: type


@dataclass(frozen=True, slots=True)
class AssociationAccepted(Event):
    peer: PeerName
    association: Key


@dataclass(frozen=True, slots=True)
class AssociationRefused(Event, Failed):
    """Someone called who may not, or called another title than ours. Result, source, reason: PS3.8 9.3.4.

    A title that is no legal AE title is left out, since anyone may write anything there.
    """

    calling: AETitle | None
    called: AETitle | None
    reason: int


@dataclass(frozen=True, slots=True)
class HandshakeFailed(Event, Failed):
    """A connection came to no TLS. `peer`: whose address it came from, where that is one peer's alone."""

    peer: PeerName | None
    fault: TLSFault


@dataclass(frozen=True, slots=True)
class AssociationEnded(Event):
    association: Key
    stored: int
    aborted: bool


@dataclass(frozen=True, slots=True)
class InstanceRefused(Event, Failed):
    association: Key
    status: int


@dataclass(frozen=True, slots=True)
class FastWayClosed(Event, Failed):
    """The node does not know this version of pynetdicom: images are taken through it, at a third of the speed."""


@dataclass(frozen=True, slots=True)
class FloorReached(Event, Failed):
    """From now on every image is refused with A700, for this reason."""

    error: type[Exception]


@dataclass(frozen=True, slots=True)
class FloorLeft(Event):
    """This reason to refuse images is gone."""

    error: type[Exception]


@dataclass(frozen=True, slots=True)
class InstanceConflict(Event, Failed):
    """A known SOP Instance UID came with other bytes; they are set aside, the first ones stay."""

    instance: Key


@dataclass(frozen=True, slots=True)
class SeriesComplete(Event):
    series: Key
    instances: int
    rule: CompletenessRule


@dataclass(frozen=True, slots=True)
class CountFailed(Event, Failed):
    """The PACS did not answer the question how many instances a series has; quiet time decides."""

    peer: PeerName
    error: type[Exception]


@dataclass(frozen=True, slots=True)
class PriorFetched(Event):
    """An earlier study of a patient was fetched from a PACS and analysed; results of it are sent to nobody."""

    study: Key
    prior: Key
    peer: PeerName
    seconds: float


@dataclass(frozen=True, slots=True)
class PriorNotFetched(Event, Failed):
    """A study goes on without an earlier one that there may be: the PACS failed, it took too long, or what came led to no result."""

    study: Key
    end: SearchEnd
    peer: PeerName | None = None
    error: type[Exception] | None = None


@dataclass(frozen=True, slots=True)
class StudyJudged(Event):
    study: Key
    series: int
    chosen: int


@dataclass(frozen=True, slots=True)
class InferenceDone(Event):
    """The inference process answered; what follows is encoding."""

    study: Key
    result: Key
    seconds: float


@dataclass(frozen=True, slots=True)
class ResultMade(Event):
    study: Key
    result: Key
    findings: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ResultRefused(Event, Failed):
    """Not analysed; the reason with its numbers stands in `dicom-node status`."""

    study: Key
    result: Key
    reason: type


@dataclass(frozen=True, slots=True)
class ObjectDelivered(Event):
    result: Key
    peer: PeerName
    state: DeliveryState
    status: int


@dataclass(frozen=True, slots=True)
class ObjectsReplaced(Event, Failed):
    """A destination does not take so many SOP classes of what was made for it: others are made and sent instead."""

    result: Key
    peer: PeerName
    classes: int


@dataclass(frozen=True, slots=True)
class ObjectsNotReplaced(Event, Failed):
    """A destination does not take all that was made for it, and nothing could be made instead, for this reason."""

    result: Key
    peer: PeerName
    reason: type


@dataclass(frozen=True, slots=True)
class NoDestination(Event, Failed):
    """No peer is configured to receive the results of images from this caller: none is sent."""

    calling: AETitle


@dataclass(frozen=True, slots=True)
class DeliveryFailed(Event, Failed):
    """Objects were not sent, for this reason or error; 0: they, or some of them, are not tried again by the node itself."""

    result: Key
    peer: PeerName
    error: type[Exception]
    next_try_s: float


@dataclass(frozen=True, slots=True)
class ProofGiven(Event):
    """What a destination said of an object that it had acknowledged: confirmed, or lost (queued again, or given up), or refused."""

    result: Key
    peer: PeerName
    state: DeliveryState
    proof: Proof


@dataclass(frozen=True, slots=True)
class CommitmentUnknown(Event, Failed):
    """A storage commitment report came that cannot be read, or that answers no question of ours to this peer; it confirms nothing."""

    peer: PeerName


@dataclass(frozen=True, slots=True)
class CommitmentUnavailable(Event, Failed):
    """A destination that should commit by storage commitment does not offer it; it is asked by C-FIND where it may be, else not at all."""

    result: Key
    peer: PeerName


@dataclass(frozen=True, slots=True)
class ProofMissing(Event, Failed):
    """A destination did not say whether it holds what it acknowledged; 0: it is not asked again."""

    result: Key
    peer: PeerName
    error: type[Exception]
    next_try_s: float


@dataclass(frozen=True, slots=True)
class ForgottenTakenUp(Event, Failed):
    """Series, studies or deliveries had lost their job and got another one."""

    jobs: int


@dataclass(frozen=True, slots=True)
class StudyFailed(Event, Failed):
    """A study's job has ended by a fault and is not started again by itself; `place` is where an exception came from."""

    study: Key
    error: type[BaseException]
    place: SourceLine | None = None


@dataclass(frozen=True, slots=True)
class Broken(Event, Failed):
    """An exception that nobody expected: its class and place, without its message."""

    role: RoleName
    error: type[BaseException]
    line: int


def log(event: Event) -> None:
    """Write one event as a line of JSON to standard error."""
    level = logging.WARNING if isinstance(event, Failed) else logging.INFO
    fields = {field.name: _plain(getattr(event, field.name)) for field in dataclasses.fields(event)}
    logging.getLogger("dicom_node").log(level, type(event).__name__, extra={"fields": fields})


def log_proof(result: Key, peer: PeerName, state: DeliveryState, proof: Proof) -> None:
    """Write what a destination said of an object that it had acknowledged; a second line where the object is not tried again."""
    log(ProofGiven(result, peer, state, proof))
    error = {DeliveryState.REFUSED: CommitmentRefused, DeliveryState.GIVEN_UP: NotHeld}.get(state)
    if error is not None:
        log(DeliveryFailed(result, peer, error, 0.0))


def log_broken(role: RoleName, error: BaseException) -> None:
    """Write an unexpected exception: class and the line of our code that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    log(Broken(role=role, error=type(error), line=frames[-1].lineno or 0 if frames else 0))


def place_of(error: BaseException) -> SourceLine | None:
    """Where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return SourceLine(f"{Path(frames[-1].filename).name}:{frames[-1].lineno}") if frames else None


def start_logging(level: str) -> None:
    """Send every logger of the process through the one formatter; texts of foreign libraries are dropped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("dicom_node").setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for name in {*logging.root.manager.loggerDict, *_OWN_HANDLERS}:
        if logging.getLogger(name).handlers or name in _OWN_HANDLERS:
            logging.getLogger(name).handlers[:] = [handler]
            logging.getLogger(name).propagate = False
    # What nobody caught is printed by Python with its message, unless somebody else takes it.
    sys.excepthook = lambda _kind, error, _trace: _log_uncaught(error)
    threading.excepthook = lambda ending: _log_uncaught(ending.exc_value)
    sys.unraisablehook = lambda ending: _log_uncaught(ending.exc_value)


# Libraries that write through a handler of their own, once they are started, unless one is there.
_OWN_HANDLERS = {"dbos"}


def _log_uncaught(error: BaseException | None) -> None:
    if error is not None:
        logging.getLogger("uncaught").error("", exc_info=error)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"), "level": record.levelname.lower()}
        if record.name == "dicom_node":
            return json.dumps({**line, "event": record.getMessage(), **record.__dict__["fields"]})
        foreign: dict[str, object] = {
            **line,
            "event": "Foreign",
            "library": record.name,
            "place": f"{record.module}:{record.lineno}",
            "error": None,
        }
        if record.exc_info and record.exc_info[0]:
            frames = traceback.extract_tb(record.exc_info[2])[-_MOST_FRAMES:]
            foreign |= {"error": record.exc_info[0].__name__, "frames": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]}
        return json.dumps(foreign)


_MOST_FRAMES = 12


def _plain(value: object) -> object:
    match value:
        case Key(text) | PeerName(text) | PackageName(text) | AETitle(text) | SourceLine(text):
            return text
        case Enum():
            return value.value
        case type():
            return value.__name__
        case float():
            return round(value, 3)
        case _:
            return value
