"""Everything in one run, with its tables in docs/performance.md, and the line that says how the node stands beside the others."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from matplotlib.figure import Figure

from . import growth, intake, latency, memory, window, writing
from .intake import NODE, ORTHANC, STORESCP
from .plots import draw_bars, draw_curves, draw_intake
from .tables import intake_table, latency_table, spread_table, targets_table

_IN_MEMORY = Path("/dev/shm")
_SMALL_PIXELS = 16  # so that an image has about 1 kB


@dataclass(frozen=True)
class Target:
    """A figure, what it has to be, and what it is; None where this run leaves it out. Those with a name are in the last line."""

    meaning: str
    limit: float
    reached: float | None
    name: str = ""
    is_floor: bool = False  # else it is a ceiling

    @property
    def is_met(self) -> bool:
        return self.reached is not None and (self.reached >= self.limit if self.is_floor else self.reached <= self.limit)


@dataclass
class Report:
    """The sections of the page, the targets, and what was wrong with what anybody made or held."""

    sections: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    page: Path | None = None  # pictures go into the folder `images` beside it

    def picture(self, name: str, words: str, figure: Figure) -> str:
        """A line of the page that shows it; nothing where there is no page."""
        if self.page is None:
            return ""
        file = self.page.parent / "images" / f"performance-{name}.png"
        file.parent.mkdir(exist_ok=True)
        figure.savefig(file)
        return f"\n\n![{words}](images/{file.name})"

    @property
    def last_line(self) -> str:
        reached = {target.name: target.reached for target in self.targets}
        return "bench: " + " ".join(f"{name}={_said_of(reached.get(name))}" for name in _ORDER)

    def as_page(self, head: str) -> str:
        return "\n\n".join([head, targets_table(self.targets), *self.sections]) + "\n"


PARTS = ("disk", "memory-disk", "writing", "windows", "latency", "memory", "growth")


def run(report: Report, *, is_short: bool, only: Collection[str], folder: Path | None) -> Iterator[str]:
    """Each part in a folder of its own; gives a line after each, when it is in the report.

    `is_short` leaves out torch, sixteen associations and growth.
    """
    rounds = 3 if is_short else 5
    parts: dict[str, Callable[[Path], None]] = {
        "disk": lambda place: _intake(report, place, rounds=rounds, is_short=is_short, is_disk=True),
        "memory-disk": lambda place: _intake(report, place, rounds=rounds, is_short=is_short, is_disk=False),
        "writing": lambda place: _writing(report, place, rounds=rounds),
        "windows": lambda place: _windows(report, place, rounds=rounds, with_torch=not is_short),
        "latency": lambda place: _latency(report, place, rounds=rounds),
        "memory": lambda place: _memory(report, place, is_short=is_short),
        "growth": lambda place: _growth(report, place),
    }
    for name in PARTS:
        if name in only and not (is_short and name == "growth"):
            begin = time.monotonic()
            with _place(_IN_MEMORY if name == "memory-disk" else folder) as place:
                parts[name](place)
            report.targets.sort(key=lambda target: _ORDER.index(target.name) if target.name in _ORDER else len(_ORDER))
            yield f"{name}: {time.monotonic() - begin:.0f} s"


def _said_of(reached: float | None) -> str:
    return "left-out" if reached is None else f"{reached:.2f}"


_ORDER = (  # of the last line
    "ingest_vs_orthanc",
    "ingest_vs_storescp",
    "seg_vs_highdicom",
    "sr_vs_dcmqi",
    "window_overhead",
    "vs_monai",
    "latency_vs_floor",
    "rss_vs_volume",
)


def _intake(report: Report, place: Path, *, rounds: int, is_short: bool, is_disk: bool) -> None:
    counts = (1, 4) if is_short else (1, 4, 16)
    found = intake.measure(place, rounds=rounds, associations=counts, images=400)
    where = "on the disk, as each is shipped" if is_disk else "in memory, where no promise costs anything"
    shown = report.picture("intake-disk" if is_disk else "intake-memory", f"Intake {where}", draw_intake(found, counts))
    report.sections.append(f"## Intake {where}\n\n{intake_table(found, counts)}{shown}")
    report.wrong += found.wrong
    if not is_disk:
        slowest = min(found.rate.ratio((NODE, count), (STORESCP, count)) for count in counts)
        meaning = f"intake in memory, our images/s by storescp's; the least of {', '.join(map(str, counts))} associations"
        report.targets.append(Target(meaning, 1.0, slowest, "ingest_vs_storescp", is_floor=True))
        return
    ratios = {count: found.rate.ratio((NODE, count), (ORTHANC, count)) for count in counts}
    cpu = found.cpu.ratio((NODE, 1), (ORTHANC, 1))
    meaning = "intake on the disk, our images/s by Orthanc's, {}"
    report.targets.append(Target(meaning.format("one association"), 2.0, ratios[1], "ingest_vs_orthanc", is_floor=True))
    report.targets.append(Target(meaning.format("four associations"), 1.5, ratios[4], is_floor=True))
    report.targets.append(Target("intake on the disk, our CPU time for an image by Orthanc's, one association", 0.5, cpu))
    small = intake.measure(place, rounds=rounds, associations=(1,), images=400, pixels=_SMALL_PIXELS, names=(NODE,))
    report.wrong += small.wrong
    report.targets.append(Target("milliseconds for an image of 1 kB, one association", 2.0, 1000 / small.rate.median((NODE, 1))))


def _writing(report: Report, place: Path, *, rounds: int) -> None:
    found = writing.measure(place, rounds=rounds, segments=(1, 30, 104), groups=(1, 20, 200))
    report.sections.append(f"## Segmentations and reports\n\n{writing.as_table(found)}")
    report.wrong += found.wrong
    for count, limit in ((104, 0.2), (30, 0.25), (1, 0.8)):
        ratio = found.seconds.ratio((writing.SEGMENTATION, count, writing.NODE), (writing.SEGMENTATION, count, writing.HIGHDICOM))
        name = "seg_vs_highdicom" if count == 104 else ""
        report.targets.append(Target(f"BINARY segmentation, {count} segments, our time by highdicom's", limit, ratio, name))
    ratio = found.seconds.ratio((writing.REPORT, 200, writing.NODE), (writing.REPORT, 200, writing.DCMQI))
    report.targets.append(Target("report with 200 groups, our time by dcmqi's", 1.0, ratio, "sr_vs_dcmqi"))


def _windows(report: Report, place: Path, *, rounds: int, with_torch: bool) -> None:
    found = window.measure(place, rounds=rounds, with_torch=with_torch)
    shown = report.picture("windows", "Sliding window", draw_bars(found.seconds, found.seconds.known, "seconds"))
    report.sections.append(f"## Sliding window\n\n{found.count} windows.\n\n{spread_table(found.seconds, 'seconds')}{shown}")
    report.wrong += found.wrong
    report.targets.append(Target("sliding window, time outside the network by time inside", 0.05, found.overhead, "window_overhead"))
    vs_monai = found.vs_monai if with_torch else None
    report.targets.append(Target("the same network and windows, our time by MONAI's on torch", 1.0, vs_monai, "vs_monai"))


def _latency(report: Report, place: Path, *, rounds: int) -> None:
    found = latency.measure(place, rounds=rounds)
    shown = report.picture("latency", "From the last image to the result", draw_bars(found.seconds, found.seconds.known, "seconds"))
    report.sections.append(f"## From the last image to the result\n\n{latency_table(found)}{shown}")
    report.wrong += found.wrong
    ratio = found.seconds.ratio(latency.NODE, latency.STRAIGHT)
    meaning = "300 slices, from the last response to the last result, our time by the straight program's"
    report.targets.append(Target(meaning, 1.2, ratio, "latency_vs_floor"))


def _memory(report: Report, place: Path, *, is_short: bool) -> None:
    packages = (memory.LUNGS,) if is_short else (memory.LUNGS, memory.COARSE, memory.FINE)
    found = memory.measure(place, rounds=1, packages=packages)  # memory varies by a few per cent, and each takes over a minute
    report.sections.append(f"## Memory\n\n{memory.as_table(found, packages)}")
    report.wrong += found.wrong
    meaning = "highest memory of worker and inference process together, over what they had before, by the int16 volume"
    report.targets.append(Target(meaning, 3.2, found.ratio.median((memory.LUNGS, memory.BOTH)), "rss_vs_volume"))


def _growth(report: Report, place: Path) -> None:
    found = growth.measure(place, rounds=1, studies=(1, 8, 64), slices=(100, 300, 1000, 3000), models=(1, 10, 30))
    words = ("s a study, of so many that waited", "s a study of so many slices", "s a model, of so many")
    shown = report.picture("growth", "Growth", draw_curves(found.seconds, ("studies", "slices", "models"), words))
    report.sections.append(f"## Growth\n\n{spread_table(found.seconds, 'seconds')}{shown}")


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.sync()  # what one part leaves to the disk is not the next one's


def describe(folder: Path | None) -> str:
    """The machine and the peers, as a table's head needs them."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    disk = _said(["stat", "-f", "-c", "%T", str(folder or tempfile.gettempdir())])
    peers = [_said(["storescp", "--version"]), f"Orthanc {_said(['Orthanc', '--version']).removeprefix('Orthanc').strip()}"]
    ours = [f"{name} {version(name)}" for name in ("highdicom", "dcmqi", "onnxruntime", "pynetdicom", "numpy")]
    return f"{os.cpu_count()} cores ({model}), {memory_kb / 2**20:.0f} GiB, {disk}; {', '.join([*peers, *ours])}"


def _said(command: list[str]) -> str:
    """The first line that a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return next(iter((done.stdout or done.stderr).splitlines()), "").strip().strip("$").strip()
