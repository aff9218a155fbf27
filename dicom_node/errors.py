"""Everything that can break, as one hierarchy.

NodeError
├── SettingsError           configuration or package: every problem at once, with file, key, value and what is allowed
├── SpoolError              the disk does not take or give bytes
│   ├── InstanceBeingRemoved it came again while retention removed it
│   ├── SpoolFull           above its high-water mark
│   ├── SpoolFailed         the operating system refused
│   ├── StoreFailed         the object store refused, or did not answer
│   └── ImageMissing        the file of an image is gone that no rule has removed
├── NoRoom                  the node takes no more images for now
│   ├── DataDiskFull        the disk of results and journal is above its high-water mark
│   ├── MemoryShort         so is the memory
│   └── TooManyOpenStudies  so many studies wait that no more are taken
├── UnacceptableInstance    what a sender gave cannot be filed; carries the C-STORE status of the answer
├── PeerError               the network or the peer
│   ├── PeerUnreachable     no connection, no answer, aborted
│   ├── AssociationRejected the peer does not want us now
│   ├── TitleUnknown        the peer does not know our AE title, or goes by another one: a person has to enter it
│   ├── CertificateUntrusted the certificate that the peer shows is not one that we take
│   ├── OwnCertificateUntrusted the peer does not take ours, or misses one
│   ├── TLSFailed           the peer and we do not come to speak TLS
│   ├── TLSFilesUnusable    our own certificates or keys for it are gone, or broken
│   ├── NoPresentationContext the peer does not take this SOP class
│   ├── StatusRefused       the peer answered with a failure
│   ├── NoCommitment        the peer offers no storage commitment
│   ├── NotHeld             it acknowledged an object, and does not hold it
│   ├── NotConfirmed        it does not say whether it holds an object
│   ├── CommitmentRefused   it says that it will not keep an object
│   ├── NoSuchDestination   results are sent to it no more
│   ├── NodeUnknownToPeer   it is to send images to the node, and does not know where that is: a person has to enter it
│   └── MoveIncomplete      it did not bring all images that it was to send
├── InferenceError          the child process
│   ├── ChildDied
│   ├── ChildTooSlow
│   ├── ChildRaised         it caught an exception and goes on
│   ├── AnalysisFailed      it did not come to an end with a study
│   ├── ModelUnusable       a network that cannot be loaded, or not as it should run
│   └── ProviderUnavailable what is to run the networks is not there, or leaves a part of one to another
├── ObjectMissing           the file of an object that is to be sent is gone
├── SchemaTooOld            the database is of an older version of the node
├── PackageWithdrawn        a job was begun with a package that is no longer in service
├── ImagesHaveLeft          some of a study's images have left by rule: nothing is judged with the rest
├── WorkerDiedTooOften      a study was open each time its worker died
└── EncodingError           an object could not be made, or did not equal its result when read back

Each says whether to try again: the only thing that the engine asks. Texts for two readers lie in `texts/`, a file for each language.
"""

import errno
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dicom_node.values import PackageName, PeerName, Provider


class Again(StrEnum):
    """Whether the same thing may work later."""

    LATER = "later"
    NEVER = "never"


# A disk that is full, broken for now, read-only or away; too little memory; too many open files.
_FOR_NOW = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOMEM, errno.EMFILE, errno.ENFILE}


def is_for_now(error: BaseException) -> bool:
    """Whether what failed may work later without anybody's doing; what a database says is not known here."""
    match error:
        case NodeError():
            return error.again is Again.LATER
        case OSError():
            return error.errno in _FOR_NOW
        case _:
            return False


class TLSFault(StrEnum):
    """Why no TLS connection came about."""

    NO_TLS = "no-tls"  # the other side speaks something else
    NOTHING_COMMON = "nothing-common"  # no version of TLS, or no cipher suite, that both take
    THEIR_CERTIFICATE = "their-certificate"  # it shows none, or none that we take
    OUR_CERTIFICATE = "our-certificate"  # it does not take ours, or wants one
    BROKEN_OFF = "broken-off"  # closed, or silent for too long, before it came to an end


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
class InstanceBeingRemoved(SpoolError):
    """An instance came again in the moment in which its file was removed by a rule of retention."""


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
class StoreFailed(SpoolError):
    """The object store (S3) refused to write or read, or did not answer; `error` is the client library's class of error."""

    error: str


@dataclass
class ImageMissing(SpoolError):
    """The file of an image that was acknowledged is gone, and no rule of retention has removed it."""

    again = Again.NEVER


class NoRoom(NodeError):
    """A floor was reached: images are refused early, and taken again by itself when there is room."""

    again = Again.LATER


@dataclass
class DataDiskFull(NoRoom):
    """The disk of results and journal, where it is not the spool's, is fuller than the high-water mark."""

    used_percent: float
    limit_percent: float


@dataclass
class MemoryShort(NoRoom):
    """The memory of the machine, or of the container, is fuller than its high-water mark."""

    used_percent: float
    limit_percent: float


@dataclass
class TooManyOpenStudies(NoRoom):
    """So many studies wait for their images or their analysis that no more are taken."""

    limit: int


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
class TitleUnknown(PeerError):
    """The peer rejected the association for good: our title (`reason` 3) or its own (7) is not the one that it was set up with.

    It is tried again all the same: whoever enters the title there need not come here (PS3.8 9.3.4, result 1, source 1).
    """

    peer: PeerName
    reason: int


@dataclass
class CertificateUntrusted(PeerError):
    """The peer's certificate is not one that we take; `code` is OpenSSL's number of the reason (X509_V_ERR_...)."""

    peer: PeerName
    code: int


@dataclass
class OwnCertificateUntrusted(PeerError):
    """The peer says that it does not take our certificate, or that it wants one where we have none for it."""

    peer: PeerName


@dataclass
class TLSFailed(PeerError):
    """The connection was there and TLS did not come about: the peer speaks none, or none that we take, or says nothing."""

    peer: PeerName
    fault: TLSFault


@dataclass
class TLSFilesUnusable(PeerError):
    """Certificates or key that the configuration names for a peer are not there any more, or not what they were."""

    peer: PeerName


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


@dataclass
class NoCommitment(PeerError):
    """The peer does not take the storage commitment class, by which it was to show what it holds."""

    again = Again.NEVER
    peer: PeerName


@dataclass
class NotHeld(PeerError):
    """The peer acknowledged an object, and says, asked later, that it does not hold it."""

    peer: PeerName


@dataclass
class NotConfirmed(PeerError):
    """The peer acknowledged an object, and does not say whether it holds it."""

    peer: PeerName


@dataclass
class CommitmentRefused(PeerError):
    """The peer says that it will not keep an object; `status` is its Failure Reason (0008,1197)."""

    again = Again.NEVER
    peer: PeerName
    status: int


@dataclass
class NoSuchDestination(PeerError):
    """The peer of a delivery is none any more, or receives no results."""

    again = Again.NEVER
    peer: PeerName


@dataclass
class NodeUnknownToPeer(PeerError):
    """The peer was asked to send images to our AE title, and does not know it as a destination (PS3.4 C.4.2.1.5, A801)."""

    peer: PeerName


@dataclass
class MoveIncomplete(PeerError):
    """Of the images that the peer was asked to send, it could not send so many."""

    peer: PeerName
    missing: int


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
    """The process answered a request with an exception and lives on. `error` is its class: messages may hold values.

    `for_now` where it was a disk, or whatever else may be there again later.
    """

    error: str
    for_now: bool = False


@dataclass
class AnalysisFailed(InferenceError):
    """A model's process died, raised or was too slow on a study, as often as it is tried."""

    again = Again.NEVER


@dataclass
class ModelUnusable(InferenceError):
    """ONNX Runtime cannot load a network of a package, or its input or output does not fit."""

    again = Again.NEVER
    model: str


@dataclass
class ProviderUnavailable(InferenceError):
    """ONNX Runtime, as it is installed here, does not have the provider, cannot start it, or would run part of a network elsewhere."""

    again = Again.NEVER
    provider: Provider


@dataclass
class ObjectMissing(NodeError):
    """The file of an object that is to be sent is gone from what is kept."""


@dataclass
class ReplacementMissing(NodeError):
    """Objects are not rejected at a destination that does not hold what takes their place."""


@dataclass
class SchemaTooOld(NodeError):
    """The journal's database has not been brought to the schema of this version."""


@dataclass
class PackageWithdrawn(NodeError):
    """A job was begun with a package that this node, started anew since, has no longer in service."""

    package: PackageName


@dataclass
class ImagesHaveLeft(NodeError):
    """Images of a study came, or a package came back, when others of the study had left by rule: half a study is not judged."""


@dataclass
class WorkerDiedTooOften(NodeError):
    """A study was open each time its worker died; it is not started again by itself."""


@dataclass
class EncodingError(NodeError):
    """An object could not be made from a result. `step` names what failed, in the encoder's words, without values."""

    step: str
