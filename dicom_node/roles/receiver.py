"""Takes images from the network: a file and a receipt for each, then the acknowledgement."""

import functools
import os

from dicom_node import journal, receive, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.errors import SchemaTooOld
from dicom_node.log import RoleName, RoleStarted, log

from . import bell
from .lifeline import stop_on_signals
from .opening import hold_name, open_journal, wait_for_journal

_GRACE_S = 5.0


def run(config: Config, clock: Clock) -> int:
    """Receive until told to stop; gives the exit status."""
    stop = stop_on_signals()
    engine = open_journal(config)
    if not wait_for_journal(engine, clock, stop):
        return 0
    if not journal.is_current(engine):
        raise SchemaTooOld
    with hold_name(config, engine, "receiver", clock) as holder:
        if holder is None:
            return 1
        client = journal.Client(engine, look_delay_s=config.first_look_s)
        images = spool.open_spool(config)
        with journal.open_receipts(engine, client, clock, images.has, functools.partial(bell.ring, config.data)) as receipts:
            if journal.find_file(config.database) is not None:
                receipts.receiver_started("")  # the only receiver: whoever had the name before is gone
            commitments = journal.Commitments(engine, client, clock, config.node.deliver)
            floors = _make_floors(config, images, engine)
            receiver = receive.Receiver(config, images, receipts, clock, commitments=commitments, floors=floors, name=holder.name)
            port = receiver.start()
            log(RoleStarted(role=RoleName.RECEIVER, pid=os.getpid(), port=port))
            while not clock.wait(1.0, stop):
                floors.look()
                if not holder.is_held():
                    break  # others may have taken our associations for broken off: end, and begin under another name
            receiver.stop(_GRACE_S)
    return 0 if stop.is_set() else 1


def _make_floors(config: Config, images: spool.Spool, engine: journal.SqlEngine) -> receive.Floors:
    file = journal.find_file(config.database)
    folders = (config.data, *(() if file is None else (file.parent,)))
    return receive.Floors(config.node.receiver, images, folders, lambda limit: journal.count_open_studies(engine, limit))
