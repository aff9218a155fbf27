"""`make profiles`: run every profile, write docs/profiles.md, and count. The last line is the answer."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.places import REPOSITORY

from .page import write_page
from .run import AGAIN, FOUND, run
from .sites import PROFILES


def main() -> int:
    """1 where an object is not valid, or something has come to nothing without a stated reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.profiles", description=__doc__)
    parser.add_argument("--only", choices=sorted(PROFILES), action="append", help="these profiles; all where left out")
    parser.add_argument("--page", type=Path, default=REPOSITORY / "docs" / "profiles.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="profiles-") as folder:
        outcome = run(options.only or list(PROFILES), Path(folder))
    judged = outcome.judged
    unlike = [site for site, study in judged if study == FOUND and judged[site, AGAIN].cells != judged[site, FOUND].cells]
    for site in unlike:
        print(f"{site.name}: first {judged[site, FOUND].cells}, then {judged[site, AGAIN].cells}")
    for fault in outcome.faults:
        print(fault)
    if not options.only:
        options.page.write_text(write_page(outcome), encoding="utf-8")
    invalid = sum(bool(faults) for faults in outcome.objects.values())
    failed = len(unlike) + sum(bool(one.faults) for one in judged.values())
    sites, combinations = len({site for site, _ in judged}), sum(len(one.cells) for one in judged.values())
    print(f"{sites} destinations, {combinations} combinations of a study, a destination and a kind of object")
    print(f"profiles: objects={len(outcome.objects)} valid={len(outcome.objects) - invalid} failed={failed}")
    return 1 if invalid or failed else 0


if __name__ == "__main__":
    sys.exit(main())
