"""The only way to a log line: events as classes, whose fields cannot hold a patient's value.

A field is a `Key`, `PeerName`, `PackageName`, `AETitle`, number, bool, enum, or the class of a reason or error: `str` is refused by a test.
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

from dicom_node.values import AETitle, CompletenessRule, DeliveryState, Key, PackageName, PeerName


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
class AssociationEnded(Event):
    association: Key
    stored: int
    aborted: bool


@dataclass(frozen=True, slots=True)
class InstanceRefused(Event, Failed):
    association: Key
    status: int


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
class DeliveryFailed(Event, Failed):
    result: Key
    peer: PeerName
    error: type[Exception]
    next_try_s: float


@dataclass(frozen=True, slots=True)
class ForgottenTakenUp(Event, Failed):
    """Series, studies or deliveries had lost their job and got another one."""

    jobs: int


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


def log_broken(role: RoleName, error: BaseException) -> None:
    """Write an unexpected exception: class and the line of our code that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    log(Broken(role=role, error=type(error), line=frames[-1].lineno or 0 if frames else 0))


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
        case Key(text) | PeerName(text) | PackageName(text) | AETitle(text):
            return text
        case Enum():
            return value.value
        case type():
            return value.__name__
        case float():
            return round(value, 3)
        case _:
            return value
