"""Messages of one association from its fragments; the data set of a C-STORE goes to the disk as it arrives.

pynetdicom gathers a whole data set in memory, or with STORE_RECV_CHUNKED_DATASET in a temporary file outside the spool that has to
be copied, stays behind after an abort, and has no limit. Here fragments are written where the instance will stay: the memory
of an association is one PDU, whatever the object's size.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, N_EVENT_REPORT_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.errors import NodeError, SpoolError, UnacceptableInstance
from dicom_node.log import RoleName, log_broken
from dicom_node.values import PeerName, StorePriority

from .command import StoreCommand
from .fragments import COMMAND_BIT, LAST_BIT, Expected, Fragment, FragmentOrder, OutOfOrder
from .receipt import CANNOT_UNDERSTAND, Arrival, Source, status_of

# Command sets have some 200 bytes; identifiers of other services, which the node does not offer, a few thousand.
_COMMAND_LIMIT_BYTES = 16_384
_OTHER_DATA_LIMIT_BYTES = 1 << 20

# Requests that a sender may have under way. One is what is negotiated; some write more without asking (fo-dicom #356).
_WAITING_LIMIT = 64

Begin = Callable[[str, str, str, str], Arrival]  # (SOP class, SOP instance, abstract syntax, transfer syntax) of a request


class Intake(DIMSEServiceProvider):
    """pynetdicom's service provider, with the fragments' order watched and data sets written to the disk.

    `receive_primitive` runs in the thread that reads the socket, `send_msg` in the association's own: `begun` and
    `answered` are each written by one of them.
    """

    def __init__(self, assoc: Any, begin: Begin, largest_object_bytes: int) -> None:
        super().__init__(assoc)
        self._begin_instance, self._largest_object_bytes = begin, largest_object_bytes
        self._order = FragmentOrder()
        self._arrival: Arrival | None = None  # whose data set is arriving
        self._arrived: dict[int, Arrival] = {}  # by the identity of requests that wait to be served
        self._size_bytes = 0  # of the command or data set that is arriving
        self._is_broken = False
        self.source: Source | None = None  # set when the association is admitted
        self.reports_for: tuple[PeerName, ...] = ()  # whose storage commitment reports it may bring
        self.stored = 0
        self.begun = 0
        self.answered = 0

    @property
    def is_idle(self) -> bool:
        """No message is on its way in, and none waits for its answer."""
        return self.begun == self.answered and self._order.expected is Expected.MESSAGE

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of one PDU, one by one: pynetdicom would lose those behind the last one of a message."""
        for context_id, value in primitive.presentation_data_value_list:
            if self._is_broken:
                return
            try:
                self._take(self._order.take(context_id, value))
            except OutOfOrder:
                self.abort()
            except Exception as error:  # noqa: BLE001  (the outermost handler of what this association receives)
                log_broken(RoleName.RECEIVER, error)
                self.abort()

    def send_msg(self, primitive: Any, context_id: int) -> None:
        if self._is_broken:
            return  # the library would raise in the thread of the connection, which has been aborted
        super().send_msg(primitive, context_id)
        self.answered += 1

    def close(self) -> None:
        """Throw away what will not be acknowledged any more: a half data set, and whole ones that nobody answered."""
        self._is_broken = True
        self._drop()
        while self._arrived:
            self._arrived.popitem()[1].drop()

    def begin_store(self, context_id: int, value: memoryview, command: StoreCommand, transfer_syntax_uid: str) -> None:
        """A whole C-STORE request has come the fast way, between two messages; `value` is its fragment."""
        self._order.take(context_id, value)
        self._order.command_ended(data_set_follows=True)
        self.begun += 1
        self._arrival = self._begin_instance(command.sop_class_uid, command.sop_instance_uid, command.sop_class_uid, transfer_syntax_uid)
        self._arrival.store_priority, self._arrival.moved_for = StorePriority.of(command.priority), command.moved_for

    def take_data_set(self, context_id: int, value: memoryview) -> Arrival | None:
        """A fragment of its data set has come; gives what has arrived when that was the last one. Raises OutOfOrder."""
        fragment = self._order.take(context_id, value)
        arrival = self._arrival
        assert arrival is not None
        self._size_bytes += len(fragment.content)
        self._write_data(fragment, arrival)
        if not fragment.is_last:
            return None
        self._arrival, self._size_bytes = None, 0
        self._order.message_ended()
        return arrival

    def take_arrival(self, request: object) -> Arrival:
        """What arrived with a request."""
        return self._arrived.pop(id(request))

    def _take(self, fragment: Fragment) -> None:
        self._size_bytes += len(fragment.content)
        if fragment.is_command:
            self._take_command(fragment)
        elif self._arrival is not None:
            self._take_data(fragment, self._arrival)
        else:
            self._take_other_data(fragment)
        if fragment.is_last:
            self._size_bytes = 0

    def _take_command(self, fragment: Fragment) -> None:
        waiting = max(self.msg_queue.qsize(), self.begun - self.answered - 1)  # one is being served
        if self._size_bytes > _COMMAND_LIMIT_BYTES or waiting >= _WAITING_LIMIT:
            raise OutOfOrder
        self._pass_on(fragment)
        if not fragment.is_last:
            return
        self._order.command_ended(data_set_follows=self.message is not None)
        self.begun += 1
        if isinstance(self.message, C_STORE_RQ):
            self._arrival = self._begin(fragment.context_id, self.message)

    def _begin(self, context_id: int, message: DIMSEMessage) -> Arrival:
        context = next((context for context in self.assoc.accepted_contexts if context.context_id == context_id), None)
        if context is None:
            raise OutOfOrder  # a request on a context that was never accepted
        command = message.command_set
        sop_class_uid, sop_instance_uid = (str(command.get(f"AffectedSOP{name}UID", "") or "") for name in ("Class", "Instance"))
        arrival = self._begin_instance(sop_class_uid, sop_instance_uid, str(context.abstract_syntax), str(context.transfer_syntax[0]))
        number = command.get("Priority")
        arrival.store_priority = StorePriority.of(number if isinstance(number, int) else None)
        arrival.moved_for = str(command.get("MoveOriginatorApplicationEntityTitle", "") or "")
        return arrival

    def _take_data(self, fragment: Fragment, arrival: Arrival) -> None:
        self._write_data(fragment, arrival)
        if fragment.is_last:
            self._finish(fragment.context_id, arrival)

    def _write_data(self, fragment: Fragment, arrival: Arrival) -> None:
        if self._size_bytes > 2 * self._largest_object_bytes:
            raise OutOfOrder  # refused already, and it does not end
        if self._size_bytes > self._largest_object_bytes:
            arrival.refuse(UnacceptableInstance(CANNOT_UNDERSTAND, "object is larger than the node takes"))
        if arrival.incoming is not None:
            try:
                arrival.incoming.write(fragment.content)
            except SpoolError as error:
                arrival.refuse(error)  # the data set is read to its end all the same: the association lives on

    def _finish(self, context_id: int, arrival: Arrival) -> None:
        """Hand a whole request to the association's thread; or answer at once what pynetdicom would not carry further."""
        message, self.message, self._arrival = self.message, None, None
        assert message is not None
        self._order.message_ended()
        request: object = None
        with contextlib.suppress(ValueError):  # a UID of more than 64 characters, or a number out of range
            request = message.message_to_primitive()
        if isinstance(request, C_STORE) and request.is_valid_request:
            self._arrived[id(request)] = arrival
            self.msg_queue.put((context_id, request))
            return
        arrival.refuse(UnacceptableInstance(CANNOT_UNDERSTAND, "command lacks a UID, or has one that is none"))
        self._refuse(context_id, message.command_set.get("MessageID"), arrival.refusal)

    def _refuse(self, context_id: int, message_id: object, error: NodeError | None) -> None:
        if not isinstance(message_id, int) or error is None:
            raise OutOfOrder  # nothing that could be answered
        response = C_STORE()
        response.MessageIDBeingRespondedTo = message_id
        status, comment = status_of(error)
        response.Status = status
        vars(response)["ErrorComment"] = comment  # the library's types know only its default, None
        self.send_msg(response, context_id)

    def _take_other_data(self, fragment: Fragment) -> None:
        if self._size_bytes > _OTHER_DATA_LIMIT_BYTES:
            raise OutOfOrder
        if isinstance(self.message, N_EVENT_REPORT_RQ) and fragment.is_last:
            self._finish_report(fragment, self.message)
        else:
            self._pass_on(fragment)
        if fragment.is_last:
            self._order.message_ended()

    def _finish_report(self, fragment: Fragment, message: DIMSEMessage) -> None:
        """Let a report wait for its turn like every other request: the library would start a thread for each, however many come."""
        self.message = None
        message.decode_msg(_wrap(fragment), self.assoc)
        try:
            request: Any = message.message_to_primitive()
        except ValueError as cause:  # a UID of more than 64 characters, or a number out of range
            raise OutOfOrder from cause
        self.msg_queue.put((fragment.context_id, request))

    def _pass_on(self, fragment: Fragment) -> None:
        super().receive_primitive(_wrap(fragment))

    def abort(self) -> None:
        """End an association whose peer breaks the rules."""
        self._is_broken = True
        self._drop()
        # Evt19, an invalid PDU: A-ABORT, and the connection is closed (PS3.8 9.2, AA-8)
        self.dul.event_queue.put("Evt19")

    def _drop(self) -> None:
        arrival, self._arrival, self.message = self._arrival, None, None
        if arrival is not None:
            arrival.drop()


def _wrap(fragment: Fragment) -> P_DATA:
    header = (COMMAND_BIT if fragment.is_command else 0) | (LAST_BIT if fragment.is_last else 0)
    one = P_DATA()
    value: Any = [fragment.context_id, bytes([header]) + bytes(fragment.content)]  # a list; the library's types say tuple
    one.presentation_data_value_list = [value]
    return one
