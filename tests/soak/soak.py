"""Starts a node, an archive and a sender, samples what the node holds while they work, and says what came of it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from dicom_node.config import load_config
from tests.faults.studies import write_package
from tests.peers.node import NodeProcess, write_node
from tests.peers.ports import find_free_port
from tests.peers.postgres import start_postgres
from tests.peers.waiting import wait_until
from tests.places import REPOSITORY

from .ledger import Ledger
from .plot import Panel, draw
from .samples import ROLES, Journal, Sampler
from .sending import OVER_LIMIT_S, Sender
from .slopes import Slope, judge_slopes
from .studies import Studies

_LOOK_S = 0.5
_MINUTE_H, _MINUTE_DAYS = 1 / 60, 1 / 1440
# So short that images, results, records and jobs that were done come and go from the third minute on.
RETENTION = {
    "images_after_h": _MINUTE_H,
    "results_days": 1.5 * _MINUTE_DAYS,
    "records_days": 2 * _MINUTE_DAYS,
    "jobs_h": 1.5 * _MINUTE_H,
}
_SETTINGS: dict[str, Any] = {
    "assemble": {"quiet_s": 1.0, "broken_s": 3.0},
    "infer": {"threads": 1},
    "deliver": {"first_retry_s": 0.5, "longest_retry_s": 5.0, "proof_wait_s": 2.0},
    "retention": RETENTION,
}
PANELS = (
    Panel("Resident memory", "MiB", [(f"{role}.rss_mib", role) for role in ROLES]),
    Panel("Open files", "count", [(f"{role}.files", role) for role in ROLES]),
    Panel("Threads", "count", [(f"{role}.threads", role) for role in ROLES]),
    Panel(
        "Disk",
        "MiB",
        [("disk.spool_mib", "spool"), ("disk.kept_mib", "kept"), ("disk.journal_mib", "journal"), ("disk.wal_mib", "its log")],
    ),
    Panel("Files and folders", "count", [("entries.spool", "spool"), ("entries.kept", "kept")]),
    Panel("Rows of the journal: images", "count", [("rows.node_instances", "instances")]),
    Panel(
        "Rows of the journal",
        "count",
        [(f"rows.node_{name}", name) for name in ("studies", "results", "deliveries", "commitments", "actions")],
    ),
    Panel("Rows of the engine", "count", [("rows.workflow_status", "jobs"), ("rows.operation_outputs", "steps")]),
    Panel(
        "Queue depth",
        "count",
        [
            ("queue.studies_not_done", "studies not done"),
            ("queue.live_jobs", "jobs that wait or run"),
            ("queue.open_series", "open series"),
        ],
    ),
    Panel("Finished", "per minute", [("rate.studies_per_minute", "studies")]),
    Panel("Taken", "per second", [("rate.images_per_second", "images")]),
    Panel("The machine", "load over one minute", [("machine.load", "load")]),
)


@dataclass(frozen=True)
class Outcome:
    """What a soak came to. `said` is for a person."""

    minutes: float
    studies: int
    images: int
    lost: int
    doubled: int
    resent: int
    restarts: int
    slopes: Sequence[Slope]
    said: Sequence[str]

    @property
    def not_flat(self) -> tuple[str, ...]:
        return tuple(one.series for one in self.slopes if not one.is_flat)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.restarts or self.not_flat or self.said) and self.studies > 0

    @property
    def last_line(self) -> str:
        flat = "yes" if not self.not_flat else f"no ({', '.join(self.not_flat)})"
        counts = f"studies={self.studies} images={self.images} lost={self.lost} doubled={self.doubled}"
        return f"soak: minutes={self.minutes:.1f} {counts} flat={flat}"


def soak(
    out: Path,
    folder: Path,
    *,
    minutes: float,
    at_once: int,
    every_s: float,
    warm_up_minutes: float,
    database: str = "",
    report: Callable[[str], None] = print,
) -> Outcome:
    """Run for so many minutes; writes `samples.csv` and `soak.png` to `out`. `folder` holds the node's data, on a real disk."""
    with ExitStack() as stack:
        node, archive = stack.enter_context(open_site(folder, database))
        journal = Journal(database or load_config(node.config).database)
        stack.callback(journal.close)
        ledger = Ledger(archive, journal.find_done)
        start = monotonic()
        sender = Sender(node.port, Studies(), ledger, at_once, start + 60 * minutes)
        sampler = Sampler(node, journal)
        sender.start()
        _watch(sender, sampler, start, every_s, report)
        end_minutes = (monotonic() - start) / 60
        ledger.close()
    # Until the sender stops: afterwards everything goes down.
    during = [row for row in sampler.rows if row["minutes"] <= minutes]
    slopes = judge_slopes(during, warm_up_minutes)
    said = (*sender.failures, *ledger.said)
    outcome = Outcome(
        end_minutes, ledger.finished, ledger.images, ledger.lost, ledger.doubled, ledger.resent, sampler.restarts, slopes, said
    )
    out.mkdir(parents=True, exist_ok=True)
    sampler.write(out / "samples.csv")
    form = "PostgreSQL" if database else "SQLite"
    rate = f"{ledger.finished / minutes:.0f} studies/min, {ledger.images / minutes / 60:.0f} images/s"
    counts = f"{ledger.finished} studies, {ledger.images} images, {ledger.lost} lost, {ledger.doubled} doubled"
    asides = f"{sender.refused} refused, {sender.broken} broken off, {ledger.resent} sent again"
    head = (f"The node at full rate for {minutes:g} minutes, {form}, {os.cpu_count()} cores: {rate}", f"{counts}; {asides}. Warm-up grey.")
    draw(during, PANELS, head, warm_up_minutes, out / "soak.png")
    report(f"{rate}; {counts}; {asides}; {sender.again} times the sender had to try again; {outcome.restarts} processes died")
    return outcome


def _watch(sender: Sender, sampler: Sampler, start: float, every_s: float, report: Callable[[str], None]) -> None:
    """Look at the archive, and take a sample when it is time, until everything that was begun is over."""
    ledger = sender.ledger
    next_sample, last = start, (start, 0, 0)

    def look() -> bool:
        nonlocal next_sample, last
        ledger.look()
        now = monotonic()
        if now >= next_sample:
            next_sample = max(next_sample + every_s, now)
            passed_s = max(now - last[0], 1e-3)
            rates = {
                "rate.images_per_second": (sender.acknowledged - last[2]) / passed_s,
                "rate.studies_per_minute": (ledger.finished - last[1]) / passed_s * 60,
            }
            first = not sampler.rows
            last = (now, ledger.finished, sender.acknowledged)
            outside = {} if first else rates
            sampler.take((now - start) / 60, {**outside, "sender.under_way": len(ledger.under_way), "machine.load": os.getloadavg()[0]})
            if len(sampler.rows) % 12 == 0:
                report(f"{(now - start) / 60:5.1f} min: {ledger.finished} studies finished, {len(ledger.under_way)} under way")
        return not sender.is_at_work

    limit_s = sender.until - start + 2 * OVER_LIMIT_S
    with contextlib.suppress(AssertionError):  # what is not over then is said to be lost
        wait_until(look, limit_s=limit_s, what="the sender is still at work", every_s=_LOOK_S)


@contextmanager
def open_site(folder: Path, database: str) -> Iterator[tuple[NodeProcess, Path]]:
    """A started node and the folder of its archive, which runs in a process of its own."""
    port = find_free_port()
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": port, "may": ["receive"], "proof": "commitment"}
    settings = _SETTINGS | ({"database": database} if database else {})
    package = write_package(folder / "bright", overlap=0.25)
    node = write_node(folder / "node", peers={"pacs": pacs}, models=[package], settings=settings)
    archive = folder / "archive"
    archive.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.peers.archive", "--folder", str(archive), "--port", str(port)]
    with ExitStack() as stack:
        process = subprocess.Popen(
            [*command, "--peer", f"node=NODE:127.0.0.1:{node.port}"], cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        stack.callback(_end, process)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["port"] == port
        node.start()
        stack.callback(lambda: node.kill() if node.process is not None else None)
        yield node, archive
        node.stop()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def open_database(name: str) -> Iterator[str]:
    """The URL for a form; empty for the embedded one."""
    if name == "sqlite":
        yield ""
        return
    with start_postgres() as server:
        yield server.create()
