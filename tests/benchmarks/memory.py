"""How much memory one study of 300 slices takes in worker and inference process, beside the volume's own bytes.

Before it a thin study goes the same way, so that libraries, models and their arena are there: what the study adds is what counts. The
kernel keeps each process' highest resident memory, and is told to begin anew (clear_refs, Linux). Their highest moments are added up,
as if they came at once.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from tests.infer.examples import BRIGHT, bright_package
from tests.make import base_anatomy, make_series
from tests.peers.archive import Archive
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess, find_group, started, write_node
from tests.peers.waiting import wait_until
from tests.places import LUNG_NODULE
from tests.soak.samples import role_of

from .figures import Figures

LUNGS, COARSE, FINE = "ct-lung-nodule", "a window over 3 mm", "a window over the source's grid"
WORKER, INFERENCE, BOTH = "worker", "inference", "both"
_ROLES = (WORKER, INFERENCE)
_THIN = 24  # slices of the study before
_LIMIT_S = 900.0
_REST_S = 35.0  # a worker gives back twice a minute what it does not use: who holds the same for so long has nothing to give back
_SAME_BYTES = 1 << 20
_LEVEL_HU = 300.0

Pixels = npt.NDArray[np.int16]


@dataclass
class Memory:
    """What was measured, by package and role: highest memory while the study was worked on, less that before, over the volume's bytes."""

    ratio: Figures = field(default_factory=Figures)
    before_mb: Figures = field(default_factory=Figures)
    wrong: list[str] = field(default_factory=list)


def measure(
    folder: Path,
    *,
    rounds: int,
    packages: Sequence[str] = (LUNGS, COARSE, FINE),
    slices: int = 300,
    size: int = 512,
    rest_s: float = _REST_S,
) -> Memory:
    """In each round every package has its turn, in a node of its own."""
    memory = Memory()
    for turn in range(rounds):
        for name in packages:
            place = folder / "memory"
            shutil.rmtree(place, ignore_errors=True)
            with Archive(place / "archive") as archive:
                pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": archive.port, "may": ["receive"]}
                node = write_node(place / "node", peers={"pacs": pacs}, models=[_MAKERS[name](place / "package")])
                with started(node):
                    _measure_one(memory, name, node, archive, (slices, size), rest_s, turn)
    return memory


def _measure_one(memory: Memory, name: str, node: NodeProcess, archive: Archive, extent: tuple[int, int], rest_s: float, turn: int) -> None:
    slices, size = extent
    for study, count in ((f"thin {turn}", min(_THIN, slices)), (f"whole {turn}", slices)):
        datasets = make_chest(study, count, size)
        wait_until_at_rest(node, rest_s)
        for pid in _find_roles(node).values():
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # VmHWM is VmRSS from here on
        before = _resident(node)
        had = len(archive.record)
        with Modality(node.port) as modality:
            refused = [status for one in datasets if (status := modality.store(one)) != 0]
        # the report comes last
        wait_until(lambda had=had: _has_report(archive, had), limit_s=_LIMIT_S, what=lambda: f"{node.status()}", every_s=0.1)
        if refused or any(one.status for one in archive.record[had:]):
            memory.wrong.append(f"{name}: refused on the way: {refused[:3]}, {[one.status for one in archive.record[had:]]}")
    after = {role: _read(pid, "VmHWM") for role, pid in _find_roles(node).items()}
    volume_bytes = slices * size * size * 2
    for role in _ROLES:
        memory.ratio.add((name, role), (after[role] - before[role]) / volume_bytes)
        memory.before_mb.add((name, role), before[role] / 1e6)
    memory.ratio.add((name, BOTH), sum(after[role] - before[role] for role in _ROLES) / volume_bytes)


def wait_until_at_rest(node: NodeProcess, rest_s: float) -> None:
    """Wait until worker and inference process are there and have held the same memory for so long."""
    since = [(monotonic(), _resident(node))]

    def is_at_rest() -> bool:
        now, held = monotonic(), _resident(node)
        if held.keys() != since[0][1].keys() or any(abs(held[role] - since[0][1][role]) > _SAME_BYTES for role in held):
            since[0] = (now, held)
        return len(held) == len(_ROLES) and now - since[0][0] >= rest_s

    wait_until(is_at_rest, limit_s=60 + 10 * rest_s, what="worker and inference process are not there, or never at rest")


def _has_report(archive: Archive, first: int) -> bool:
    return any(one.sop_class_uid == Comprehensive3DSRStorage for one in archive.record[first:])


def make_chest(name: str, slices: int, size: int) -> list[Dataset]:
    """A body with two lungs and a bright ball in one of them, the field 350 mm wide, its slices 1 mm apart."""
    mm = 350.0 / size
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) * mm

    def fill(dataset: Dataset, index: int) -> None:
        z = index - (slices - 1) / 2
        hu = np.where((x / 160) ** 2 + (y / 110) ** 2 < 1, 40.0, -1000.0)
        for side in (-1, 1):
            hu[((x - 75 * side) / 55) ** 2 + (y / 80) ** 2 + (z / (0.48 * slices)) ** 2 < 1] = -850.0
        hu[(x - 75) ** 2 + y**2 + z**2 < 6**2] = 2 * _LEVEL_HU
        noise = np.random.default_rng(index).integers(-10, 10, hu.shape)
        dataset.Rows = dataset.Columns = size
        dataset.PixelData = (hu + 1024 + noise).clip(0, 4095).astype("<u2").tobytes()

    patient = {"PatientID": name}
    return make_series(base_anatomy, shape=(slices, 4, 4), spacing_mm=(1.0, mm, mm), change=fill, name=f"memory {name}", patient=patient)


def _bright(input_: str) -> Callable[[Path], Path]:
    """A package with a network that costs next to nothing, so that memory is the node's own."""

    def write(folder: Path) -> Path:
        stages = BRIGHT.replace("size = [16, 16, 16], overlap = 0.25, batch = 2", "size = [64, 64, 64], overlap = 0.25, batch = 1")
        changed = stages.replace("spacing_mm = [3.0, 3.0, 3.0]", input_) if input_ else stages.replace(", spacing_mm = [3.0, 3.0, 3.0]", "")
        assert stages != BRIGHT
        bright_package(folder, _LEVEL_HU, stages=changed)
        return folder

    return write


_MAKERS: Mapping[str, Callable[[Path], Path]] = {
    LUNGS: lambda _: LUNG_NODULE,
    COARSE: _bright("spacing_mm = [3.0, 3.0, 3.0]"),
    FINE: _bright(""),
}


def _find_roles(node: NodeProcess) -> dict[str, int]:
    """The one worker and the one inference process."""
    assert node.process is not None
    roles = {role_of(pid): pid for pid in find_group(node.process.pid)}
    return {role: roles[role] for role in _ROLES if role in roles}


def _resident(node: NodeProcess) -> dict[str, int]:
    return {role: _read(pid, "VmRSS") for role, pid in _find_roles(node).items()}


def _read(pid: int, what: str) -> int:
    """VmRSS or VmHWM of a process, in bytes (proc(5))."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


def as_table(memory: Memory, packages: Sequence[str]) -> str:
    """Markdown: by package and process, in times the volume's bytes."""
    lines = ["| package | process | highest over before / volume | before, MB |", "|---|---|---|---|"]
    for name in packages:
        lines += [f"| {name} | {role} | {memory.ratio.spread((name, role))} | {memory.before_mb.spread((name, role))} |" for role in _ROLES]
        lines.append(f"| {name} | {BOTH} | {memory.ratio.spread((name, BOTH))} | |")
    return "\n".join(lines)
