"""What the node holds at a moment: per process memory, open files and threads; on the disk bytes and files; in the journal rows."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from dicom_node.config import load_config
from tests.peers.node import NodeProcess, find_group

ROLES = ("serve", "receiver", "worker", "inference")
_MIB = 1 << 20
_OPEN_SERIES = "select count(*) from node_series where not is_complete"
_UNDONE = "select count(*) from node_studies where done_at is null"
_LIVE = "select count(*) from {engine}workflow_status where status in ('ENQUEUED', 'PENDING', 'DELAYED')"


@dataclass
class Journal:
    """The node's database, read only and from outside."""

    url: str
    _engine: sa.Engine = field(init=False)

    def __post_init__(self) -> None:
        file = self.url.removeprefix("sqlite:///")
        is_file = file != self.url
        self._engine = sa.create_engine(f"sqlite:///file:{file}?mode=ro&uri=true" if is_file else self.url, pool_size=2)
        self._file = Path(file) if is_file else None
        self._schema = "" if is_file else "dbos."
        self._tables = self._find_tables()

    def _find_tables(self) -> dict[str, str]:
        """Its tables, ours and the engine's, by the name that a series has."""
        inspector = sa.inspect(self._engine)
        names = {f"rows.{name}": name for name in inspector.get_table_names() if name != "node_schema"}
        if self._schema:
            names |= {f"rows.{name}": f"dbos.{name}" for name in inspector.get_table_names(schema="dbos")}
        return names

    def close(self) -> None:
        self._engine.dispose()

    def find_done(self, studies: Sequence[str]) -> set[str]:
        """Those of which nothing is left to do; a study whose record has gone is one."""
        asked = sa.text("select study_instance_uid from node_studies where done_at is null and study_instance_uid in :uids")
        with self._engine.connect() as connection:
            undone = connection.execute(asked.bindparams(sa.bindparam("uids", expanding=True)), {"uids": list(studies)}).scalars()
            return set(studies) - set(undone)

    def sample(self) -> Iterator[tuple[str, float]]:
        with self._engine.connect() as connection:
            for series, table in self._tables.items():
                yield series, connection.execute(sa.text(f"select count(*) from {table}")).scalar_one()
            yield "queue.open_series", connection.execute(sa.text(_OPEN_SERIES)).scalar_one()
            yield "queue.studies_not_done", connection.execute(sa.text(_UNDONE)).scalar_one()
            yield "queue.live_jobs", connection.execute(sa.text(_LIVE.format(engine=self._schema))).scalar_one()
            if self._file is None:
                yield "disk.journal_mib", connection.execute(sa.text("select pg_database_size(current_database())")).scalar_one() / _MIB
                yield "disk.wal_mib", (connection.execute(sa.text("select sum(size) from pg_ls_waldir()")).scalar_one() or 0) / _MIB
        if self._file is not None:
            yield "disk.journal_mib", _size_of(self._file) / _MIB
            yield "disk.wal_mib", _size_of(self._file.with_name(f"{self._file.name}-wal")) / _MIB


@dataclass
class Sampler:
    """Takes samples of a running node; a column of the file is a series, what could not be read is empty."""

    node: NodeProcess
    journal: Journal
    rows: list[dict[str, float]] = field(default_factory=list)
    pids: dict[str, set[int]] = field(default_factory=lambda: {role: set() for role in ROLES})

    def take(self, minutes: float, outside: Mapping[str, float]) -> None:
        """One sample; `outside` are figures that the sender knows."""
        row = {"minutes": minutes, **outside}
        assert self.node.process is not None
        for pid in find_group(self.node.process.pid):
            try:
                role = role_of(pid)
                self.pids[role].add(pid)
                row |= _add(row, role, _sample_process(pid))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended meanwhile
        config = load_config(self.node.config)
        for name, folder in (("spool", config.spool), ("kept", config.kept)):
            size, count = _measure(folder)
            row |= {f"disk.{name}_mib": size / _MIB, f"entries.{name}": count}
        row |= dict(self.journal.sample())
        self.rows.append(row)

    @property
    def restarts(self) -> int:
        """How many processes of the node took the place of one that died."""
        return sum(max(len(pids) - 1, 0) for pids in self.pids.values())

    def write(self, file: Path) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with file.open("w", newline="") as out:
            table = csv.writer(out)
            table.writerow(names)
            table.writerows([f"{row[name]:g}" if name in row else "" for name in names] for row in self.rows)


def read_samples(file: Path) -> list[dict[str, float]]:
    """What `Sampler.write` wrote."""
    with file.open(newline="") as table:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(table)]


def role_of(pid: int) -> str:
    """What a process of the node is."""
    line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    if b"dicom_node.roles.inference" in line:
        return "inference"
    return line[line.index(b"--role") + 1].decode() if b"--role" in line else "serve"


def _sample_process(pid: int) -> dict[str, float]:
    """Resident and proportional memory in MiB, open files, threads."""
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
    rollup = dict(line.split(":", 1) for line in (proc / "smaps_rollup").read_text().splitlines()[1:])
    return {
        "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
        "pss_mib": int(rollup["Pss"].split()[0]) / 1024,
        "files": len(os.listdir(proc / "fd")),
        "threads": int(status["Threads"]),
    }


def _add(row: Mapping[str, float], role: str, found: Mapping[str, float]) -> dict[str, float]:
    """The sum over a role's processes."""
    return {f"{role}.{name}": row.get(f"{role}.{name}", 0.0) + value for name, value in found.items()}


def _measure(folder: Path) -> tuple[int, int]:
    """Bytes on the disk below a folder, and how many files and folders; what goes meanwhile counts as gone."""
    size = count = 0
    for here, folders, files in os.walk(folder):
        count += len(folders) + len(files)
        for name in (*files, *folders):
            try:
                size += os.lstat(os.path.join(here, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return size, count


def _size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
