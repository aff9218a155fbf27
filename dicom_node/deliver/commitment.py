"""A destination is asked to take responsibility for what it acknowledged: storage commitment, push model, PS3.4 annex J.

Its report may come on our association, before or after the response to our request, or on one of its own to the receiver, hours
later, twice, or never. On our association it is taken by the same function as there.
"""

import threading
from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.presentation import build_context

from dicom_node.clock import SystemClock
from dicom_node.errors import NoCommitment, PeerUnreachable, StatusRefused

from .association import Line, associate
from .held import Acknowledged

_PUSH_MODEL = UID("1.2.840.10008.1.20.1")
_PUSH_MODEL_INSTANCE = UID("1.2.840.10008.1.20.1.1")
_REQUEST_STORAGE_COMMITMENT = 1  # Action Type ID, PS3.4 table J.3.2-1
_WARNINGS = (0x0001, 0x0107, 0x0116)  # PS3.7 annex C; and B000 to BFFF
_STEP_S = 0.5  # between two looks whether the report has come elsewhere

# Takes an N-EVENT-REPORT in a transfer syntax; gives the status of our answer, which goes out when what it says is durable.
TakeReport = Callable[[N_EVENT_REPORT, str], int]


def ask_commitment(
    line: Line, transaction_uid: str, objects: Sequence[Acknowledged], *, take_report: TakeReport, is_answered: Callable[[], bool]
) -> None:
    """Ask for commitment of objects, and wait up to `proof_wait_s` until `is_answered`, wherever the report comes.

    Raises NoCommitment where the peer does not take the class, StatusRefused where it refuses the request, PeerUnreachable or
    AssociationRejected where nobody answers it. A report that cannot be taken is answered with 0x0110, processing failure.
    """
    with associate(line, [build_context(_PUSH_MODEL, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]) as association:
        if not association.accepted_contexts:
            raise NoCommitment(line.destination)
        # the library's own limit for a silent line would abort it before ours is over
        association.network_timeout = line.limits.response_timeout_s + line.limits.proof_wait_s
        changed = threading.Event()  # a report has come, or the peer has hung up
        answering: list[threading.Thread] = []

        def answer(event: evt.Event) -> tuple[int, None]:
            assert isinstance(event.request, N_EVENT_REPORT)
            answering.append(threading.current_thread())
            status = take_report(event.request, event.context.transfer_syntax)
            changed.set()
            return status, None

        # the library serves a report in a thread of its own, also while the response to our request has not come
        association.bind(evt.EVT_N_EVENT_REPORT, answer)
        for end in (evt.EVT_RELEASED, evt.EVT_ABORTED, evt.EVT_CONN_CLOSE):
            association.bind(end, lambda _: changed.set())
        status, _ = association.send_n_action(
            _request(transaction_uid, objects), _REQUEST_STORAGE_COMMITMENT, _PUSH_MODEL, _PUSH_MODEL_INSTANCE
        )
        if not is_answered():
            _check(line, status)
            _wait(association, line.limits.proof_wait_s, changed, is_answered)
        # what a report says counts as soon as it is taken: its answer goes out before we release, or the peer would report again
        for thread in tuple(answering):
            thread.join(line.limits.response_timeout_s)


def _request(transaction_uid: str, objects: Sequence[Acknowledged]) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = [_reference(one) for one in objects]
    return information


def _reference(one: Acknowledged) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = one.sop_class_uid
    item.ReferencedSOPInstanceUID = one.sop_instance_uid
    return item


def _check(line: Line, answer: Dataset) -> None:
    if "Status" not in answer:
        raise PeerUnreachable(line.destination)
    status = int(answer.Status)
    if status != 0x0000 and status not in _WARNINGS and status >> 12 != 0xB:
        raise StatusRefused(line.destination, status)


def _wait(association: Association, seconds: float, changed: threading.Event, is_answered: Callable[[], bool]) -> None:
    clock = SystemClock()
    end = clock.monotonic() + seconds
    while not is_answered() and association.is_established and clock.monotonic() < end:
        clock.wait(min(_STEP_S, seconds), changed)
        changed.clear()
