"""The rows of the matrix, and how one is run: studies are sent, at a moment that is seen from outside something breaks, and the checker
waits until the archive holds what it should."""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from tests.faults import faults
from tests.faults.faults import FULL, READ_ONLY, Duration, Inflict
from tests.faults.hosts import INFERENCE, RECEIVER, WORKER, Site
from tests.faults.outside import Sending, Verdict, judge
from tests.faults.studies import encode_study, find_study
from tests.peers.waiting import wait_until

MOMENT_LIMIT_S, FINISH_LIMIT_S = 60.0, 90.0
STUDIES_PER_RUN = 2
LATE = 4  # instances that are held back where images come late

EMBEDDED, TWO_HOSTS = "embedded", "two-hosts"
STAGES = ("receive", "assemble", "infer", "encode", "deliver", "commit")
# The event in the node's log that a stage begins with, and how long after it at most the fault comes.
_EVENTS = {
    "infer": ("StudyJudged", 0.35),
    "encode": ("InferenceDone", 0.03),
    "deliver": ("ResultMade", 0.1),
    "commit": ("ObjectDelivered", 0.3),
}


@dataclass(frozen=True)
class Row:
    """A fault at a stage, in one form. `held_back`: so many images come when the first result is there, before the fault."""

    fault: str
    at: str
    form: str
    inflict: Inflict
    runs: int
    is_short: bool = False
    held_back: int = 0
    after: Inflict = faults.nothing


@dataclass
class Tally:
    """What came of a row."""

    row: Row
    runs: int = 0
    studies: int = 0
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    recovered_s: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def make_rows(duration: Duration) -> Iterator[Row]:
    """All rows of both forms."""
    for form in (EMBEDDED, TWO_HOSTS):
        yield Row("none", "receive", form, faults.nothing, 2, is_short=True)
        if form == EMBEDDED:  # early, as a journal that is made anew has every study of the spool judged again
            for stage in ("receive", "infer", "commit"):
                yield Row("damaged journal", stage, form, faults.damage_journal, 3, is_short=stage == "commit")
            # What was made before must not be made a second time, under other UIDs, by a journal that does not remember.
            yield Row("damaged journal", "done", form, faults.damage_for_good, 3, is_short=True, held_back=LATE)
        for stage in ("receive", "assemble"):
            yield Row("kill receiver", stage, form, faults.kill(RECEIVER), 8, is_short=stage == "receive")
        for stage in STAGES[1:]:
            short = form == EMBEDDED or stage in ("infer", "deliver", "commit")
            yield Row("kill worker", stage, form, faults.kill(WORKER), 8, is_short=short)
        yield Row("kill inference", "infer", form, faults.kill(INFERENCE), 8, is_short=True)
        for stage in STAGES:
            yield Row("kill machine", stage, form, faults.kill_host, 8, is_short=stage in ("receive", "deliver"))
            power = form == EMBEDDED or stage in ("receive", "infer", "deliver")
            if power:
                yield Row(
                    "power cut",
                    stage,
                    form,
                    faults.cut_power,
                    8 if form == EMBEDDED else 4,
                    is_short=form == EMBEDDED and stage != "encode",
                )
            if form == TWO_HOSTS:
                yield Row("kill database", stage, form, faults.kill_database, 6, is_short=stage in ("receive", "infer", "commit"))
            yield Row(
                "disk full", stage, form, faults.fail_disk(FULL, duration), 4, is_short=form == EMBEDDED and stage in ("receive", "deliver")
            )
            yield Row("disk read-only", stage, form, faults.fail_disk(READ_ONLY, duration), 2)
        for stage in ("receive", "assemble"):
            yield Row("stop receiver", stage, form, faults.stop(RECEIVER, duration), 1)
        for stage in ("assemble", "infer", "deliver"):
            yield Row("stop worker", stage, form, faults.stop(WORKER, duration), 1, is_short=stage == "infer" and form == TWO_HOSTS)
        away = {"reject": (2, 3, 2)}
        yield Row("PACS refuses", "deliver", form, faults.answer_for_a_while(duration, **away), 2, is_short=form == TWO_HOSTS)
        yield Row("PACS silent", "deliver", form, faults.answer_for_a_while(duration, is_silent=True), 2)
        yield Row(
            "PACS A700", "receive", form, faults.answer_stores([0xA700, 0xA701]), 3, is_short=form == TWO_HOSTS, after=faults.answered
        )
        yield Row("PACS C000", "receive", form, faults.refuse_for_good, 2, is_short=form == EMBEDDED, after=faults.answered)
        yield Row("PACS loses", "encode", form, faults.lose_what_was_sent, 2, is_short=form == EMBEDDED)
        yield Row("PACS down", "deliver", form, faults.take_archive_down(duration), 3, is_short=form == TWO_HOSTS)
        yield Row("PACS down", "commit", form, faults.take_archive_down(duration), 3)
        for name, wrong in (("twice", {"commits_times": 2}), ("early", {"commits_when": "before"}), ("never", {"commits_when": "never"})):
            right = {"commits_times": 1} if name == "twice" else {"commits_when": "after"}
            yield Row(f"report {name}", "deliver", form, faults.commit(**wrong), 1, after=faults.commit(**right))
        yield Row("line in cut", "receive", form, faults.cut_line_in, 4, is_short=form == TWO_HOSTS)
        yield Row("line out cut", "deliver", form, faults.cut_line_out, 4, is_short=form == EMBEDDED)
        yield Row("duplicates", "receive", form, faults.send_from_everywhere, 4, is_short=form == TWO_HOSTS)
        yield Row("late images", "commit", form, faults.nothing, 3, is_short=form == EMBEDDED, held_back=LATE)
        for sign, name in ((3600, "clock forward"), (-3600, "clock back")):
            for stage in ("receive", "assemble", "deliver"):
                yield Row(
                    name,
                    stage,
                    form,
                    faults.set_clock(sign),
                    2,
                    is_short=stage == "receive" and (sign > 0) == (form == EMBEDDED),
                    after=faults.set_clock_right,
                )
        yield Row("spoilt model", "receive", form, faults.spoil_model, 1)


def run_row(
    row: Row, site: Site, chance: random.Random, names: Iterator[str], all_sent: list[Sending], limit_s: float = FINISH_LIMIT_S
) -> Tally:
    """Run a row as often as it says."""
    tally = Tally(row)
    for _ in range(row.runs):
        site.start()
        sendings = [begin_study(next(names), site, row.held_back) for _ in range(STUDIES_PER_RUN)]
        all_sent += sendings
        site.new_events()
        try:
            wait_for(row.at, site, sendings, chance)
            if row.held_back:
                release_late(site, sendings)
            if row.at == "done":
                wait_for_results(site, sendings, limit_s)
            row.inflict(site, sendings, chance)
            lifted = monotonic()
            verdicts = wait_for_results(site, sendings, limit_s)
            tally.recovered_s.append(monotonic() - lifted)
            row.after(site, sendings, chance)
        except AssertionError as error:  # a fault that could not be inflicted, or a machine that does not start
            tally.said.append(str(error)[-3000:])
            verdicts = [judge(sending, site.archive) for sending in sendings]
            tally.stuck += all(verdict.is_finished for verdict in verdicts)
            with suppress(AssertionError):
                row.after(site, sendings, chance)
        tally.runs += 1
        tally.studies += len(sendings)
        for sending, verdict in zip(sendings, verdicts, strict=True):
            sending.stop()
            tally.lost += verdict.lost
            tally.doubled += verdict.doubled
            tally.stuck += not verdict.is_finished
            if not verdict.is_finished or verdict.doubled:
                tally.said.append(f"{sending.study_instance_uid}: {verdict}")
    return tally


def begin_study(name: str, site: Site, held_back: int) -> Sending:
    instances = encode_study(name)
    study = find_study(name)
    late = {instance.sop_instance_uid for instance in instances[len(instances) - held_back :]} if held_back else set()
    return Sending(study, instances, late=late).start(site.gate.port)


def wait_for(stage: str, site: Site, sendings: Sequence[Sending], chance: random.Random) -> None:
    """The moment of a stage, and a seeded while."""
    if stage == "receive":
        wanted = chance.randrange(1, len(sendings[0].instances))
        wait_until(lambda: len(sendings[0].acknowledged) >= wanted, limit_s=MOMENT_LIMIT_S, every_s=0.001, what=site.log_end)
        return
    if stage == "assemble":
        wait_until(lambda: all(one.is_sent for one in sendings), limit_s=MOMENT_LIMIT_S, every_s=0.01, what=site.log_end)
        faults.for_a_while(chance.uniform(0.0, 1.5))
        return
    event, most_s = _EVENTS["commit" if stage == "done" else stage]
    seen: list[str] = []

    def has_come() -> bool:
        seen.append(site.new_events())
        return f'"{event}"' in "".join(seen)

    wait_until(has_come, limit_s=MOMENT_LIMIT_S, every_s=0.002, what=site.log_end)
    faults.for_a_while(chance.uniform(0.0, most_s))


def release_late(site: Site, sendings: Sequence[Sending]) -> None:
    """Let the images come that were held back, once there is a result of the others."""
    wait_until(lambda: all(_has_report(site, sending) for sending in sendings), limit_s=FINISH_LIMIT_S, every_s=0.2, what=site.log_end)
    for sending in sendings:
        sending.release()


def _has_report(site: Site, sending: Sending) -> bool:
    verdict = judge(sending, site.archive)
    return "reports=1" in verdict.missing and "segmentations=1" in verdict.missing


def wait_for_results(site: Site, sendings: Sequence[Sending], limit_s: float) -> list[Verdict]:
    """The verdicts once all studies are finished, or what they are when the limit is over."""
    end = monotonic() + limit_s
    while True:
        verdicts = [judge(sending, site.archive) for sending in sendings]
        if all(verdict.is_finished for verdict in verdicts) or monotonic() > end:
            return verdicts
        faults.for_a_while(0.1)
