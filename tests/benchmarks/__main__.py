"""`python -m tests.benchmarks intake|writing|memory [--rounds 5] [--folder F]`: measured beside the peers, in one run.

So far intake, writing and memory; the rest of what `make bench` is to measure is not here yet.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import intake, memory, writing
from .intake import NODE, ORTHANC, SLOW, STORESCP, Intake


def main() -> int:
    """0 where everything that was acknowledged or written was there, with the bytes and values that it should have."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("what", choices=sorted(_MEASURES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="on which disk (left out: where temporary files lie)")
    parser.add_argument("--images", type=int, default=400, help="intake: in each measurement")
    parser.add_argument("--associations", type=_counts, default="1,4,16", help="intake")
    parser.add_argument("--slow", action="store_true", help="intake: with the node's way through pynetdicom")
    parser.add_argument("--segments", type=_counts, default="1,30,104", help="writing")
    parser.add_argument("--groups", type=_counts, default="1,20,200", help="writing")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    try:
        kind = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=True).stdout.strip()
        print(f"{options.rounds} rounds, on {kind}, {os.cpu_count()} cores; median (least to most)\n")
        figures, wrong = _MEASURES[options.what](folder, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"bench: {' '.join(f'{name}={value:.2f}' for name, value in figures.items())}")
    return 1 if wrong else 0


def _counts(text: str) -> list[int]:
    return [int(count) for count in text.split(",")]


def _measure_intake(folder: Path, options: argparse.Namespace) -> tuple[dict[str, float], list[str]]:
    counts = options.associations
    done = intake.measure(folder, rounds=options.rounds, associations=counts, images=options.images, with_slow=options.slow)
    print(f"{options.images} images of 512 x 512\n\n{as_table(done, counts, with_slow=options.slow)}")
    ours = (NODE, counts[0])
    return {f"ingest_vs_{name.lower()}": done.rate.ratio(ours, (name, counts[0])) for name in (ORTHANC, STORESCP)}, done.wrong


def _measure_writing(folder: Path, options: argparse.Namespace) -> tuple[dict[str, float], list[str]]:
    done = writing.measure(folder, rounds=options.rounds, segments=options.segments, groups=options.groups)
    print(f"300 slices of 512 x 512\n\n{writing.as_table(done)}")
    return writing.find_figures(done), done.wrong


def _measure_memory(folder: Path, options: argparse.Namespace) -> tuple[dict[str, float], list[str]]:
    packages = (memory.LUNGS, memory.COARSE, memory.FINE)
    done = memory.measure(folder, rounds=options.rounds, packages=packages)
    print(f"300 slices of 512 x 512\n\n{memory.as_table(done, packages)}")
    return {"rss_vs_volume": done.ratio.median((memory.LUNGS, memory.BOTH))}, done.wrong


_MEASURES = {"intake": _measure_intake, "writing": _measure_writing, "memory": _measure_memory}


def as_table(done: Intake, counts: Sequence[int], *, with_slow: bool) -> str:
    """Markdown: each receiver with each number of associations, and what the node's rate and CPU time are of it."""
    lines = [
        "| receiver | associations | images/s | CPU s per 1000 | node's rate / its | node's CPU / its |",
        "|---|---|---|---|---|---|",
    ]
    for name in (NODE, *([SLOW] if with_slow else []), STORESCP, ORTHANC):
        for count in counts:
            here, ours = (name, count), (NODE, count)
            ratios = [f"{figures.ratio(ours, here):.2f}" for figures in (done.rate, done.cpu)]
            lines.append(f"| {name} | {count} | {done.rate.spread(here)} | {done.cpu.spread(here)} | {ratios[0]} | {ratios[1]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
