"""Images come in: who may call, one object to bytes on the disk, one receipt. And what destinations say of what they hold."""

from .commitment import Commitments, take_report
from .contexts import build_contexts
from .floors import Floors
from .policy import Admitted, Call, Rejected, judge
from .receipt import Arrival, Receipts, Source, give_receipt
from .server import Receiver

__all__ = [
    "Admitted",
    "Arrival",
    "Call",
    "Commitments",
    "Floors",
    "Receipts",
    "Receiver",
    "Rejected",
    "Source",
    "build_contexts",
    "give_receipt",
    "judge",
    "take_report",
]
