"""The inference process: the one place where models, native libraries and untrusted compressed pixels meet.

Run by `infer.Device` as `python -m dicom_node.roles.inference THREADS PROVIDER TUNED DESCRIPTOR`; not a command for people.
"""

import os
import signal
import sys
from pathlib import Path

from dicom_node import assemble, spool
from dicom_node.clock import SystemClock
from dicom_node.infer import process
from dicom_node.log import RoleName, log_broken, start_logging
from dicom_node.package import load_package
from dicom_node.values import CompletenessRule, Geometry, InstanceRef, Provider, Reason, SeriesHeaders, Volume

from .lifeline import die_with_parent


def main(threads: int, provider: Provider, tuned: Path, replies: int) -> None:
    """Answer tasks from standard input on the descriptor `replies` until the parent ends."""
    die_with_parent(os.getppid())  # a parent that is gone already shows as the end of standard input
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the parent, which ends us in order
    _silence_libraries()
    start_logging("warning")
    headers, frames, room = spool.HeadersAhead(), assemble.FramesAhead(), assemble.Room()

    def read_ahead(root: Path, instances: tuple[InstanceRef, ...]) -> None:
        for one in headers.read_ahead(root, instances):
            frames.read_ahead(root, one)

    def fill(root: Path, series: SeriesHeaders, geometry: Geometry) -> Volume | Reason:
        frames.keep({one.instance.file for one in series.instances})
        volume = assemble.read_volume(root, series, geometry, frames.read_frames, room.take)
        frames.keep(())  # of images that are in no volume
        return volume

    whole = assemble.VolumeAhead(fill)

    def read_headers(root: Path, instances: tuple[InstanceRef, ...], *, rule: CompletenessRule, **of: str) -> SeriesHeaders:
        return whole.find_headers(root, instances, rule) or headers.read_headers(root, instances, rule=rule, **of)

    readers = process.Readers(
        read_headers=read_headers,
        read_ahead=read_ahead,
        read_volume=whole.read_volume,
        read_volume_ahead=whole.read_ahead,
        load_package=load_package,
        monotonic=SystemClock().monotonic,
    )
    count = process.count_threads(threads)
    sessions = process.Sessions(count, provider, process.read_settings(tuned, process.describe_device(count, provider)))
    with os.fdopen(replies, "wb") as answers:
        process.serve(sys.stdin.buffer, answers, readers, sessions, lambda error: log_broken(RoleName.INFERENCE, error))


def _silence_libraries() -> None:
    """Keep standard error for our own log; what native libraries write there by themselves may hold values."""
    own = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(own, "w", encoding="utf-8", buffering=1)


if __name__ == "__main__":
    main(int(sys.argv[1]), Provider(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
