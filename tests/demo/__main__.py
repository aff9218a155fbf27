"""Run the demo: `python -m tests.demo [--study FOLDER]`. Its last line counts from outside the node, whatever happens."""

import argparse
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from tests.peers.archive import digest_of_data_set, read_record
from tests.places import REPOSITORY

from .overview import draw
from .results import Made, Segment, match_planted, read_made
from .running import Programs, move, store, wait_for
from .study import DemoFailed, Study, find_study, make_phantom
from .table import write_lines

LIMIT_S = 900.0
POLL_S = 0.5


@dataclass
class Tally:
    """What the last line says. Every number is counted from files: the spool's, the archive's and its record."""

    received: int = 0  # instances of the study that lie in the node's spool with the bytes that were sent
    lost: int = 0  # those that do not, though the node had acknowledged them
    doubled: int = 0  # results that the archive was given more than once, and instances that the spool holds twice
    planted: int = 0
    found: int = 0
    objects: int = 0  # that the archive holds and that were not in the study
    delivered: int = 0  # of them, those whose C-STORE the archive acknowledged
    seconds: float = 0.0  # from the order to send the study to the node until everything was back

    def __str__(self) -> str:
        return "demo: " + " ".join(
            [
                f"received={self.received} lost={self.lost} doubled={self.doubled} planted={self.planted} found={self.found}",
                f"objects={self.objects} delivered={self.delivered} seconds={self.seconds:.1f}",
            ]
        )


def main() -> int:
    """Run it, print the table and the last line; 1 where something was lost, doubled, or nothing came of it."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--study", type=Path, help="a folder with DICOM files of your own, instead of the generated chest")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "demo-output", help="the folder for what comes back; it is made anew")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of pydicom, about odd values in the reader's files
    tally = Tally()
    try:
        is_good = _run(options.study, options.out.resolve(), tally)
    except DemoFailed as failure:
        print(f"\nThe demo failed: {failure}", flush=True)
        is_good = False
    finally:
        sys.stdout.flush()
        print(f"\n{tally}", flush=True)
    return 0 if is_good else 1


def _run(folder: Path | None, out: Path, tally: Tally) -> bool:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    programs = Programs(out)
    try:
        print("Making the study, starting the archive and the node ...", flush=True)
        study = make_phantom(out / "study") if folder is None else find_study(folder, lambda file: print(f"  no DICOM file: {file.name}"))
        tally.planted = len(study.planted)
        programs.start()
        store(study, programs.archive_port)
        print(f"The archive holds the study ({len(study.instances)} instances) and sends it to the node ...", flush=True)
        status, refused = _send_and_wait(study, programs, tally)
    finally:
        programs.stop()
    made, found = _count(study, refused, programs, tally)
    if refused:
        print(f"\nThe node took {len(refused)} of the {len(study.instances)} instances not; the archive was told so.")
    for line in write_lines(status, made, study.planted, found):
        print(line)
    _keep(made, out)
    packages = dict.fromkeys(f"{r['package']} {r['version']}" for s in status["studies"] for r in s["results"] if r.get("package"))
    draw(out / "overview.png", study, made, study.planted, found, f"dicom-node demo  ·  {', '.join(packages) or 'no model'}")
    print(f"\nWhat came back lies in {out.name}/objects, the picture is {out.name}/overview.png.")
    return _is_good(study, status, tally)


def _send_and_wait(study: Study, programs: Programs, tally: Tally) -> tuple[Mapping[str, Any], set[str]]:
    """Let the archive send the study, and wait until the node has closed it; the last status, and what the node did not take."""
    start = monotonic()
    last: dict[str, Any] = {"studies": []}

    def is_closed() -> bool:
        last.update(programs.ask_status(len(study.study_instance_uids) + 1))
        states = {one["study"]: one["state"] for one in last["studies"]}
        return all(states.get(uid) in ("done", "failed", "undelivered") for uid in expected)

    refused = move(study, programs.archive_port)
    expected = {one.study_instance_uid for one in study.instances if one.sop_instance_uid not in refused}
    is_over = wait_for(is_closed, LIMIT_S, POLL_S)
    tally.seconds = monotonic() - start
    if not is_over:
        _count(study, refused, programs, tally)
        raise DemoFailed(f"the study was not finished within {LIMIT_S:g} s: {programs.log_end('node.log')}")
    return last, refused


def _count(study: Study, refused: set[str], programs: Programs, tally: Tally) -> tuple[list[Made], Mapping[int, Segment]]:
    """Fill the tally from the files of the spool and the archive; give what the node made."""
    spooled = Counter(_digests(programs.spool))
    sent = Counter(instance.digest for instance in study.instances)
    tally.received = sum((spooled & sent).values())
    acknowledged = Counter(instance.digest for instance in study.instances if instance.sop_instance_uid not in refused)
    tally.lost = sum((acknowledged - spooled).values())
    ours = {instance.sop_instance_uid for instance in study.instances}
    made = [read_made(file) for file in sorted(programs.archive_folder.glob("*.dcm")) if file.stem not in ours]
    made.sort(key=lambda one: one.modality != "SEG")
    record = read_record(programs.archive_folder)
    again = sum(count - 1 for uid, count in record.items() if uid not in ours)
    tally.doubled = again + sum(count - 1 for count in spooled.values())
    tally.objects = len(made)
    tally.delivered = sum(record[one.sop_instance_uid] > 0 for one in made)
    segments = [segment for one in made for segment in one.segments]
    found = match_planted(study.planted, segments)
    tally.found = len(found) if study.planted else len(segments)
    return made, found


def _digests(spool: Path) -> list[str]:
    """Of every Part 10 file below the spool's folder, over its data set."""
    digests = []
    for file in spool.rglob("*") if spool.exists() else ():
        if file.is_file():
            with file.open("rb") as content:
                is_part10 = content.read(132)[128:] == b"DICM"
            if is_part10:
                digests.append(digest_of_data_set(file))
    return digests


def _keep(made: list[Made], out: Path) -> None:
    """Put the objects that came back where a person looks for them."""
    (out / "objects").mkdir()
    for number, one in enumerate(made, 1):
        shutil.copyfile(one.file, out / "objects" / f"{number}-{one.modality or 'object'}.dcm")


def _is_good(study: Study, status: Mapping[str, Any], tally: Tally) -> bool:
    if tally.lost or tally.doubled:
        return False
    if study.planted:
        return tally.delivered > 0
    # the reader's own study may be one that no model takes: the table says why
    is_explained = all(one["state"] == "done" for one in status["studies"])
    return tally.delivered > 0 or is_explained


if __name__ == "__main__":
    sys.exit(main())
