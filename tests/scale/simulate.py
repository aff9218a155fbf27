"""Growth: the same real code paths, timed at eleven sizes of the journal. What costs more at the end is named.

Beside the journal that grows lies one of the first size, and each path is timed in both, in turn: what else the machine does slows both
down, and their ratio says what the size alone costs.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node import journal
from dicom_node.values.receipts import Known
from tests.peers.postgres import start_postgres

from .fill import Filler, Pace, make_template
from .names import Named, name_study
from .way import Way, open_way

SIZES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_MEASURED, _LIVE = 2_000_000_000, 1_500_000_000  # numbers that no filled study has
_LIVE_STUDIES = 20  # of each kind: still arriving, and waiting to be analysed
_AGAIN = 10

Report = Callable[[str], None]


@dataclass
class Point:
    """One size: seconds of each path, each the median of many, and how many times that is of the same in the small journal."""

    instances: int
    size_bytes: int
    seconds: dict[str, float]
    ratios: dict[str, float]


@dataclass
class Times:
    """Seconds of each path, one by one."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def of(self, path: str, parts: int = 1) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.taken.setdefault(path, []).append((time.perf_counter() - start) / parts)

    def medians(self) -> dict[str, float]:
        return {path: statistics.median(taken) for path, taken in self.taken.items()}

    def ratios(self, beside: "Times") -> dict[str, float]:
        """The median of each pair's, as the two of a pair were taken one right after the other."""
        pairs = {path: zip(taken, beside.taken[path], strict=True) for path, taken in self.taken.items()}
        return {path: statistics.median(large / small for large, small in both) for path, both in pairs.items()}


def simulate(
    urls: tuple[str, str],
    folder: Path,
    *,
    instances: int,
    studies: int,
    samples: int,
    sizes: Sequence[float] = SIZES,
    report: Report = print,
) -> list[Point]:
    """Fill the journal of the first URL step by step and time everything at each step; gives the points, the smallest first."""
    per_study, first = instances // studies, max(1, round(sizes[0] * studies))
    with open_way(urls[0], folder / "kept") as way, open_way(urls[1], folder / "kept-beside") as beside:
        filler, small = (begin(one, per_study, studies) for one in (way, beside))
        small.fill(urls[1], first)
        points = []
        for step, part in enumerate(sizes):
            start = time.perf_counter()
            filler.fill(urls[0], max(first, round(part * studies)))
            filled_s = time.perf_counter() - start
            times, times_beside = Times(), Times()
            for sample in range(samples):
                _measure(way, times, step, sample, per_study, filler.filled)
                _measure(beside, times_beside, step, sample, per_study, small.filled)
            point = Point(filler.filled * per_study, size_bytes(urls[0], way), times.medians(), times.ratios(times_beside))
            points.append(point)
            worst = max(point.ratios, key=lambda path: point.ratios[path])
            report(
                f"{point.instances:>12,} instances  {point.size_bytes / 2**30:6.2f} GiB  filled in {filled_s:6.1f} s  "
                f"dearest: {worst} x{point.ratios[worst]:.2f}"
            )
    return points


def begin(way: Way, per_study: int, studies: int) -> Filler:
    """What is there before the filling: the template, and a few studies that are not done."""
    template = make_template(way, per_study)
    for number in range(_LIVE_STUDIES):
        _leave_open(way, name_study(_LIVE + 2 * number), name_study(_LIVE + 2 * number + 1))
    return Filler(template, Pace(), per_study, way.clock.now(), studies)


def _leave_open(way: Way, arriving: Named, waiting: Named) -> None:
    way.receive(arriving, range(3))
    way.receive(waiting, range(4))
    way.complete(waiting)


def _measure(way: Way, times: Times, step: int, sample: int, per_study: int, filled: int) -> None:
    """Each path once, with a study of its own."""
    named = name_study(_MEASURED + 1000 * step + sample)
    old = name_study((sample * 7919 + 13) % filled)
    one_by_one = min(20, per_study // 2)
    with times.of("receipt, one sender", one_by_one):
        way.receive(named, range(one_by_one))
    with times.of("receipt, 16 senders", per_study - one_by_one):
        way.receive_at_once(named, range(one_by_one, per_study))
    with times.of("the looks at a study's series"):
        way.complete(named)
    with times.of("reading a study's instances"):
        assert way.read(named) == per_study
    with times.of("writing what was analysed"):
        way.analyse(named)
    with times.of("delivery"):
        way.deliver(named)
    with times.of("proof"):
        way.prove(named)
    assert way.is_done(named)
    way.finish_jobs(named)
    with times.of("a late image of an old study"):
        late = per_study + 2 * (1000 * step + sample)
        way.receive(old, range(late, late + 1))
    way.close_again(old, old.series[per_study % 2])
    way.finish_jobs(old)
    with times.of("status of an old study"):
        way.show(old)
    with times.of("status of the newest 20"):
        way.list_newest()
    with times.of("the list of jobs"):
        way.list_jobs()
    with times.of("the sweep for forgotten jobs"):
        way.sweep()
    with times.of("counting open studies"):
        way.count_open()
    with times.of("looking for what nobody names"):
        way.find_garbage(old)
    with times.of("an image sent again", _AGAIN):
        way.receive(named, range(min(_AGAIN, per_study)), Known.SAME)
    with times.of("retention of a study's images"):
        way.remove_oldest_images(way.clock.now())


def size_bytes(url: str, way: Way) -> int:
    file = journal.find_file(url)
    if file is not None:
        return file.stat().st_size
    with way.engine.connect() as connection:
        return int(connection.exec_driver_sql("select pg_database_size(current_database())").scalar_one())


# -- for a person -----------------------------------------------------------------------------------------------------------


def as_table(points: Sequence[Point]) -> str:
    """Milliseconds by path and size, as Markdown; `times`: the last over the same in the small journal at the same time."""
    heads = [f"{point.instances / 1e6:g} M" if point.instances >= 1e5 else f"{point.instances:,}" for point in points]
    lines = [f"| milliseconds, at so many instances | {' | '.join(heads)} | times |", f"|---|{'---:|' * (len(points) + 1)}"]
    for path, ratio in points[-1].ratios.items():
        cells = " | ".join(f"{1000 * point.seconds[path]:.2f}" for point in points)
        lines.append(f"| {path} | {cells} | {ratio:.2f} |")
    sizes = " | ".join(f"{point.size_bytes / 2**30:.2f}" for point in points)
    return "\n".join([*lines, f"| size of the database, GiB | {sizes} | |"])


@contextmanager
def open_databases(kind: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The URLs of two empty databases."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'journal.sqlite'}", f"sqlite:///{folder / 'beside.sqlite'}"
        return
    with start_postgres() as server:
        yield server.create(), server.create()
