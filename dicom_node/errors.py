"""Everything that can break, as one hierarchy.

NodeError
├── SettingsError           configuration or package: every problem at once, with file, key, value and what is allowed
├── SpoolError              the disk does not take or give bytes
│   ├── SpoolFull           above its high-water mark
│   └── SpoolFailed         the operating system refused
├── UnacceptableInstance    what a sender gave cannot be filed; carries the C-STORE status of the answer
├── PeerError               the network or the peer
│   ├── PeerUnreachable     no connection, no answer, aborted
│   ├── AssociationRejected the peer does not want us
│   ├── NoPresentationContext the peer does not take this SOP class
│   └── StatusRefused       the peer answered with a failure
├── InferenceError          the child process
│   ├── ChildDied
│   ├── ChildTooSlow
│   ├── ChildRaised         it caught an exception and goes on
│   └── ModelUnusable       a network that cannot be loaded, or not as it should run
├── PackageWithdrawn        a job was begun with a package that is no longer in service
└── EncodingError           an object could not be made, or did not equal its result when read back

Each says whether to try again: the only thing that the engine asks. Texts for two readers lie in `texts/errors.toml`.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dicom_node.values import PackageName, PeerName


class Again(StrEnum):
    """Whether the same thing may work later."""

    LATER = "later"
    NEVER = "never"


class NodeError(Exception):
    """Base of all errors of the node. `str()` names class and fields, which never hold a value of the patient."""

    again = Again.NEVER

    def __str__(self) -> str:
        return repr(self)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file that a person wrote."""

    file: Path
    key: str
    value: str
    allowed: str


@dataclass
class SettingsError(NodeError):
    """Configuration or model package: all problems at once."""

    problems: tuple[Problem, ...]


class SpoolError(NodeError):
    """The disk."""

    again = Again.LATER


@dataclass
class SpoolFull(SpoolError):
    """The disk is fuller than its high-water mark."""

    used_percent: float
    limit_percent: float


@dataclass
class SpoolFailed(SpoolError):
    """The operating system refused to write or read; `errno` says why."""

    errno: int


@dataclass
class UnacceptableInstance(NodeError):
    """An instance that cannot be filed. `status` is the C-STORE status (PS3.4 B.2.3), `comment` its Error Comment (LO 64)."""

    status: int
    comment: str


class PeerError(NodeError):
    """The network, or the peer on it."""

    again = Again.LATER


@dataclass
class PeerUnreachable(PeerError):
    """No connection, no answer within the limit, or the association was aborted."""

    peer: PeerName


@dataclass
class AssociationRejected(PeerError):
    """The peer rejected the association (PS3.8 9.3.4): result, source, reason as numbers."""

    peer: PeerName
    result: int
    source: int
    reason: int


@dataclass
class NoPresentationContext(PeerError):
    """The peer does not take objects of this SOP class."""

    again = Again.NEVER
    peer: PeerName
    sop_class_uid: str


@dataclass
class StatusRefused(PeerError):
    """The peer answered an operation with a failure status."""

    again = Again.NEVER
    peer: PeerName
    status: int


class InferenceError(NodeError):
    """The inference process."""

    again = Again.LATER


@dataclass
class ChildDied(InferenceError):
    """The process ended while it worked; a negative `exit_code` is the number of the signal."""

    exit_code: int


@dataclass
class ChildTooSlow(InferenceError):
    """The process was killed at its time limit."""

    again = Again.NEVER
    limit_s: float


@dataclass
class ChildRaised(InferenceError):
    """The process answered a request with an exception and lives on. `error` is its class: messages may hold values."""

    error: str


@dataclass
class ModelUnusable(InferenceError):
    """ONNX Runtime cannot load a network of a package, gives it another provider than asked for, or its input does not fit."""

    again = Again.NEVER
    model: str


@dataclass
class PackageWithdrawn(NodeError):
    """A job was begun with a package that this node, started anew since, has no longer in service."""

    package: PackageName


@dataclass
class EncodingError(NodeError):
    """An object could not be made from a result. `step` names what failed, in the encoder's words, without values."""

    step: str
