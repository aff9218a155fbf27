"""The node in its two forms: all on one machine with SQLite; two machines with PostgreSQL and a shared folder.

The machines of the second form are network namespaces, each with an address of its own; where none may be made (no root) they are
two nodes on this machine, and the table's head says so.
"""

import contextlib
import ipaddress
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.relay import Relay
from tests.faults.shim import Shim
from tests.faults.studies import write_package
from tests.peers.archive import Archive, Destination
from tests.peers.node import NodeProcess, answers_echo, find_group, write_node
from tests.peers.postgres import Postgres, start_postgres
from tests.peers.waiting import wait_until

LIMIT_S = 60.0
_places = itertools.count()
RECEIVER, WORKER, INFERENCE, SERVE = "receiver", "worker", "inference", "serve"


@dataclass
class Host(NodeProcess):
    """One machine: `dicom-node serve`, in a network namespace where it has one."""

    namespace: str = ""
    address: str = "127.0.0.1"
    read_to: int = 0

    def start(self) -> None:
        """Start it without waiting: others may have to be started first."""
        assert self.process is None, "is running"
        self.starts += 1
        command = [sys.executable, "-m", "dicom_node", "serve", "--config", str(self.config)]
        if self.namespace:
            command = ["ip", "netns", "exec", self.namespace, *command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
                env={**os.environ, **self.environment},
            )

    def pids(self, role: str) -> list[int]:
        """The living processes of a role."""
        if self.process is None:
            return []
        marks = {RECEIVER: "--role receiver", WORKER: "--role worker", INFERENCE: "dicom_node.roles.inference", SERVE: "serve --config"}
        found = []
        for pid in find_group(self.process.pid):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                is_parent = "--role" not in line and "inference" not in line
                if marks[role] in line and (role != SERVE or is_parent):
                    found.append(pid)
        return found

    def signal(self, role: str, number: int) -> int:
        """Send a signal to every process of a role; how many there were."""
        sent = 0
        for pid in self.pids(role):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                sent += 1
        return sent

    def new_events(self) -> str:
        """What the log has got since the last call."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(self.read_to)
            content = log.read()
        self.read_to += len(content)
        return content.decode(errors="replace")


@dataclass
class Site:
    """A node in one of its forms, with the archive and what stands between."""

    form: str
    folder: Path
    hosts: list[Host]
    archive: Archive
    gate: Relay  # in front of the receivers
    line: Relay  # from the node to the archive
    package: Path
    shim: Shim | None = None
    postgres: Postgres | None = None
    kills: int = 0
    close: Callable[[], None] = lambda: None
    note: str = ""  # what is not as it should be, for the table's head

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def begin(self) -> None:
        """Start the machines that are down."""
        for host in self.hosts:
            if host.process is None:
                host.start()

    def start(self) -> None:
        """The same, and wait until all answer."""
        self.begin()
        for host in self.hosts:
            self.wait_for_port(host)

    def wait_for_port(self, host: Host) -> None:
        wait_until(lambda: answers_echo(host.port, host=host.address), limit_s=LIMIT_S, what=host._log_end, every_s=0.1)

    def kill_role(self, role: str, host: int = 0) -> int:
        """SIGKILL to a role of one machine."""
        killed = self.hosts[host].signal(role, signal.SIGKILL)
        self.kills += killed
        return killed

    def kill_host(self, host: int = 0) -> None:
        """SIGKILL to everything of one machine at once."""
        if self.hosts[host].process is not None:
            self.kills += 1
            self.hosts[host].kill()

    def log_end(self) -> str:
        return "\n".join(f"{host.folder.name}: {host._log_end()}" for host in self.hosts)

    def new_events(self) -> str:
        return "".join(host.new_events() for host in self.hosts)

    def status(self) -> list[dict[str, Any]]:
        return list(self.hosts[-1].look(limit=100_000)["studies"])


@contextmanager
def open_site(form: str, folder: Path, library: Path, *, code: Path | None = None) -> Iterator[Site]:
    """A site that is not started yet. `code` is a folder that holds another `dicom_node`, for the matrix' own test."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        package = write_package(folder / "bright")
        archive = stack.enter_context(_archive(folder / "archive"))
        # The line and the archive listen everywhere: machines of their own reach them by the address of their way out.
        line = stack.enter_context(Relay([("127.0.0.1", archive.port)], host="0.0.0.0" if form == "two-hosts" else "127.0.0.1"))
        gate = stack.enter_context(Relay([]))
        archive.peers = {"NODE": Destination("NODE", "127.0.0.1", gate.port)}
        shim = Shim(library, folder / "data", folder / "shim")
        environment = dict(shim.environment)
        if code is not None:
            environment["PYTHONPATH"] = str(code)
        postgres = None
        ways = [("", "127.0.0.1", "127.0.0.1")]
        if form == "two-hosts":
            ways = stack.enter_context(_namespaces())
            networks = [f"{out}/30" for _, _, out in ways]
            postgres = stack.enter_context(start_postgres(listen="*", networks=networks))
            url = postgres.create().replace("127.0.0.1", "{out}")
        hosts = []
        for number, (namespace, address, out) in enumerate(ways):
            if postgres is not None:
                environment = {**environment, "DICOM_NODE_DATABASE": url.replace("{out}", out)}
            host = _host(folder / f"host-{number + 1}", folder / "data", package, out, line.port, environment)
            host.namespace, host.address = namespace, address
            hosts.append(host)
        gate.targets = [(host.address, host.port) for host in hosts]
        site = Site(form, folder, hosts, archive, gate, line, package, shim, postgres)
        if form == "two-hosts" and not hosts[0].namespace:
            site.note = "two-hosts: no network namespace may be made here; the two machines are two nodes on this one"
        stack.callback(_kill_all, hosts)
        site.close = stack.close
        yield site


def _kill_all(hosts: Sequence[Host]) -> None:
    for host in hosts:
        if host.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(host.process.pid, signal.SIGCONT)
            host.kill()


def _host(folder: Path, data: Path, package: Path, pacs: str, port: int, environment: Mapping[str, str]) -> Host:
    peers = {
        "pacs": {
            "ae_title": "PACS",
            "host": pacs,
            "port": port,
            "may": ["count", "receive"],
            "proof": "commitment",
            "addresses": ["any"],
        },
        "modality": {"ae_title": "MODALITY", "host": "127.0.0.1", "port": 104, "may": ["send"], "addresses": ["any"]},
    }
    settings = {
        "data": str(data),
        "receiver": {"host": "0.0.0.0" if pacs != "127.0.0.1" else "127.0.0.1", "network_timeout_s": 10.0},
        "assemble": {"quiet_s": 1.0, "count_after_s": 1.0, "broken_s": 3.0},
        "infer": {"threads": 1},
        "deliver": {
            "first_retry_s": 0.5,
            "longest_retry_s": 2.0,
            "tries": 100_000,
            "connect_timeout_s": 3.0,
            "response_timeout_s": 4.0,
            "proof_wait_s": 2.0,
            "proof_tries": 100_000,
        },
    }
    made = write_node(folder, peers=peers, models=[package], settings=settings)
    return Host(folder=made.folder, port=made.port, environment=dict(environment))


@contextmanager
def _archive(folder: Path) -> Iterator[Archive]:
    archive = Archive(folder).start()
    try:
        yield archive
    finally:
        archive.stop()


@contextmanager
def _namespaces() -> Iterator[list[tuple[str, str, str]]]:
    """Two namespaces: (name, own address, address of the way out); on this machine itself where none may be made."""
    made: list[str] = []
    ways: list[tuple[str, str, str]] = []
    place = (8 * os.getpid() + next(_places)) % 8000  # two runs at once share nothing, nor do the sites of one
    net = list(ipaddress.ip_network("10.213.0.0/16").subnets(new_prefix=29))[place]
    try:
        for number in (0, 1):
            name, own, out = f"dn{place}h{number}", str(net[4 * number + 2]), str(net[4 * number + 1])
            if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
                yield [("", "127.0.0.1", "127.0.0.1")] * 2
                return
            made.append(name)
            inside, outside = f"{name}i", f"{name}o"
            for command in (
                f"ip link add {outside} type veth peer name {inside} netns {name}",
                f"ip addr add {out}/30 dev {outside}",
                f"ip link set {outside} up",
                f"ip -n {name} addr add {own}/30 dev {inside}",
                f"ip -n {name} link set {inside} up",
                f"ip -n {name} link set lo up",
            ):
                subprocess.run(command.split(), check=True, capture_output=True)
            ways.append((name, own, out))
        yield ways
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
