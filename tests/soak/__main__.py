"""`python -m tests.soak [--minutes 20] [--postgresql] [--out folder]`: the last line says whether anything grew, was lost or doubled."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.places import REPOSITORY

from .slopes import GROWS, as_table
from .soak import open_database, soak

WARM_UP_MINUTES = 5.0


def main() -> int:
    """Run it; 0 where nothing was lost or doubled, no process died and everything is flat."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long studies are sent")
    parser.add_argument("--at-once", type=int, default=12, help="studies under way at most")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="between two samples")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--postgresql", action="store_true", help="with a PostgreSQL server in place of the embedded SQLite")
    form.add_argument("--sqlite", action="store_false", dest="postgresql", help="the embedded SQLite, as without it")
    parser.add_argument("--out", type=Path, default=None, help="for samples.csv and soak.png; left out: the picture goes to docs/images")
    options = parser.parse_args()
    warm_up = min(WARM_UP_MINUTES, options.minutes / 4)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with open_database("postgresql" if options.postgresql else "sqlite") as database:
        outcome = soak(
            options.out or folder,
            folder / "site",
            minutes=options.minutes,
            at_once=options.at_once,
            every_s=options.every,
            warm_up_minutes=warm_up,
            database=database,
            report=lambda line: print(line, flush=True),
        )
    if options.out is None:
        shutil.copy(folder / "soak.png", REPOSITORY / "docs" / "images" / "soak.png")
    print(as_table(outcome.slopes))
    for series, why in GROWS.items():
        print(f"{series}: {why}")
    for line in outcome.said:
        print(line, file=sys.stderr)
    if outcome.is_good:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"what it left is in {folder}", file=sys.stderr)
    print(outcome.last_line)
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
