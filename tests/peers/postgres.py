"""A real PostgreSQL server of Debian's package, in a folder of its own on a free port; `kill` ends it as a crash would.

`initdb` refuses root: as root it runs as the user `postgres`, in a folder that this user may enter.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from tests.peers.ports import find_free_port
from tests.peers.tools import give_up
from tests.peers.waiting import wait_until

LIMIT_S = 60.0


@dataclass
class Postgres:
    """A server, running between `start` and `stop`. `networks` may connect without a password, as may this machine."""

    folder: Path
    programs: Path
    port: int
    listen: str = "127.0.0.1"
    networks: Sequence[str] = ()
    made: int = field(default=0)

    def make(self) -> None:
        """Make an empty cluster."""
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.writelines(f"host all all {network} trust\n" for network in self.networks)

    def start(self) -> None:
        """Start it and wait until it answers.

        Without fsync: what a killed server has written is in the kernel, and no test cuts this machine's power. With it, recovery first
        flushes the whole cluster, which took longer than a minute on a busy disk.
        """
        options = f"-p {self.port} -k {self.folder} -c listen_addresses={self.listen} -c fsync=off"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop it, whatever is connected."""
        if self.pids():
            self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def kill(self) -> None:
        """SIGKILL to the server and all its processes; returns when none is left, so that it can be started again."""
        master = self.pids()[:1]
        for pid in master:
            os.kill(pid, signal.SIGSTOP)  # it would start new ones while the others are killed
        killed = self.pids()
        for pid in killed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        wait_until(lambda: not any(map(_lives, killed)), limit_s=LIMIT_S, what="processes of the killed PostgreSQL are still there")
        # Until somebody reaps the dead server, its number counts as a living one's, and its locks would keep it from starting again.
        for lock in (self.data / "postmaster.pid", self.folder / f".s.PGSQL.{self.port}.lock"):
            lock.unlink(missing_ok=True)

    def create(self) -> str:
        """A new database; gives its URL."""
        self.made += 1
        name = f"test_{os.getpid()}_{self.made}"
        engine = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"create database {name}"))
        engine.dispose()
        return self.url(name)

    def url(self, database: str, host: str = "127.0.0.1") -> str:
        return f"postgresql+psycopg://postgres@{host}:{self.port}/{database}"

    def pids(self) -> list[int]:
        """The postmaster, then its children; none where it does not run."""
        try:
            master = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return []
        if not self._is_ours(master):
            return []
        children = Path(f"/proc/{master}/task/{master}/children")
        return [master, *map(int, children.read_text().split())]

    def _is_ours(self, master: int) -> bool:
        """Whether the process that the server's file names is the server, and not another that has its number since."""
        try:
            return _lives(master) and str(self.data).encode() in Path(f"/proc/{master}/cmdline").read_bytes().split(b"\0")
        except FileNotFoundError:
            return False

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        # A server that is started keeps its standard output: a pipe would never end.
        with (self.folder / "said").open("w+b") as said:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=self.folder, timeout=LIMIT_S)
            said.seek(0)
            assert done.returncode == 0, said.read().decode(errors="replace")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def start_postgres(*, listen: str = "127.0.0.1", networks: Sequence[str] = ()) -> Iterator[Postgres]:
    """A running server with no database in it; gone at the end."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not installed:
        give_up("postgresql is not installed (tests/peers/install)")
    programs = installed[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
    server = Postgres(folder, programs, find_free_port(), listen, networks)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
