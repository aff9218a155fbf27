"""The soak's own parts: a short run of the whole, the rule for flat, and whether it sees what must not be."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.outside import Sending
from tests.peers.archive import read_record

from .ledger import SETTLE_S, Ledger
from .samples import ROLES
from .sending import Sender
from .slopes import as_table, judge_slopes, theil_sen
from .soak import PANELS, open_site, soak
from .studies import SIZES, Kind, Studies

SENT_S = 40.0


@pytest.fixture(scope="module")
def studies() -> Studies:
    return Studies()


def test_a_short_soak_finishes_every_study_and_draws_what_it_saw(tmp_path: Path) -> None:
    """Whether it is flat is not asked: nothing has left the node yet."""
    outcome = soak(tmp_path / "out", tmp_path / "site", minutes=SENT_S / 60, at_once=6, every_s=2.0, warm_up_minutes=0.2)
    assert outcome.said == ()
    assert outcome.studies >= 6
    assert outcome.images >= 12 * outcome.studies
    assert (outcome.lost, outcome.doubled, outcome.restarts) == (0, 0, 0)
    assert re.fullmatch(r"soak: minutes=\d+\.\d studies=\d+ images=\d+ lost=0 doubled=0 flat=(yes|no \(.*\))", outcome.last_line)

    with (tmp_path / "out" / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 10
    drawn = {name for panel in PANELS for name, _ in panel.lines}
    of_processes = {f"{role}.{name}" for role in ROLES for name in ("pss_mib", "rss_mib", "files", "threads")}
    for name in drawn | of_processes:
        assert rows[-1][name], name
    never = {name for name in drawn | of_processes if max(float(row[name] or 0) for row in rows) == 0}
    assert never <= {"rows.node_actions", "queue.open_series"}
    with Image.open(tmp_path / "out" / "soak.png") as picture:
        assert picture.size[0] > 1600
        assert len(picture.getcolors(1 << 16) or ()) > 20


def test_each_kind_is_sent_in_each_size_under_uids_of_its_own(studies: Studies) -> None:
    made = [studies.make(number) for number in range(len(Kind) * len(SIZES))]
    assert len({(study.kind, len(study.instances), len(study.instances[0].data_set)) for study in made}) == len(Kind) * len(set(SIZES))
    uids = [one.sop_instance_uid for study in made for one in study.instances]
    assert len(set(uids)) == len(uids)
    for study in made:
        assert all(study.study_instance_uid.encode() in one.data_set for one in study.instances)
        assert all(one.sop_instance_uid.encode() in one.data_set for one in study.instances)
    again = studies.make(3)
    assert (again.study_instance_uid, again.instances[0].data_set) == (made[3].study_instance_uid, made[3].instances[0].data_set)


def test_a_study_is_judged_by_what_the_archive_has_and_a_late_second_result_is_doubled(studies: Studies, tmp_path: Path) -> None:
    with open_site(tmp_path, "") as (node, archive):
        done: set[str] = set()
        ledger = Ledger(archive, lambda asked: done.intersection(asked))
        sender = Sender(node.port, studies, ledger, at_once=1, until=0.0)
        study = studies.make(0)
        under_way = ledger.begin(Sending(study.study_instance_uid, study.instances))
        sender._store_all(under_way.sending, study.instances)
        _look_until(ledger, lambda: under_way.verdict is not None and under_way.verdict.is_finished)
        assert ledger.under_way  # the journal has not said that it is done
        done.add(study.study_instance_uid)
        ledger.look(now=0.0)
        assert (ledger.finished, ledger.images, under_way.over.is_set()) == (1, len(study.instances), True)

        report, *_ = sorted(archive.glob("*.dcm"))
        content = report.read_bytes()
        ledger.look(now=SETTLE_S)
        assert list(archive.glob("*.dcm")) == []
        report.write_bytes(content)  # the same once more
        ledger.look(now=SETTLE_S + 1)
        assert (ledger.resent, ledger.lost, ledger.doubled) == (1, 0, 0)
        report.with_name("2.25.1.dcm").write_bytes(content)  # another one
        ledger.look(now=SETTLE_S + 2)
        assert ledger.doubled == 1
        assert len(read_record(archive)) == 2

        other = studies.make(1)
        unsent = ledger.begin(Sending(other.study_instance_uid, other.instances))
        unsent.sending.acknowledged = dict.fromkeys((one.sop_instance_uid for one in other.instances), "")
        ledger.close()
        assert ledger.lost == len(other.instances)
        assert "is not finished" in ledger.said[-2]


def _look_until(ledger: Ledger, condition: object) -> None:
    from tests.peers.waiting import wait_until

    def look() -> bool:
        ledger.look(now=0.0)
        return bool(condition())  # type: ignore[operator]

    wait_until(look, limit_s=60.0, what="the study is not finished", every_s=0.2)


def _rows(values: Sequence[float], name: str) -> list[dict[str, float]]:
    return [{"minutes": number / 12, name: value} for number, value in enumerate(values)]


def test_what_grows_is_not_flat_and_what_swings_is() -> None:
    """A row every five seconds for twenty minutes."""
    time = np.arange(240)
    swings = 200 + 10 * np.sin(time / 7)
    (flat,) = judge_slopes(_rows(swings, "worker.rss_mib"), 5.0)
    assert flat.is_flat
    (grown,) = judge_slopes(_rows(swings + time / 720 * 40, "worker.rss_mib"), 5.0)  # 40 MiB in an hour
    assert not grown.is_flat
    assert grown.per_hour == pytest.approx(40, abs=15)
    (shrunk,) = judge_slopes(_rows(swings - time / 720 * 40, "worker.rss_mib"), 5.0)
    assert shrunk.is_flat
    # What was there before the warm-up is over does not count, nor does a short burst.
    warming = np.minimum(time / 60, 1) * 200
    warming[100:110] = 1000
    (one,) = judge_slopes(_rows(warming, "worker.rss_mib"), 5.0)
    assert one.is_flat
    assert "worker.rss_mib" in as_table([one, grown])
    assert "NOT FLAT" in as_table([grown])


def test_a_table_that_is_new_has_a_limit_too() -> None:
    grows = np.arange(240) * 2.0
    (one,) = judge_slopes(_rows(grows, "rows.node_something"), 5.0)
    assert not one.is_flat
    (record,) = judge_slopes(_rows(grows, "rows.node_actions"), 5.0)
    assert (record.is_flat, record.limit_per_hour) == (True, None)


def test_the_slope_is_that_of_the_line() -> None:
    points = np.array([(x, 3 * x + 1) for x in range(10)], dtype=float)
    points[4, 1] = 1000
    assert theil_sen(points) == pytest.approx(3)
