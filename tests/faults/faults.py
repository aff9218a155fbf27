"""What is broken, and how: each fault is a function that inflicts it on a site and lifts it again.

A fault gets the site, the studies that are under way, and a seeded generator. When it returns, nothing is broken any more, though
what was broken may still be coming up again.
"""

import os
import random
import signal
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from tests.faults import shim
from tests.faults.hosts import INFERENCE, RECEIVER, WORKER, Host, Site
from tests.faults.outside import Sending
from tests.peers.archive import Archive
from tests.peers.waiting import wait_until

Inflict = Callable[[Site, Sequence[Sending], random.Random], None]
SEGMENTATION, REPORT = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"
_PAGE_BYTES = 4096


def for_a_while(seconds: float) -> None:
    """A fault that lasts: the time is part of it."""
    Event().wait(seconds)


@dataclass(frozen=True)
class Duration:
    """How long faults last that last: a minute for a stopped process in the whole matrix, less in the short one."""

    stopped_s: float
    broken_s: float


LONG, SHORT = Duration(stopped_s=60.0, broken_s=4.0), Duration(stopped_s=3.0, broken_s=2.0)


def kill(role: str) -> Inflict:
    """SIGKILL to one role; `serve` starts it again."""

    def inflict(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
        order = list(range(len(site.hosts)))
        chance.shuffle(order)
        # The first machine that has it: one that was just killed is not there yet.
        wait_until(lambda: any(site.kill_role(role, number) for number in order), limit_s=30.0, every_s=0.01, what=site.log_end)

    return inflict


def kill_host(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """SIGKILL to everything of one machine. With two, it stays away until the studies are finished; else it is started again."""
    number = chance.randrange(len(site.hosts))
    site.kill_host(number)
    if len(site.hosts) == 1:
        site.begin()


def kill_database(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """SIGKILL to the database server and all its processes; it is back after a moment."""
    assert site.postgres is not None
    site.postgres.kill()
    site.kills += 1
    for_a_while(chance.uniform(0.2, 2.0))
    site.postgres.start()


def cut_power(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """Everything ends at once; of the data folder only what was flushed is left. (PostgreSQL's own files are its business.)"""
    assert site.shim is not None
    if site.postgres is not None:
        site.postgres.kill()
    for number in range(len(site.hosts)):
        site.kill_host(number)
    site.shim.cut_power()
    if site.postgres is not None:
        site.postgres.start()
    site.begin()


def stop(role: str, duration: Duration) -> Inflict:
    """SIGSTOP to a role of one machine, and SIGCONT after a while."""

    def inflict(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
        host = site.hosts[chance.randrange(len(site.hosts))]
        stopped = host.pids(role)
        for pid in stopped:
            _send(pid, signal.SIGSTOP)
        for_a_while(duration.stopped_s)
        for pid in stopped:
            _send(pid, signal.SIGCONT)

    return inflict


def fail_disk(fault: int, duration: Duration) -> Inflict:
    """From the n-th writing call on, the disk refuses; it recovers after a while."""

    def inflict(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
        assert site.shim is not None
        site.shim.fail(fault, after=chance.randrange(30))
        for_a_while(duration.broken_s)
        site.shim.heal()

    return inflict


def answer_stores(statuses: Sequence[int]) -> Inflict:
    """The archive answers so to the next objects of each kind."""

    def inflict(site: Site, sendings: Sequence[Sending], chance: random.Random) -> None:
        for sop_class in (SEGMENTATION, REPORT):
            site.archive.answers.stores[sop_class] = [*statuses] * len(sendings)

    return inflict


def answered(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """Whether the archive has answered all that it was told to answer."""
    left = sum(len(statuses) for statuses in site.archive.answers.stores.values())
    site.archive.answers.stores.clear()
    assert not left, f"{left} answers of the archive were not asked for"


def refuse_for_good(site: Site, sendings: Sequence[Sending], chance: random.Random) -> None:
    """The archive answers C000; nothing is sent again by itself, and a person retries."""
    answer_stores([0xC000])(site, sendings, chance)
    wanted = {sending.study_instance_uid for sending in sendings}

    def all_undelivered_or_done() -> bool:
        states = {one["study"]: one["state"] for one in site.status() if one["study"] in wanted}
        return len(states) == len(wanted) and all(state in ("undelivered", "done") for state in states.values())

    wait_until(all_undelivered_or_done, limit_s=60.0, every_s=0.5, what=site.log_end)
    for sending in sendings:
        site.hosts[-1].run("replay", sending.study_instance_uid)


def answer_for_a_while(duration: Duration, **wrong: Any) -> Inflict:
    """The archive rejects associations, or says nothing."""

    def inflict(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
        before = {name: getattr(site.archive.answers, name) for name in wrong}
        for name, value in wrong.items():
            setattr(site.archive.answers, name, value)
        for_a_while(duration.broken_s)
        for name, value in before.items():
            setattr(site.archive.answers, name, value)

    return inflict


def commit(**wrong: Any) -> Inflict:
    """Storage commitment reports come never, twice, before the answer, or say that an object was lost."""

    def inflict(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
        for name, value in wrong.items():
            setattr(site.archive.answers, name, value)

    return inflict


def lose_what_was_sent(site: Site, sendings: Sequence[Sending], chance: random.Random) -> None:
    """The archive acknowledges objects that it does not keep, until it has done so with one; only asking for proof finds that."""
    before = len(site.archive.record)
    site.archive.answers.dropped |= {SEGMENTATION, REPORT}
    site.archive.wait_for(lambda archive: len(archive.record) > before, 30.0)
    site.archive.answers.dropped.clear()


def take_archive_down(duration: Duration) -> Inflict:
    """Nobody listens there for a while."""

    def inflict(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
        old = site.archive
        old.stop()
        for_a_while(duration.broken_s)
        site.archive = Archive(old.folder, port=old.port, peers=old.peers.values()).start()

    return inflict


def cut_line_in(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """The next associations of the sender break in the middle of a PDU."""
    for _number in range(2):
        site.gate.cut_after(chance.randrange(500, 30_000))


def cut_line_out(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """The next association to the archive breaks in the middle of a PDU."""
    site.line.cut_after(chance.randrange(400, 6_000))


_CLOCK_SET = '"event": "ClockSet"'


def set_clock(seconds: int) -> Inflict:
    """The clock of every machine is set, and stays so."""

    def inflict(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
        assert site.shim is not None
        site.new_events()
        site.shim.set_clock(seconds)

    return inflict


def set_clock_right(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """It is right again, and every worker has seen that, as it has seen before that it was wrong: no clock is set twice within a second."""
    assert site.shim is not None
    _wait_until_seen(site, _CLOCK_SET, '"event": "RoleStarted", "role": "worker"')  # one that came later knows no other clock
    site.shim.set_clock(0)
    _wait_until_seen(site, _CLOCK_SET)


def _wait_until_seen(site: Site, *events: str) -> None:
    """Until each machine's log has one of the events, from what was read of it before."""
    for host in site.hosts:
        seen: list[str] = []

        def is_seen(host: Host = host, seen: list[str] = seen) -> bool:
            seen.append(host.new_events())
            return any(event in "".join(seen) for event in events)

        wait_until(is_seen, limit_s=60.0, every_s=0.1, what=site.log_end)


def damage_journal(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """Pages of SQLite's file are overwritten while the node is down, until SQLite itself says that it is damaged."""
    site.kill_host(0)
    journal = site.data / "journal.sqlite"
    with sqlite3.connect(journal) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")  # else the pages would come again from the write-ahead log
    connection.close()
    while not _is_damaged(journal):
        pages = journal.stat().st_size // _PAGE_BYTES
        with journal.open("r+b") as file:
            file.seek(_PAGE_BYTES * chance.randrange(pages))
            file.write(b"\xa5" * _PAGE_BYTES)
    site.begin()


def _is_damaged(journal: Path) -> bool:
    connection = sqlite3.connect(journal)
    try:
        return bool(connection.execute("pragma integrity_check(1)").fetchall() != [("ok",)])
    except sqlite3.DatabaseError:
        return True
    finally:
        connection.close()


def damage_for_good(site: Site, sendings: Sequence[Sending], chance: random.Random) -> None:
    """The same, where all is done; over when the node says again that it is."""
    damage_journal(site, sendings, chance)
    wanted = {sending.study_instance_uid for sending in sendings}

    def all_done() -> bool:
        found = [one for one in site.status() if one["study"] in wanted and one["state"] == "done"]
        return len(found) == len(wanted)

    site.start()
    wait_until(all_done, limit_s=90.0, every_s=0.5, what=site.log_end)


def spoil_model(site: Site, sendings: Sequence[Sending], chance: random.Random) -> None:
    """The network's file is cut short when the node starts; it says so for each study. Then it is put back, and the node restarted."""
    model: Path = site.package / "bright.onnx"
    whole = model.read_bytes()
    for number in range(len(site.hosts)):
        site.kill_host(number)
    model.write_bytes(whole[: len(whole) // 2])
    site.start()
    wanted = {sending.study_instance_uid for sending in sendings}

    def all_refused() -> bool:
        found = [one for one in site.status() if one["study"] in wanted and one["state"] == "done"]
        return len(found) == len(wanted)

    wait_until(all_refused, limit_s=60.0, every_s=0.5, what=site.log_end)
    for number in range(len(site.hosts)):
        site.kill_host(number)
    model.write_bytes(whole)
    site.begin()


def send_from_everywhere(site: Site, sendings: Sequence[Sending], chance: random.Random) -> None:
    """The same studies again from three more senders at once."""
    for sending in sendings:
        again = Sending(sending.study_instance_uid, sending.instances)
        again.start(site.gate.port, by_turns=3)


def nothing(site: Site, _: Sequence[Sending], chance: random.Random) -> None:
    """The way without a fault, to compare with; and that of late images, which the sender holds back."""


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


FULL, READ_ONLY, BROKEN = shim.FULL, shim.READ_ONLY, shim.BROKEN
ROLES = (RECEIVER, WORKER, INFERENCE)
