"""The node as a person starts it: a process of its own with a configuration of its own, that tests may kill."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pynetdicom import AE
from pynetdicom.sop_class import Verification

from dicom_node.config import load_config
from dicom_node.deliver.checkpoint import guard
from dicom_node.journal import SqlError
from dicom_node.roles.status import read_status
from tests.peers.ports import find_free_port
from tests.peers.waiting import wait_until
from tests.places import LUNG_NODULE

START_LIMIT_S = 60.0
STOP_LIMIT_S = 60.0
NODE_TITLE = "NODE"
MODALITY_TITLE = "MODALITY"  # a sender that every test node knows, under the name "modality"


@dataclass
class NodeProcess:
    """`dicom-node serve` in a process group of its own. `data` is where it keeps everything, `log` its standard error."""

    folder: Path
    port: int
    starts: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)  # beside that of the tests
    tls: ssl.SSLContext | None = None  # what it is called with, where its port speaks TLS
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def config(self) -> Path:
        return self.folder / "node.toml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    def start(self) -> None:
        """Start it and wait until it answers C-ECHO; AssertionError with the log's end where it does not."""
        assert self.process is None, "is running"
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dicom_node", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that it can be killed with all its children
                cwd=self.folder,
                env={**os.environ, **self.environment},
            )
        process = self.process
        try:
            wait_until(
                lambda: process.poll() is not None or answers_echo(self.port, tls=self.tls), limit_s=START_LIMIT_S, what=self._log_end
            )
        except AssertionError:
            self.kill()  # or it would run for ever, since nobody yet knows that there is something to end
            raise
        if process.poll() is not None:
            self.process = None
            raise AssertionError(f"the node ended with {process.returncode}: {self._log_end()}")

    def kill(self) -> None:
        """SIGKILL to the node and everything that it started, at once, as a power cut would."""
        assert self.process is not None, "is not running"
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_LIMIT_S)
        group, self.process = self.process.pid, None
        wait_until(lambda: not find_group(group), limit_s=STOP_LIMIT_S, what="processes of the killed node are still there")

    def stop(self) -> int:
        """SIGTERM, as an administrator or systemd would: its exit status. AssertionError where it, or a child of it, stays."""
        assert self.process is not None, "is not running"
        self.process.terminate()
        try:
            status = self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the node did not stop within {STOP_LIMIT_S:g} s: {self._log_end()}") from None
        group, self.process = self.process.pid, None
        if left := find_group(group):
            os.killpg(group, signal.SIGKILL)
            raise AssertionError(f"the node left children behind: {left}")
        return status

    def status(self, *arguments: str) -> Any:
        """What `dicom-node status --json` prints."""
        return json.loads(self.run("status", "--json", *arguments).stdout)

    def look(self, study: str = "", limit: int = 1000) -> Any:
        """What `status` would give, asked in this process: who waits asks often, and a command takes a second from what it waits for."""
        if any(name == "PYTHONPATH" or name.startswith("AWS_") for name in self.environment):  # another program, or another place
            return self.status("--limit", str(limit), *([study] if study else []))
        config = load_config(self.config)
        if "DICOM_NODE_DATABASE" in self.environment:
            config = config.model_copy(update={"database": self.environment["DICOM_NODE_DATABASE"]})
        try:
            found = read_status(config, study, limit, config.node.language)
        except (SqlError, OSError) as error:
            raise AssertionError(f"the status cannot be had: {error!r}") from error
        assert found is not None, f"no study {study}"
        return json.loads(json.dumps(found))

    def run(self, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """One command of the node with this configuration, which must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "dicom_node", command, *arguments, "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.folder,
            env={**os.environ, **self.environment},
        )
        assert done.returncode == 0, f"dicom-node {command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The log's lines as values, those of one event where it is named. A line that is no JSON is an error."""
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()] if self.log.exists() else []
        return [line for line in lines if name is None or line["event"] == name]

    def _log_end(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]


@contextmanager
def started(node: NodeProcess) -> Iterator[NodeProcess]:
    """Started, and killed at the end where it still runs."""
    node.start()
    try:
        yield node
    finally:
        if node.process is not None:
            node.kill()


@contextmanager
def stopped_inference(node: NodeProcess) -> Iterator[None]:
    """The inference process stands still: whatever it works on takes as long as the block."""
    assert node.process is not None
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in find_group(node.process.pid)}
    (inference,) = (pid for pid, command in commands.items() if b"dicom_node.roles.inference" in command)
    os.kill(inference, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # killed meanwhile
            os.kill(inference, signal.SIGCONT)


def write_node(
    folder: Path,
    *,
    peers: Mapping[str, Mapping[str, Any]] | None = None,
    models: Sequence[Path] = (LUNG_NODULE,),
    settings: Mapping[str, Any] | None = None,
    tls: ssl.SSLContext | None = None,
) -> NodeProcess:
    """A configured node that is not started yet.

    `peers` are sections of peers.toml beside the modality that every node here knows; `settings` are keys of node.toml, a
    section as a mapping; `tls` is what it is called with where they give its port TLS. A series is quiet after a second, and a
    delivery is tried again after one, so that tests end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = find_free_port()
    node: dict[str, Any] = {
        "ae_title": NODE_TITLE,
        "data": "data",
        "models": [str(model) for model in models],
        "receiver": {"host": "127.0.0.1", "port": port, "disk_high_water_percent": 100.0},
        "assemble": {"quiet_s": 1.0, "count_after_s": 0.5, "broken_s": 15.0},
        "infer": {},
        "deliver": {"first_retry_s": 1.0, "longest_retry_s": 2.0},
    }
    for key, value in (settings or {}).items():
        node[key] = {**node.get(key, {}), **value} if isinstance(value, Mapping) else value
    modality = {"ae_title": MODALITY_TITLE, "host": "127.0.0.1", "port": 104, "may": ["send"]}
    (folder / "node.toml").write_text(to_toml(node), encoding="utf-8")
    (folder / "peers.toml").write_text(to_toml({"peers": {"modality": modality, **(peers or {})}}), encoding="utf-8")
    return NodeProcess(folder=folder, port=int(node["receiver"]["port"]), tls=tls)


def to_toml(document: Mapping[str, Any], prefix: str = "") -> str:
    """Texts, numbers, booleans, lists of them, and tables, as TOML: plain values first, as TOML wants them."""
    plain = {key: value for key, value in document.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in document.items() if isinstance(value, Mapping)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, table in tables.items():
        lines += [f"[{prefix}{key}]", to_toml(table, f"{prefix}{key}.")]
    return "\n".join(lines) + "\n"


def answers_echo(
    port: int,
    *,
    host: str = "127.0.0.1",
    calling: str = MODALITY_TITLE,
    called: str = NODE_TITLE,
    tls: ssl.SSLContext | None = None,
) -> bool:
    """Whether somebody answers C-ECHO with success on this port."""
    try:
        # pynetdicom leaves a socket open when it is refused, which Python warns of
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    requestor = AE(ae_title=calling)
    requestor.add_requested_context(Verification)
    requestor.connection_timeout = requestor.acse_timeout = requestor.dimse_timeout = 5
    association = guard(requestor.associate(host, port, ae_title=called, tls_args=None if tls is None else (tls, host)))
    if not association.is_established:
        return False
    try:
        status = association.send_c_echo()
        return "Status" in status and status.Status == 0x0000
    finally:
        association.release()


def find_group(group: int) -> list[int]:
    """The processes of a group that live; one that has ended and that nobody has asked after does not count."""
    living = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp, *_ = stat.read_text(errors="replace").rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == group and state not in "ZX":
            living.append(int(stat.parent.name))
    return living
