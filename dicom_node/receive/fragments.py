"""The order in which fragments of messages may come: a whole command, then its data set, on one context, nothing between.

pynetdicom 3.0.4 joins the halves of two data sets into one and answers success (fo-dicom #1359); so the order is watched here.
Source: PS3.8 E.1, E.2; PS3.7 6.3.1.
"""

from dataclasses import dataclass
from enum import Enum

COMMAND_BIT, LAST_BIT = 1, 2  # of the message control header (PS3.8 E.2)


class OutOfOrder(Exception):
    """The peer breaks the rules of fragments: nothing that it sends after that can be trusted."""


class Expected(Enum):
    """What the next fragment has to be."""

    MESSAGE = "message"  # the first fragment of a command
    COMMAND = "command"  # the rest of a command
    DATA_SET = "data set"  # a fragment of the data set that belongs to the command


@dataclass(frozen=True, slots=True)
class Fragment:
    """A presentation data value, taken apart."""

    context_id: int
    content: memoryview
    is_command: bool
    is_last: bool


class FragmentOrder:
    """Follows one association."""

    def __init__(self) -> None:
        self.expected = Expected.MESSAGE
        self._context_id = 0

    def take(self, context_id: int, value: bytes | memoryview) -> Fragment:
        """The next fragment, or OutOfOrder."""
        if not value:
            raise OutOfOrder
        header = value[0]
        fragment = Fragment(context_id, memoryview(value)[1:], bool(header & COMMAND_BIT), bool(header & LAST_BIT))
        if fragment.is_command == (self.expected is Expected.DATA_SET):
            raise OutOfOrder  # a command while a data set is unfinished, or data without a command
        if self.expected is Expected.MESSAGE:
            self._context_id = context_id
        elif context_id != self._context_id:
            raise OutOfOrder
        if fragment.is_command:
            self.expected = Expected.COMMAND
        return fragment

    def command_ended(self, *, data_set_follows: bool) -> None:
        """After the last fragment of a command, since only its content says whether a data set follows."""
        self.expected = Expected.DATA_SET if data_set_follows else Expected.MESSAGE

    def message_ended(self) -> None:
        self.expected = Expected.MESSAGE
