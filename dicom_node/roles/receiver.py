"""Takes images from the network: a file and a receipt for each, then the acknowledgement."""

import os

from dicom_node import journal, receive, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.log import RoleName, RoleStarted, log

from .lifeline import hold_slot, stop_on_signals

# How long an earlier receiver may take to end before this one gives up; the parent then starts it again.
_SLOT_LIMIT_S = 20.0
_GRACE_S = 5.0


def run(config: Config, clock: Clock) -> int:
    """Receive until told to stop; gives the exit status."""
    stop = stop_on_signals()
    with hold_slot(config.data / "receiver.lock", clock, limit_s=_SLOT_LIMIT_S) as held:
        if not held:
            return 1
        engine = journal.open_engine(config.database)
        client = journal.Client(engine, look_delay_s=config.first_look_s)
        with journal.open_receipts(engine, client, clock) as receipts:
            receipts.receiver_started("")  # whoever held the slot before is gone, under whatever host name it ran
            receiver = receive.Receiver(config, spool.Spool(config.spool), receipts, clock)
            port = receiver.start()
            log(RoleStarted(role=RoleName.RECEIVER, pid=os.getpid(), port=port))
            stop.wait()
            receiver.stop(_GRACE_S)
    return 0
