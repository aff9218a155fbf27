"""The receiver: negotiates by policy, takes objects, gives receipts. One association is one thread of its own."""

import itertools
import os
import socket
import threading

import pydicom.config
import pynetdicom
import pynetdicom._config
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dul import DULServiceProvider

from dicom_node import tls
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import NodeError, NoRoom, SpoolFull, TLSFault, UnacceptableInstance
from dicom_node.log import (
    AssociationAccepted,
    AssociationEnded,
    AssociationRefused,
    FastWayClosed,
    HandshakeFailed,
    InstanceConflict,
    InstanceRefused,
    RoleName,
    log,
    log_broken,
)
from dicom_node.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Spool, is_uid
from dicom_node.values import AETitle, derive_key
from dicom_node.values.receipts import Known

from .commitment import Commitments, take_report
from .connection import Acceptor, Connection
from .contexts import build_contexts
from .fast import KNOWN_VERSIONS, FastProvider
from .floors import Floors
from .policy import Admitted, Call, Rejected, find_peer, judge
from .receipt import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    Arrival,
    Receipts,
    Source,
    give_receipt,
    status_of,
)
from .storage import Intake

# From the connection to the whole A-ASSOCIATE-RQ, and from our last word to the end (ARTIM). A TLS handshake before has as long.
_REQUEST_TIMEOUT_S = 10.0
_LARGEST_PDU_BYTES = 1 << 20  # a request with 128 contexts has some 100 kB; data PDUs may have what we announce, or twice that
_STRANGERS = 64  # connections beyond the associations: callers that are about to be rejected, and those that say nothing
_POLL_S = 0.1
_STEP_S = 0.02

# A call that nobody could judge: transient, by the service provider (presentation), temporary congestion (PS3.8 table 9-21).
_CANNOT_JUDGE = Rejected(2, 3, 1)


class Receiver:
    """Listens, from `start` to `stop`."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        receipts: Receipts,
        clock: Clock,
        *,
        commitments: Commitments,
        floors: Floors,
        name: str = "receiver",
    ) -> None:
        self._config, self._spool, self._receipts, self._clock, self._floors = config, spool, receipts, clock, floors
        self._commitments = commitments
        self._section = config.node.receiver
        self._own_title = AETitle(config.node.ae_title)
        # Before the colon stands which receiver it is, so that its associations can be told from those of others when it died.
        self._prefix = f"{name}:{os.getpid()}.{clock.now():.3f}."
        self._slots = threading.BoundedSemaphore(self._section.associations)
        self._numbers = itertools.count(1)
        self._open: set[Intake] = set()  # of the admitted associations
        self._is_fast = self._section.fast
        self._server: Acceptor | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listen; gives the port, which is a free one where 0 is configured. Raises OSError where the port is taken.

        So it does where a certificate or key has been broken since the configuration was read.
        """
        # Process-wide switches of the libraries, none of which changes what is received:
        # pydicom warns, with the value, of each UID and text that is not conformant; the node judges by itself.
        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
        # pynetdicom writes each PDU and message into log texts that log.py drops: names and time for nothing.
        pynetdicom._config.LOG_HANDLER_LEVEL = "none"
        if self._is_fast and pynetdicom.__version__ not in KNOWN_VERSIONS:
            self._is_fast = False
            log(FastWayClosed())
        self._spool.remove_leftovers()
        self._floors.look()
        server = self._make_server()
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="receiver", daemon=True)
        self._thread.start()
        return int(server.server_address[1])

    def stop(self, grace_s: float) -> None:
        """Refuse new associations, let current messages finish for at most `grace_s`, then close everything."""
        if self._server is None or self._thread is None:
            return
        server, self._server = self._server, None
        server.stop_listening()
        self._thread.join()
        for association in server.active_associations:
            if _intake_of(association).source is None and association.dul.socket is not None:
                association.dul.socket.close()  # a caller that never said who it is
        grace_over = self._clock.monotonic() + grace_s
        end = grace_over + _REQUEST_TIMEOUT_S
        while self._open and self._clock.monotonic() < end:
            is_over = self._clock.monotonic() >= grace_over
            for intake in tuple(self._open):
                if intake.is_idle or is_over:
                    intake.assoc.abort()
            self._clock.wait(_STEP_S)

    # -- one association, called by its connection ---------------------------------------------------------------------

    def take_charge(self, association: Association) -> Intake:
        """Put our upper layer and our provider of messages in the place of the library's, before the association starts.

        The library's upper layer is of no use: it has heard of a connection by a socket that ours will replace.
        """

        def begin(sop_class_uid: str, sop_instance_uid: str, abstract_syntax: str, transfer_syntax_uid: str) -> Arrival:
            return self._begin(intake, Arrival(sop_class_uid, sop_instance_uid, abstract_syntax), transfer_syntax_uid)

        association.dul = FastProvider(association, self._file) if self._is_fast else DULServiceProvider(association)
        # these go to the upper layer when they are set
        association.acse_timeout, association.network_timeout = association.acse_timeout, association.network_timeout
        intake = Intake(association, begin, self._section.largest_object_mb << 20)
        association.dimse = intake
        return intake

    def let_go(self, association: Association, intake: Intake, *, was_cut_short: bool) -> None:
        """After the association's end, however it came; `was_cut_short` where half a PDU was the last thing to come."""
        intake.close()
        source = intake.source
        if source is None:
            return
        try:
            # A sender that said nothing for the network time-out, between two messages, had sent what it wanted: then the abort
            # was ours (pynetdicom keeps that in `_sent_abort` alone). One that was cut off, by whomever, had not.
            fell_silent = association._sent_abort and intake.is_idle and not was_cut_short and self._server is not None
            self._receipts.association_ended(source.association, is_broken=not association.is_released and not fell_silent)
        finally:
            self._slots.release()
            self._open.discard(intake)
            log(AssociationEnded(derive_key(source.association), intake.stored, aborted=not association.is_released))

    def handshake_failed(self, address: str, fault: TLSFault) -> None:
        """A connection from this address came to no TLS."""
        log(HandshakeFailed(find_peer(address, peers=self._config.peers, resolve=_resolve), fault))

    def _admit(self, event: evt.Event) -> None:
        """EVT_REQUESTED: admit or reject, before the library negotiates. What cannot be judged is rejected."""
        association = event.assoc
        has_slot = self._slots.acquire(blocking=False)
        try:
            verdict = self._judge(association, is_full=not has_slot)
        except Exception as error:  # noqa: BLE001  (the library swallows what is raised here, and accepts)
            log_broken(RoleName.RECEIVER, error)
            verdict = _CANNOT_JUDGE
        if isinstance(verdict, Admitted):
            return
        if has_slot and _intake_of(association).source is None:  # else `let_go` gives the slot back
            self._slots.release()
        association.acse.send_reject(verdict.result, verdict.source, verdict.reason)
        association.kill()  # returns when the rejection is sent and the connection closed

    def _judge(self, association: Association, *, is_full: bool) -> Admitted | Rejected:
        """The answer to a request; who is admitted is made welcome."""
        request = association.requestor.primitive
        assert request is not None
        call = Call(request.calling_ae_title or "", request.called_ae_title or "", association.requestor.address, is_full)
        verdict = judge(call, own_title=self._own_title, peers=self._config.peers, resolve=_resolve)
        if isinstance(verdict, Rejected):
            log(AssociationRefused(AETitle.parse(call.calling), AETitle.parse(call.called), verdict.reason))
        else:
            self._welcome(association, verdict)
        return verdict

    def _welcome(self, association: Association, admitted: Admitted) -> None:
        name = f"{self._prefix}{next(self._numbers)}"
        intake = _intake_of(association)
        intake.source = Source(name, admitted.calling, admitted.called, association.requestor.address)
        self._open.add(intake)
        intake.reports_for = admitted.reports_for
        association.acceptor.supported_contexts = build_contexts(may_send=admitted.may_send, may_report=bool(admitted.reports_for))
        log(AssociationAccepted(admitted.peer, derive_key(name)))

    def _begin(self, intake: Intake, arrival: Arrival, transfer_syntax_uid: str) -> Arrival:
        """A C-STORE command has come: open a file for its data set, or note why there will be none."""
        source = intake.source
        assert source is not None
        try:
            if not (is_uid(arrival.sop_class_uid) and is_uid(arrival.sop_instance_uid)):
                raise UnacceptableInstance(CANNOT_UNDERSTAND, "command lacks a UID, or has one that is none")
            if self._floors.reached is not None:
                arrival.refuse(self._floors.reached)
                return arrival
            arrival.incoming = self._spool.begin(
                sop_class_uid=arrival.sop_class_uid,
                sop_instance_uid=arrival.sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
                calling=source.calling,
                called=source.called,
                source=f"dicom://{source.address}",
            )
        except NodeError as error:
            arrival.refuse(error)
        return arrival

    def _store(self, event: evt.Event) -> Dataset:
        """EVT_C_STORE: the data set has arrived; the answer goes out when its receipt is durable."""
        intake = _intake_of(event.assoc)
        status, comment = self._file(intake, intake.take_arrival(event.request))
        answer = Dataset()  # what pynetdicom wants as an answer; not a data set that goes anywhere else
        answer.Status = status
        if comment:
            answer.ErrorComment = comment
        return answer

    def _file(self, intake: Intake, arrival: Arrival) -> tuple[int, str]:
        """File what has arrived; gives status and comment of the answer, for which its receipt is durable where it is a success."""
        source = intake.source
        assert source is not None
        try:
            receipt, known = give_receipt(arrival, source, self._receipts)
        except NodeError as error:
            status, comment = status_of(error)
            if not isinstance(error, NoRoom | SpoolFull):  # a floor is said once, when it is reached
                log(InstanceRefused(derive_key(source.association), status))
            return self._refuse(source, status, comment)
        except Exception as error:  # noqa: BLE001  (the outermost handler of what this association stores)
            log_broken(RoleName.RECEIVER, error)
            log(InstanceRefused(derive_key(source.association), OUT_OF_RESOURCES))
            return self._refuse(source, OUT_OF_RESOURCES, "receipt cannot be written now")
        finally:
            arrival.drop()
        intake.stored += 1
        if known is Known.CONFLICT:
            log(InstanceConflict(derive_key(receipt.instance.sop_instance_uid)))
        return SUCCESS, ""

    def _report(self, event: evt.Event) -> tuple[int, None]:
        """EVT_N_EVENT_REPORT: a peer says which objects it holds; the answer goes out when that is durable."""
        peers = _intake_of(event.assoc).reports_for
        assert isinstance(event.request, N_EVENT_REPORT)
        if not peers:
            return SOP_CLASS_NOT_SUPPORTED, None  # on a context for something else: the library looks at the command alone
        try:
            return take_report(event.request, event.context.transfer_syntax, peers=peers, commitments=self._commitments), None
        except Exception as error:  # noqa: BLE001  (the outermost handler of what this association reports: the peer may try again)
            log_broken(RoleName.RECEIVER, error)
            return PROCESSING_FAILURE, None

    def _refuse(self, source: Source, status: int, comment: str) -> tuple[int, str]:
        try:
            self._receipts.refused(source.calling.text, status, comment)
        except Exception as error:  # noqa: BLE001  (a refusal that cannot be counted is answered all the same)
            log_broken(RoleName.RECEIVER, error)
        return status, comment

    def _make_server(self) -> Acceptor:
        entity = AE(ae_title=self._own_title.text)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.maximum_pdu_size = self._section.pdu_bytes
        entity.network_timeout = self._section.network_timeout_s
        entity.dimse_timeout = self._section.network_timeout_s
        entity.acse_timeout = request_timeout_s = min(_REQUEST_TIMEOUT_S, self._section.network_timeout_s)
        entity.maximum_associations = self._section.associations + _STRANGERS  # policy counts those that are admitted
        # Nothing is bound for user identity (ignored: title and address say who it is), asynchronous operations (not offered,
        # so one operation at a time) and extended negotiation (not answered): the library's defaults do just that.
        context = None
        if (given := self._section.tls) is not None:
            context = tls.make_acceptor_context(certificate=given.certificate, key=given.key, client_ca=given.client_ca)
        server = entity.make_server(
            (self._section.host, self._section.port),
            contexts=build_contexts(may_send=True),
            evt_handlers=[(evt.EVT_REQUESTED, self._admit), (evt.EVT_C_STORE, self._store), (evt.EVT_N_EVENT_REPORT, self._report)],
            server_class=Acceptor,
            request_handler=Connection,
        )
        assert isinstance(server, Acceptor)
        server.receiver = self
        server.connections, server.strangers = self._section.associations + _STRANGERS, set()
        server.tls, server.handshake_timeout_s = context, request_timeout_s
        server.limits = {
            "largest_pdu_bytes": max(_LARGEST_PDU_BYTES, 2 * self._section.pdu_bytes),
            "timeout_s": self._section.network_timeout_s,
            "clock": self._clock,
        }
        return server


def _intake_of(association: Association) -> Intake:
    assert isinstance(association.dimse, Intake)
    return association.dimse


def _resolve(host: str) -> set[str]:
    """The addresses of a host name now; none where the name is unknown, or is none (pacs..local), which rejects the caller."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()
