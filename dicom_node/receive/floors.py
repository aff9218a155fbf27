"""Whether there is room for another image: disks, memory, and the work that waits. Looked at once a second, not per image.

Images are refused while a mark is passed and taken again as soon as it is not. There is no second, lower mark: what is refused is sent
again after the sender's own pause of a minute or more, and a mark that is passed and left every few seconds harms nobody.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dicom_node.config import ReceiverSection
from dicom_node.errors import DataDiskFull, MemoryShort, NodeError, SpoolError, SpoolFull, TooManyOpenStudies
from dicom_node.log import FloorLeft, FloorReached, log
from dicom_node.spool import Spool

_MACHINE = Path("/")


class Floors:
    """What keeps the node from taking images: `look` finds out, in one thread; `reached` is read by every association.

    `folders` are where results and journal lie. `count_open` gives the number of studies that wait, counted no further than its
    argument, or None where the journal does not say.
    """

    def __init__(
        self,
        section: ReceiverSection,
        spool: Spool,
        folders: Sequence[Path],
        count_open: Callable[[int], int | None],
        machine: Path = _MACHINE,
    ) -> None:
        self._section, self._spool, self._folders, self._count_open, self._machine = section, spool, folders, count_open, machine
        self._before: dict[type[NodeError], NodeError] = {}
        self.reached: NodeError | None = None

    def look(self) -> None:
        """Find out what is reached, and log what is new and what is gone."""
        now = {type(error): error for error in self._find()}
        self.reached = next(iter(now.values()), None)
        for kind in now.keys() - self._before.keys():
            log(FloorReached(kind))
        for kind in self._before.keys() - now.keys():
            log(FloorLeft(kind))
        self._before = now

    def _find(self) -> Iterator[NodeError]:
        yield from self._find_disks()
        used_percent, limit_percent = memory_used_percent(self._machine), self._section.memory_high_water_percent
        if used_percent is not None and used_percent > limit_percent:
            yield MemoryShort(used_percent, limit_percent)
        limit = self._section.most_open_studies
        count = self._count_open(limit)
        if count is not None and count >= limit:
            yield TooManyOpenStudies(limit)

    def _find_disks(self) -> Iterator[NodeError]:
        limit_percent = self._section.disk_high_water_percent
        try:
            used_percent = self._spool.used_percent()
        except SpoolError as error:
            yield error  # no answer about the disk is none that lets images in
        else:
            if used_percent > limit_percent:
                yield SpoolFull(used_percent, limit_percent)
        fullest_percent = max(map(_disk_used_percent, self._folders), default=0.0)
        if fullest_percent > limit_percent:
            yield DataDiskFull(fullest_percent, limit_percent)


def _disk_used_percent(folder: Path) -> float:
    """As df counts: without what is reserved for root."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return 0.0  # whoever writes there will say so
    return 100.0 * usage.used / max(usage.used + usage.free, 1)


def memory_used_percent(machine: Path = _MACHINE) -> float | None:
    """How full the memory is, in percent: of the control group that is nearest to its limit, or of the machine where that is nearer.

    None where the system says neither (not Linux). Contents of files (active and inactive) do not count, as they can be dropped at
    once: images that were just received and read fill the memory with them, and nothing is short.
    Source: Linux, admin-guide/cgroup-v2 (memory.max, memory.current, memory.stat), filesystems/proc (MemAvailable).
    """
    return max((*_machine_percent(machine), *_group_percents(machine)), default=None)


def _machine_percent(machine: Path) -> Iterator[float]:
    sizes = _read_table(machine / "proc/meminfo")
    if sizes.get("MemTotal") and "MemAvailable" in sizes:
        yield 100.0 * (1.0 - sizes["MemAvailable"] / sizes["MemTotal"])


def _group_percents(machine: Path) -> Iterator[float]:
    """Of our group and each above it that has a limit; in a container the root of what can be seen is the container's own group."""
    groups, own = machine / "sys/fs/cgroup", _read_text(machine / "proc/self/cgroup")
    path = next((line.removeprefix("0::") for line in own.splitlines() if line.startswith("0::")), None)
    if path is None:
        return
    group = groups / path.strip("/")
    while group.is_relative_to(groups):
        limit, current = _read_text(group / "memory.max").strip(), _read_text(group / "memory.current").strip()
        if limit.isdecimal() and current.isdecimal() and int(limit) > 0:
            table = _read_table(group / "memory.stat")
            yield 100.0 * (int(current) - table.get("active_file", 0) - table.get("inactive_file", 0)) / int(limit)
        group = group.parent


def _read_table(file: Path) -> dict[str, int]:
    """Names and numbers, a pair on each line; both files have one unit throughout."""
    pairs = (line.replace(":", " ").split() for line in _read_text(file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) >= 2 and pair[1].isdecimal()}


def _read_text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""  # another system, another version of it, or not ours to read
