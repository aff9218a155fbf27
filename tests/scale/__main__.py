"""`python -m tests.scale simulate`: does it cost the same at ten million instances? `measure`: what `dicom-node plan` counts with."""

import argparse
import tempfile
import time
from pathlib import Path

from tests.places import REPOSITORY

from .measure import as_toml, describe_machine, measure
from .simulate import as_table, open_databases, simulate

MEASURED = REPOSITORY / "dicom_node" / "roles" / "measured.toml"


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    growth = commands.add_parser("simulate", help="fill a journal and time the real code at eleven sizes")
    growth.add_argument("--instances", type=int, default=10_000_000)
    growth.add_argument("--studies", type=int, default=100_000)
    growth.add_argument("--samples", type=int, default=30, help="of each path at each size; the median counts")
    growth.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    growth.add_argument("--folder", type=Path, default=None, help="where the database lies; some 10 GiB for ten million")
    measuring = commands.add_parser("measure", help="measure this machine and write measured.toml")
    measuring.add_argument("--out", type=Path, default=MEASURED)
    arguments = parser.parse_args()
    if arguments.command == "measure":
        found = measure()
        arguments.out.write_text(as_toml(found, machine=describe_machine(), date=time.strftime("%Y-%m-%d")), encoding="utf-8")
        print(arguments.out.read_text(encoding="utf-8"))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="scale-") as folder:
        _simulate(arguments, Path(folder))


def _simulate(arguments: argparse.Namespace, folder: Path) -> None:
    start = time.perf_counter()
    with open_databases(arguments.database, folder) as urls:
        points = simulate(urls, folder, instances=arguments.instances, studies=arguments.studies, samples=arguments.samples)
    print(as_table(points))
    found = points[-1].ratios
    print(f"took {(time.perf_counter() - start) / 60:.1f} minutes; dearest: {max(found, key=lambda path: found[path])}")
    print(
        f"scale: instances={points[-1].instances} studies={arguments.studies} database={arguments.database} "
        f"worst_ratio={max(found.values()):.2f}"
    )


if __name__ == "__main__":
    main()
