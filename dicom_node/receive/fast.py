"""The fast way of a C-STORE request: from the socket straight to the disk, and its answer straight back.

pynetdicom takes 2.8 ms for an image of 0.5 MB, most of it for objects around bytes and for waiting between two threads. Here its
upper layer hands the socket to a loop while whole C-STORE requests of the usual form come; whatever else comes stays unread, and
pynetdicom goes on as if nobody had looked. Checks, limits and the receipt are those of the slow way: the same `Intake` before,
the same `serve` behind. docs/decisions/0015.
"""

import socket
import struct
from collections.abc import Callable
from typing import cast

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider

from dicom_node.clock import SystemClock
from dicom_node.log import RoleName, log_broken

from .command import COMMAND_SET, StoreCommand, encode_answer, parse_store
from .connection import BoundedSocket
from .fragments import OutOfOrder
from .receipt import Arrival
from .storage import Intake

KNOWN_VERSIONS = ("3.0.4",)  # of pynetdicom, whose private parts were read; with another one the slow way is taken

Serve = Callable[[Intake, Arrival], tuple[int, str]]  # status and comment for what has arrived

_SILENCE_S = 0.05  # after which pynetdicom looks after the association again
_SMALLEST_ANSWER_PDU = 1024  # a peer that takes no PDU of this size gets its answers in pieces, from pynetdicom
_BLOCK_BYTES = 1 << 18  # read at once: more would leave the processor's cache before it is written
_P_DATA_TF = 4
_PDU_HEADER, _PDV_HEADER = struct.Struct(">BxI"), struct.Struct(">IB")  # type, length; length, context ID (PS3.8 9.3.5)


class NotOurs(Exception):
    """What is unread is for pynetdicom."""


class FastProvider(DULServiceProvider):
    """pynetdicom's upper layer of one accepted association."""

    def __init__(self, association: Association, serve: Serve) -> None:
        super().__init__(association)
        self._serve = serve
        self._stores: _Stores | None = None

    def _read_pdu_data(self) -> None:
        if not (self._may_begin() and self._take_stores()):
            super()._read_pdu_data()

    def _may_begin(self) -> bool:
        """Whether the association is between two messages, with nothing on its way in or out."""
        association = self.assoc
        return (
            self.state_machine.current_state == "Sta6"
            and association.is_established
            and cast(Intake, association.dimse).is_idle
            and not self.to_provider_queue.queue  # looked at after `is_idle`: an answer is put here before it counts as given
            and not 0 < (association.requestor.maximum_length or 0) < _SMALLEST_ANSWER_PDU
        )

    def _take_stores(self) -> bool:
        """Take requests until nothing comes any more; False where something else comes, which pynetdicom has to read at once."""
        line = cast(BoundedSocket, self.socket)
        if line.socket is None:
            return False
        if self._stores is None:
            self._stores = _Stores(self.assoc, self._serve, _Reader(line, line.socket))
        stores, reader, association = self._stores, self._stores.reader, self.assoc
        association._reactor_checkpoint.clear()  # its thread would look a thousand times a second whether there is something to do
        reader.enter()
        try:
            while not (self.to_provider_queue.queue or self._kill_thread) and reader.wait_for_pdu(is_amid=stores.is_amid):
                stores.take_pdu()
        except NotOurs:
            return False
        except OutOfOrder:
            stores.intake.abort()
        except (OSError, EOFError):
            self.event_queue.put("Evt17")  # the connection is closed
        except Exception as error:  # noqa: BLE001  (the outermost handler of what this association receives)
            log_broken(RoleName.RECEIVER, error)
            stores.intake.abort()
        finally:
            reader.leave()
            self._idle_timer.restart()  # before the association's thread looks at it again
            association._reactor_checkpoint.set()
        return True


class _Reader:
    """Reads whole PDUs into one buffer. `at` is where the unread begins, `end` where the PDU does that is at hand."""

    def __init__(self, line: BoundedSocket, connection: socket.socket) -> None:
        self._line, self._connection = line, connection
        self.buffer = bytearray(line.largest_pdu_bytes + _PDU_HEADER.size)
        self.view = memoryview(self.buffer)
        self._clock = SystemClock()
        self.at = self.end = self._filled = 0

    def enter(self) -> None:
        """Take the socket, with what is unread of it."""
        unread = self._line.take_unread()
        self.at, self.end, self._filled = 0, 0, len(unread)
        self.view[: len(unread)] = unread
        self._connection.settimeout(_SILENCE_S)

    def wait_for_pdu(self, *, is_amid: bool) -> bool:
        """Wait for the next whole PDU; False where nothing comes between two messages.

        Raises NotOurs for what is no P-DATA-TF, or is too long; amid a message, and where a PDU does not come in time, OutOfOrder.
        Raises EOFError or OSError where the connection is closed.
        """
        if self.at == self._filled:
            self.at = self._filled = 0
        latest = self._clock.monotonic() + self._line.timeout_s
        while (missing := self._find_missing(is_amid=is_amid)) > 0:
            if self._filled + missing > len(self.buffer):
                self._move_to_front()
            try:
                count = self._connection.recv_into(self.view[self._filled : self._filled + _BLOCK_BYTES])
                if not count:
                    raise EOFError
                self._filled += count
            except TimeoutError:
                if not is_amid:
                    if self._filled > self.at:
                        raise NotOurs from None  # half a PDU: pynetdicom waits for its rest, or calls it silence
                    return False
            if self._clock.monotonic() > latest:
                raise OutOfOrder
        return True

    def send(self, content: bytes) -> None:
        """Send at most as long as one PDU may take. Raises OSError."""
        self._connection.settimeout(self._line.timeout_s)
        self._connection.sendall(content)
        self._connection.settimeout(_SILENCE_S)

    def split(self, at: int) -> None:
        """Make a PDU of its own of what is left of the one at hand from a fragment on."""
        if at > self.at + _PDU_HEADER.size:
            self.at = at - _PDU_HEADER.size  # over the end of a fragment that was taken
            _PDU_HEADER.pack_into(self.buffer, self.at, _P_DATA_TF, self.end - at)

    def leave(self) -> None:
        """Give the socket back, with what is unread."""
        self._line.give_back(self.view[self.at : self._filled])

    def _find_missing(self, *, is_amid: bool) -> int:
        """How many bytes the PDU lacks, as far as that is known. Raises NotOurs or OutOfOrder."""
        has = self._filled - self.at
        if has < _PDU_HEADER.size:
            return _PDU_HEADER.size - has
        kind, length = _PDU_HEADER.unpack_from(self.buffer, self.at)
        if kind != _P_DATA_TF and is_amid:
            raise NotOurs  # release or abort: pynetdicom ends the association, and what has arrived is dropped
        if kind != _P_DATA_TF or length > self._line.largest_pdu_bytes:
            raise OutOfOrder if is_amid else NotOurs
        self.end = self.at + _PDU_HEADER.size + int(length)
        return self.end - self._filled

    def _move_to_front(self) -> None:
        self.view[: self._filled - self.at] = self.view[self.at : self._filled]
        self.at, self._filled = 0, self._filled - self.at


class _Stores:
    """The C-STORE requests of one association, fragment by fragment."""

    def __init__(self, association: Association, serve: Serve, reader: _Reader) -> None:
        self.intake, self._serve, self.reader = cast(Intake, association.dimse), serve, reader
        self._contexts = {one.context_id: (str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in association.accepted_contexts}
        self._request: tuple[int, StoreCommand] | None = None  # whose data set is arriving, and its context

    @property
    def is_amid(self) -> bool:
        """Whether a data set is arriving."""
        return self._request is not None

    def take_pdu(self) -> None:
        """Raises NotOurs where another message begins in it, OutOfOrder where the peer breaks the rules of fragments."""
        reader = self.reader
        at = reader.at + _PDU_HEADER.size
        while at < reader.end:
            left = reader.end - at
            length, context_id = _PDV_HEADER.unpack_from(reader.buffer, at) if left > _PDV_HEADER.size else (0, 0)
            is_whole = 2 <= length <= left - 4
            value = reader.view[at + 5 : at + 4 + length]
            if self._request is None:
                command = parse_store(value[1:]) if is_whole and value[0] == COMMAND_SET else None
                if command is None or not self._begin(context_id, command, value):
                    reader.split(at)
                    raise NotOurs
            elif not is_whole:
                raise OutOfOrder
            else:
                self._take_data(context_id, value, *self._request)
            at += 4 + length
        reader.at = reader.end

    def _begin(self, context_id: int, command: StoreCommand, value: memoryview) -> bool:
        abstract_syntax, transfer_syntax_uid = self._contexts.get(context_id, ("", ""))
        if command.sop_class_uid != abstract_syntax:
            return False
        self.intake.begin_store(context_id, value, command, transfer_syntax_uid)
        self._request = context_id, command
        return True

    def _take_data(self, context_id: int, value: memoryview, own_context_id: int, command: StoreCommand) -> None:
        arrival = self.intake.take_data_set(context_id, value)
        if arrival is None:
            return
        self._request = None
        status, comment = self._serve(self.intake, arrival)
        self.reader.send(encode_answer(own_context_id, command, status, comment))
        self.intake.answered += 1
