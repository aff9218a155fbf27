"""`python -m tests.faults [--short] [--seed N] [--only TEXT] [--form FORM]`: the whole matrix, or a part, as a table."""

import argparse
import dataclasses
import functools
import itertools
import operator
import os
import random
import re
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from tests.faults.faults import LONG, SHORT
from tests.faults.hosts import Site, open_site
from tests.faults.matrix import EMBEDDED, FINISH_LIMIT_S, TWO_HOSTS, Row, Tally, make_rows, run_row
from tests.faults.outside import Sending, count_in_spool, count_resent, judge
from tests.faults.shim import compile_shim
from tests.peers.waiting import wait_until

_HEAD = (
    f"{'fault':<17}{'at':<10}{'form':<11}{'runs':>5}{'studies':>9}{'lost':>6}{'doubled':>9}{'stuck':>7}   seconds to recover (median, most)"
)


@dataclass(frozen=True)
class Sum:
    """What rows came to. `said` is for a person: what is wrong, and where."""

    tallies: tuple[Tally, ...] = ()
    kills: int = 0
    studies: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    said: tuple[str, ...] = ()

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.stuck)


def run(
    rows: Sequence[Row], folder: Path, seed: int = 1, *, code: Path | None = None, limit_s: float = FINISH_LIMIT_S, beside: int = 1
) -> Sum:
    """Run rows, those of a form on `beside` sites. `code` is a folder with another `dicom_node`; a study is stuck after `limit_s`."""
    library = compile_shim(folder)
    of_form = {form: [row for row in rows if row.form == form] for form in (EMBEDDED, TWO_HOSTS)}
    parts = [(f"{form}-{number}", own[number::beside]) for form, own in of_form.items() for number in range(min(beside, len(own)))]

    sites: list[Site] = []

    def run_part(part: tuple[str, Sequence[Row]]) -> Sum:
        name, own = part
        with open_site(own[0].form, folder / name, library, code=code) as site:
            sites.append(site)
            return _run_rows(own, site, seed, limit_s)

    # Side by side: most of a run is waiting.
    with ThreadPoolExecutor(len(parts)) as pool:
        try:
            return functools.reduce(operator.add, pool.map(run_part, parts), Sum())
        except (KeyboardInterrupt, SystemExit):
            for site in sites:
                site.close()
            os._exit(1)  # the forms' threads would go on


def _run_rows(rows: Sequence[Row], site: Site, seed: int, limit_s: float) -> Sum:
    found, sent = Sum(), list[Sending]()
    names = (f"{site.form}-{seed}-{number}" for number in itertools.count())
    if site.note:
        print(site.note, flush=True)
    for row in rows:
        tally = run_row(row, site, random.Random(f"{seed} {row.fault} {row.at} {row.form}"), names, sent, limit_s)
        found += Sum((tally,), 0, tally.studies, tally.lost, tally.doubled, tally.stuck)
        print(describe(tally), flush=True)
        for said in tally.said:
            print(f"    {said}", file=sys.stderr, flush=True)
    # A row looks when its studies are there; what comes later, or is gone from the disk, is seen at the end.
    found += look_again(site, sent, limit_s)
    resent = count_resent(site.archive)
    print(f"{site.form}: {site.kills} kills; {resent} objects were sent again under their UID, as is allowed", flush=True)
    return found + Sum(kills=site.kills)


def look_again(site: Site, sent: Sequence[Sending], limit_s: float) -> Sum:
    """At the end, once more over everything: the archive, the spool's bytes, and what the node says of itself."""
    found = Sum()
    try:
        site.start()
        wait_until(lambda: not _unfinished(site, sent), limit_s=limit_s, every_s=1.0, what="not all studies are done")
    except AssertionError as error:
        undone = _unfinished(site, sent)
        found += Sum(stuck=max(len(undone), 1), said=(str(error)[-2000:], *(f"status: {said}" for said in undone)))
    for one in sent:
        verdict, missing = judge(one, site.archive), count_in_spool(one, site.data / "spool")
        if verdict.doubled or missing or not verdict.is_finished:
            said = f"{one.study_instance_uid}: {verdict}, {missing} acknowledged instances are not in the spool"
            found += Sum(lost=missing, doubled=verdict.doubled, said=(said,))
    return found


def _unfinished(site: Site, sent: Sequence[Sending]) -> list[str]:
    try:
        states = {one["study"]: one["state"] for one in site.status()}
    except AssertionError as error:
        return [str(error)[-2000:]]
    wanted = (one.study_instance_uid for one in sent)
    return [f"{study} {states.get(study)}" for study in wanted if states.get(study) != "done"]


def describe(tally: Tally) -> str:
    """A line of the table."""
    row, times = tally.row, tally.recovered_s
    recovered = f"{statistics.median(times):6.1f} {max(times):6.1f}" if times else "     -      -"
    counts = f"{tally.runs:>5}{tally.studies:>9}{tally.lost:>6}{tally.doubled:>9}{tally.stuck:>7}"
    return f"{row.fault:<17}{row.at:<10}{row.form:<11}{counts}   {recovered}"


def main() -> int:
    """Run what the arguments say; 0 where nothing was lost, doubled or stuck."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a selection that takes less than five minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="rows whose fault and stage match this regular expression")
    parser.add_argument("--form", choices=[EMBEDDED, TWO_HOSTS])
    parser.add_argument("--runs", type=int, help="how often each row is run")
    parser.add_argument("--code", type=Path, help="a folder that holds another dicom_node to run")
    parser.add_argument("--limit", type=float, default=FINISH_LIMIT_S, help="seconds after which a study is stuck")
    parser.add_argument("--beside", type=int, default=2, metavar="SITES", help="of each form, at once; the short matrix has one")
    options = parser.parse_args()
    rows = [row for row in make_rows(SHORT if options.short or options.runs else LONG) if row.is_short or not options.short]
    rows = [row for row in rows if re.search(options.only, f"{row.fault} {row.at}") and options.form in (None, row.form)]
    if options.short or options.runs:
        rows = [dataclasses.replace(row, runs=options.runs or 1) for row in rows]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # in order: else machines and network namespaces would stay
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    print(_HEAD, flush=True)
    beside = 1 if options.short else options.beside
    found = run(rows, folder, options.seed, code=options.code, limit_s=options.limit, beside=beside)
    for line in found.said:
        print(line, file=sys.stderr)
    if found.is_clean:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"what it left is in {folder}", file=sys.stderr)
    print(f"faults: kills={found.kills} studies={found.studies} lost={found.lost} doubled={found.doubled} stuck={found.stuck}")
    return 0 if found.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
