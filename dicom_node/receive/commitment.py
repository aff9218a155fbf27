"""A storage commitment report comes in (PS3.4 J.3.3): read, believed where it answers a question of ours, and only then answered."""

import itertools
import struct
from collections.abc import Iterator
from typing import Protocol

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.uid import UID
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import decode

from dicom_node.log import CommitmentUnknown, log, log_proof
from dicom_node.values import CommitmentReport, Held, Holding, Key, PeerName, Proof, TakenReport, held_of

from .receipt import PROCESSING_FAILURE, SUCCESS

# Status of the answer where no transaction of ours is named (PS3.7 10.1.1.1.8, invalid argument value): so the PACS' log shows it.
INVALID_ARGUMENT = 0x0115

# What pydicom raises at bytes that are no data set.
_UNREADABLE = (
    ValueError,
    EOFError,
    OSError,
    LookupError,
    AttributeError,
    TypeError,
    NotImplementedError,
    ArithmeticError,
    struct.error,
    RecursionError,
    BytesLengthException,
)

_MOST_OBJECTS = 10_000  # in one report; the node asks for a result's objects, which are a few


class Commitments(Protocol):
    """The journal, as far as a report needs it."""

    def report(self, report: CommitmentReport, peers: tuple[PeerName, ...]) -> TakenReport | None:
        """Record what one of the peers says; returns when it is durable. None where none of them was asked so."""


def take_report(request: N_EVENT_REPORT, transfer_syntax_uid: str, *, peers: tuple[PeerName, ...], commitments: Commitments) -> int:
    """Record a report that one of the peers sent; gives the status of the answer."""
    report = parse_report(request, transfer_syntax_uid)
    taken = None if report is None else commitments.report(report, peers)
    if taken is None:
        log(CommitmentUnknown(peers[0]))
        return INVALID_ARGUMENT
    for _, state in taken.states:
        log_proof(Key(taken.result_key[:16]), taken.destination, state, Proof.COMMITMENT)
    return SUCCESS


def parse_report(request: N_EVENT_REPORT, transfer_syntax_uid: str) -> CommitmentReport | None:
    """The report in a request; None where it cannot be read, or names no transaction.

    Its Event Type ID (1: all committed, 2: some are not) is not read: the lists say so too, and some peers say 1 with failures. An
    object that is in both lists failed.
    """
    syntax = UID(transfer_syntax_uid)
    if request.EventInformation is None:
        return None
    try:
        information = decode(request.EventInformation, syntax.is_implicit_VR, syntax.is_little_endian)
        transaction_uid = str(information.get("TransactionUID") or "")
        failed = dict(_read_failed(information))
        holdings = tuple(Holding(uid, held_of(reason), Proof.COMMITMENT, reason) for uid, reason in failed.items())
        holdings += tuple(Holding(uid, Held.YES, Proof.COMMITMENT) for uid in _read_held(information) if uid not in failed)
    except _UNREADABLE:
        return None
    return CommitmentReport(transaction_uid, holdings) if transaction_uid else None


def _read_held(information: Dataset) -> Iterator[str]:
    for item in itertools.islice(information.get("ReferencedSOPSequence") or (), _MOST_OBJECTS):
        if item.get("ReferencedSOPInstanceUID"):
            yield str(item.ReferencedSOPInstanceUID)


def _read_failed(information: Dataset) -> Iterator[tuple[str, int]]:
    """SOP Instance UIDs with their reasons; a failure without a reason is one that may pass (0x0110, processing failure)."""
    for item in itertools.islice(information.get("FailedSOPSequence") or (), _MOST_OBJECTS):
        if item.get("ReferencedSOPInstanceUID"):
            yield str(item.ReferencedSOPInstanceUID), int(item.get("FailureReason") or PROCESSING_FAILURE)
