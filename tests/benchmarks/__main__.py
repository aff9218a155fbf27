"""`python -m tests.benchmarks intake [--rounds 5] [--images 400] [--folder F]`: measured beside the peers, in one run.

So far the intake alone; the rest of what `make bench` is to measure is not here yet.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .intake import NODE, ORTHANC, SLOW, STORESCP, Intake, measure


def main() -> int:
    """0 where everything that was acknowledged was there, with the bytes that were sent."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("what", choices=["intake"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=400, help="in each measurement")
    parser.add_argument("--associations", default="1,4,16")
    parser.add_argument("--slow", action="store_true", help="with the node's way through pynetdicom")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk (left out: where temporary files lie)")
    options = parser.parse_args()
    counts = [int(count) for count in options.associations.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    try:
        intake = measure(folder, rounds=options.rounds, associations=counts, images=options.images, with_slow=options.slow)
        kind = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=True).stdout.strip()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{options.images} images of 512 x 512, {options.rounds} rounds, on {kind}, {os.cpu_count()} cores; median (least to most)\n")
    print(as_table(intake, counts, with_slow=options.slow))
    for line in intake.wrong:
        print(line, file=sys.stderr)
    against = (f"ingest_vs_{name.lower()}={intake.rate.ratio((NODE, counts[0]), (name, counts[0])):.2f}" for name in (ORTHANC, STORESCP))
    print(f"bench: {' '.join(against)}")
    return 1 if intake.wrong else 0


def as_table(intake: Intake, counts: Sequence[int], *, with_slow: bool) -> str:
    """Markdown: each receiver with each number of associations, and what the node's rate and CPU time are of it."""
    lines = [
        "| receiver | associations | images/s | CPU s per 1000 | node's rate / its | node's CPU / its |",
        "|---|---|---|---|---|---|",
    ]
    for name in (NODE, *([SLOW] if with_slow else []), STORESCP, ORTHANC):
        for count in counts:
            here, ours = (name, count), (NODE, count)
            ratios = [f"{figures.ratio(ours, here):.2f}" for figures in (intake.rate, intake.cpu)]
            lines.append(f"| {name} | {count} | {intake.rate.spread(here)} | {intake.cpu.spread(here)} | {ratios[0]} | {ratios[1]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
