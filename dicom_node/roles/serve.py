"""The parent: brings the journal to the newest schema, starts the roles, watches them, starts again what died, mends the journal."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dicom_node import journal, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.log import JournalDamaged, RoleDied, RoleName, RoleStarted, RoleStopped, log

from .lifeline import stop_on_signals
from .opening import DAMAGED, hold_name, wait_for_journal
from .replay import rebuild_journal

# A role that dies is started again after this long, doubled up to the limit, and counted anew when it lived for a while.
_FIRST_RESTART_S, _LONGEST_RESTART_S, _LIVED_S = 0.5, 30.0, 60.0
_WATCH_S = 0.2
_GRACE_S = 10.0
# Looking through a journal of this size takes about a second; a larger one is found damaged when a damaged page is read.
_LOOKED_THROUGH_BYTES = 256 << 20


@dataclass(slots=True)
class _Child:
    role: RoleName
    slot: int
    process: subprocess.Popen[bytes] | None
    started: float
    restarts: int = 0
    exit_code: int = 0


def run(config: Config, clock: Clock) -> int:
    """Serve until told to stop; gives the exit status."""
    stop = stop_on_signals()
    config.data.mkdir(parents=True, exist_ok=True)
    engine = journal.open_engine(config.database)
    if not wait_for_journal(engine, clock, stop):
        return 0
    with hold_name(config, engine, "serve", clock) as holder:
        if holder is None:
            print(f"dicom-node: another node already uses {config.data}", file=sys.stderr)
            return 1
        _bring_up(config, clock)
        log(RoleStarted(role=RoleName.SERVE, pid=os.getpid(), port=config.node.receiver.port))
        slots = [(RoleName.RECEIVER, 0), *((RoleName.WORKER, slot) for slot in range(config.node.infer.workers))]
        children = [_Child(role, slot, _start(role, slot, config.file), clock.monotonic()) for role, slot in slots]
        try:
            while not clock.wait(_WATCH_S, stop):
                for child in children:
                    _watch(child, config.file, clock)
                if any(child.process is None and child.exit_code == DAMAGED for child in children):
                    _end(children)
                    _mend(config, clock)
                    _follow_clock(config, clock)
                    for child in children:
                        child.process, child.exit_code, child.restarts, child.started = None, 0, 0, 0.0
        finally:
            _end(children)
    return 0


def _bring_up(config: Config, clock: Clock) -> None:
    """The journal in its newest schema; one that is damaged, or knows of nothing that is there, is made anew first."""
    if journal.is_damaged(config.database, largest_bytes=_LOOKED_THROUGH_BYTES):
        _mend(config, clock)
    elif journal.holds_nothing(config.database) and (spool.open_spool(config).has_any() or journal.open_kept(config).has_records()):
        log(JournalDamaged(rebuild_journal(config, clock)))
    journal.migrate(config.database)
    _follow_clock(config, clock)


def _mend(config: Config, clock: Clock) -> None:
    """Set a damaged journal aside and make another from what lies on the disk; where it is not damaged, nothing happens."""
    if not journal.is_damaged(config.database):
        return
    log(JournalDamaged(rebuild_journal(config, clock)))


def _follow_clock(config: Config, clock: Clock) -> None:
    """From here on: what is received has its delays before a worker is there that follows the clock."""
    if journal.find_file(config.database) is not None:
        engine = journal.open_engine(config.database)
        with engine.begin() as connection:
            journal.follow_clock(connection, clock)
        engine.dispose()


def _start(role: RoleName, slot: int, config_file: Path) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-m", "dicom_node", "serve", "--config", str(config_file), "--role", role.value, "--slot", str(slot))
    # glibc gives each of many threads an arena of its own to fill; two are enough where the work is done on a few cores.
    environment = {"MALLOC_ARENA_MAX": "2"} | os.environ
    return subprocess.Popen((*command, "--parent", str(os.getpid())), stdin=subprocess.DEVNULL, env=environment)


def _watch(child: _Child, config_file: Path, clock: Clock) -> None:
    """Start a role again that ended, after its delay."""
    now = clock.monotonic()
    if child.process is not None:
        exit_code = child.process.poll()
        if exit_code is None:
            return
        log(RoleDied(child.role, exit_code))
        child.restarts = 1 if now - child.started > _LIVED_S else child.restarts + 1
        child.process, child.started, child.exit_code = None, now, exit_code
        if exit_code == DAMAGED:
            return
    if now - child.started >= min(_FIRST_RESTART_S * 2 ** (child.restarts - 1), _LONGEST_RESTART_S):
        child.process, child.started = _start(child.role, child.slot, config_file), now


def _end(children: list[_Child]) -> None:
    """Ask every role to end, and end by force what has not within the grace time."""
    running = [child for child in children if child.process is not None]
    for child in running:
        assert child.process is not None
        child.process.terminate()
    for child in running:
        assert child.process is not None
        try:
            exit_code = child.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.process.kill()
            exit_code = child.process.wait()
        log(RoleStopped(child.role, exit_code))
