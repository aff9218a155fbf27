"""`python -m tests.benchmarks [--short] [--page docs/performance.md] [--folder F]`: the node beside the others, in one run.

The last line holds ratios: of rates ours by theirs, of times ours by theirs, overhead as a fraction. 0 where nothing was lost, and what was
made is what had to be made; a target that is missed is no error, and stands in the page.
"""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from .whole import PARTS, Report, describe, run

_HEAD = """# Performance

Written by `make {target}` on {date}. Each table is of one run, in which everybody had a turn in every round: medians (least to most);
ratios are medians of the rounds' ratios. What is missed, and why, and where the time goes: [performance-notes.md](performance-notes.md).

{machine}."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="without torch, sixteen associations and growth; fewer rounds")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="a part of it")
    parser.add_argument("--page", type=Path, default=None, help="where the tables go; left out: to standard output")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk (left out: where temporary files lie)")
    options = parser.parse_args()
    report, head = Report(page=options.page), _head(is_short=options.short, folder=options.folder)
    for line in run(report, is_short=options.short, only=options.only, folder=options.folder):
        print(line, flush=True)
        if options.page is not None:  # after each part: a run of half an hour may be cut
            options.page.write_text(report.as_page(head), encoding="utf-8")
    if options.page is None:
        print(report.as_page(head))
    return _end(report)


def _head(*, is_short: bool, folder: Path | None) -> str:
    target, date = "bench-short" if is_short else "bench", datetime.now(UTC).date().isoformat()
    return _HEAD.format(target=target, date=date, machine=describe(folder))


def _end(report: Report) -> int:
    for line in report.wrong:
        print(line, file=sys.stderr)
    print(report.last_line)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
