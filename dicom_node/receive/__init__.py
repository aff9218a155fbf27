"""Images come in: who may call, one object to bytes on the disk, one receipt."""

from .contexts import build_contexts
from .policy import Admitted, Call, Rejected, judge
from .receipt import Arrival, Receipts, Source, give_receipt
from .server import Receiver

__all__ = ["Admitted", "Arrival", "Call", "Receipts", "Receiver", "Rejected", "Source", "build_contexts", "give_receipt", "judge"]
