"""The parent: brings the database to the newest schema, starts the roles, watches them, starts again what died."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dicom_node import journal
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.log import RoleDied, RoleName, RoleStarted, RoleStopped, log

from .lifeline import hold_slot, stop_on_signals

_ROLES = (RoleName.RECEIVER, RoleName.WORKER)
# A role that dies is started again after this long, doubled up to the limit, and counted anew when it lived for a while.
_FIRST_RESTART_S, _LONGEST_RESTART_S, _LIVED_S = 0.5, 30.0, 60.0
_WATCH_S = 0.2
_GRACE_S = 10.0
_SLOT_LIMIT_S = 20.0


@dataclass(slots=True)
class _Child:
    role: RoleName
    process: subprocess.Popen[bytes] | None
    started: float
    restarts: int = 0


def run(config: Config, clock: Clock) -> int:
    """Serve until told to stop; gives the exit status."""
    stop = stop_on_signals()
    config.data.mkdir(parents=True, exist_ok=True)
    with hold_slot(config.data / "serve.lock", clock, limit_s=_SLOT_LIMIT_S) as held:
        if not held:
            print(f"dicom-node: another node already uses {config.data}", file=sys.stderr)
            return 1
        journal.migrate(config.database)
        log(RoleStarted(role=RoleName.SERVE, pid=os.getpid(), port=config.node.receiver.port))
        children = [_Child(role, _start(role, config.file), clock.monotonic()) for role in _ROLES]
        try:
            while not clock.wait(_WATCH_S, stop):
                for child in children:
                    _watch(child, config.file, clock)
        finally:
            _end(children)
    return 0


def _start(role: RoleName, config_file: Path) -> subprocess.Popen[bytes]:
    command = (sys.executable, "-m", "dicom_node", "serve", "--config", str(config_file), "--role", role.value)
    return subprocess.Popen((*command, "--parent", str(os.getpid())), stdin=subprocess.DEVNULL)


def _watch(child: _Child, config_file: Path, clock: Clock) -> None:
    """Start a role again that ended, after its delay."""
    now = clock.monotonic()
    if child.process is not None:
        exit_code = child.process.poll()
        if exit_code is None:
            return
        log(RoleDied(child.role, exit_code))
        child.restarts = 1 if now - child.started > _LIVED_S else child.restarts + 1
        child.process, child.started = None, now
    if now - child.started >= min(_FIRST_RESTART_S * 2 ** (child.restarts - 1), _LONGEST_RESTART_S):
        child.process, child.started = _start(child.role, config_file), now


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
