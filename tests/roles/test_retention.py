"""What leaves by rule leaves whole: killed between any two statements, the next turn goes on; what comes meanwhile is not lost."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.config import Config
from dicom_node.errors import InstanceBeingRemoved
from dicom_node.journal import retention
from dicom_node.journal.tables import actions, answers, conflicts, deliveries, instances, metadata, results, series, studies
from dicom_node.roles.jobs import show
from dicom_node.roles.replay import replay_spool
from dicom_node.roles.retention import Retention
from dicom_node.roles.status import as_text, find_status
from dicom_node.spool import Spool
from dicom_node.texts import ENGLISH
from dicom_node.values import Analysed, NotAnalysed, PackageRef, Receipt
from dicom_node.values.reasons import ModelFailed
from dicom_node.values.receipts import Known
from dicom_node.values.records import ResultRecord
from tests.journal.conftest import HandClock, url

from .disk import STUDY, keep_objects, make_config, put_images

__all__ = ["url"]  # a fixture: an empty database of each kind

HOUR_S, DAY_S = 3600.0, 86_400.0
DONE_AT = 1000.0


@dataclass
class Site:
    """A node's disk and journal, and the retention of one worker."""

    config: Config
    engine: sa.Engine
    client: journal.Client
    kept: journal.Kept
    clock: HandClock

    def worker(self) -> Retention:
        return Retention(self.config, self.engine, self.client, Spool(self.config.spool), self.kept, self.clock)

    def pass_time(self, since_done_s: float) -> None:
        """So long ago the study was done: by the hand's clock, and by PostgreSQL's own."""
        self.clock.time = DONE_AT + since_done_s
        with self.engine.begin() as connection:
            done_at = journal.now(connection, self.clock) - since_done_s
            connection.execute(studies.update().where(studies.c.done_at.is_not(None)).values(done_at=done_at))

    def count(self, table: sa.Table) -> int:
        with self.engine.begin() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    def files(self) -> int:
        return len(list(self.config.spool.glob("*/*.dcm")))

    def kept_files(self, suffix: str) -> int:
        return len(list(self.config.kept.glob(f"*/*.{suffix}")))

    def actions(self) -> list[tuple[str, str, int]]:
        with self.engine.begin() as connection:
            asked = sa.select(actions.c.actor, actions.c.action, actions.c.amount).order_by(actions.c.number)
            return [tuple(row) for row in connection.execute(asked)]


@contextmanager
def done_study(folder: Path, url: str, count: int = 3, **rules: float) -> Iterator[Site]:
    """A study that is done: its images, one result, and two objects that a destination holds."""
    config = make_config(folder, database=url, **rules)
    put_images(config, count)
    kept, key = journal.Kept(config.kept), "a" * 64
    package = PackageRef("package", "1", "0" * 64, "2.25.1", "Package", "dicom-node", product=False)
    result = NotAnalysed(key, STUDY, "2.25.3", package, ModelFailed(3))
    name = kept.write_value(result)
    kept.write_record(ResultRecord(key, STUDY, "2.25.3", 0, "package", "1", None, None, name, 900.0))
    keep_objects(config, key, "pacs")
    assert replay_spool(config, "", HandClock()) is not None
    engine, clock = journal.open_engine(url), HandClock(DONE_AT)
    client = journal.Client(engine, look_delay_s=5.0)
    with engine.begin() as connection:
        connection.execute(deliveries.update().values(state="confirmed", proof="find"))
        connection.execute(series.update().values(is_complete=True, rule="count"))
        connection.execute(studies.update().values(generation=1, closed=1))
        journal.settle_study(connection, STUDY, DONE_AT)
    yield Site(config, engine, client, kept, clock)
    engine.dispose()


def test_images_go_after_their_time_and_are_noted(tmp_path: Path, url: str) -> None:
    with done_study(tmp_path, url, images_after_h=2.0) as site:
        site.pass_time(2 * HOUR_S - 1)
        site.worker().take_turn()
        assert site.files() == 3
        site.pass_time(2 * HOUR_S + 1)
        site.worker().take_turn()
        site.worker().take_turn()
        assert site.files() == 0
        assert site.actions() == [("retention", "images-removed", 3)]
        assert site.count(instances) == 3  # the rows stay
        assert (site.kept_files("value"), site.kept_files("dcm"), site.kept_files("record")) == (1, 2, 2)
        assert "retention: images-removed (3)" in show(site.config, f"study/{STUDY}", site.clock).text


def test_a_file_that_cannot_be_removed_keeps_no_other_study_here(tmp_path: Path, url: str) -> None:
    with done_study(tmp_path, url, images_after_h=2.0) as site:
        put_images(site.config, 2, study="2.25.9", first=100)
        assert replay_spool(site.config, "", site.clock) is not None
        with site.engine.begin() as connection:
            connection.execute(series.update().values(is_complete=True, rule="count"))
            connection.execute(studies.update().values(generation=1, closed=1, done_at=DONE_AT))
            file = connection.execute(sa.select(instances.c.file).where(instances.c.study_instance_uid == STUDY)).scalars().first()
        path = site.config.spool / str(file)
        path.unlink()
        path.mkdir()  # which no unlink removes
        site.pass_time(3 * HOUR_S)
        site.worker().take_turn()
        assert site.actions() == [("retention", "images-removed", 2)]
        path.rmdir()
        site.worker().take_turn()
        assert site.actions() == [("retention", "images-removed", 2), ("retention", "images-removed", 3)]


def test_everyone_else_gets_a_turn_between_two_removals(tmp_path: Path, url: str) -> None:
    """SQLite's lock is not given in turn: without a pause receipts wait for as long as there is something to remove."""
    with done_study(tmp_path, url, images_after_h=1.0, results_days=1.0, records_days=1.0) as site:
        site.pass_time(DAY_S + 1)
        begun: list[int] = []
        sa.event.listen(site.engine, "begin", lambda _: begun.append(len(site.clock.waited)))
        site.worker().take_turn()
        assert site.count(studies) == 0
        removals = len(site.clock.waited)
        assert removals == 4  # marked; removed and noted; results; records
        assert set(range(1, removals)) <= set(begun)  # each of them begins after the pause of the one before


@pytest.mark.parametrize("rules", [{"images_after_h": 0.0}, {"images_after_h": 1e9}])
def test_what_is_to_stay_for_ever_stays(tmp_path: Path, url: str, rules: dict[str, float]) -> None:
    with done_study(tmp_path, url, **rules) as site:
        site.pass_time(1e6 * HOUR_S)
        site.worker().take_turn()
        assert site.files() == 3


def test_results_then_records_go_after_their_times_and_can_be_shown_in_between(tmp_path: Path, url: str) -> None:
    with done_study(tmp_path, url, images_after_h=1.0, results_days=1.0, records_days=2.0) as site:
        site.pass_time(DAY_S + 1)
        site.worker().take_turn()
        site.worker().take_turn()
        assert (site.kept_files("value"), site.kept_files("dcm"), site.kept_files("record")) == (0, 0, 2)
        found = find_status(site.config, STUDY, 1, ENGLISH)
        assert found is not None
        (result,) = found["studies"][0]["results"]
        assert (result["kind"], result["removed"]) == ("not-analysed", True)
        assert [one["state"] for one in result["deliveries"][0]["objects"]] == ["confirmed"] * 2
        assert "its value has left the node" in as_text(found)

        site.pass_time(2 * DAY_S + 1)
        site.worker().take_turn()
        site.worker().take_turn()
        assert site.kept_files("record") == 0
        for table in (studies, series, instances, results, deliveries, answers, conflicts):
            assert site.count(table) == 0, table.name
        assert [action for _, action, _ in site.actions()] == ["images-removed", "results-removed", "records-removed"]
        assert "records-removed" in show(site.config, STUDY, site.clock).text
        assert replay_spool(site.config, "", site.clock) is not None
        assert site.count(results) == 0  # what has left does not come back


class Crash(Exception):
    """What kills the process."""


@contextmanager
def crash_at(engine: sa.Engine, statement: int) -> Iterator[list[int]]:
    """The process dies before its n-th word to the database, counted from 0; a commit is one."""
    said = [0]

    def count(*_: object) -> None:
        said[0] += 1
        if said[0] > statement:
            raise Crash

    sa.event.listen(engine, "before_cursor_execute", count)
    sa.event.listen(engine, "commit", count)
    try:
        yield said
    finally:
        sa.event.remove(engine, "before_cursor_execute", count)
        sa.event.remove(engine, "commit", count)


def test_a_turn_that_is_killed_between_any_two_statements_is_finished_by_the_next(tmp_path: Path) -> None:
    crashes = 0
    while True:
        folder = tmp_path / str(crashes)
        url = f"sqlite:///{folder / 'journal.sqlite'}"
        with done_study(folder, url, images_after_h=1.0, results_days=1.0, records_days=1.0) as site:
            site.pass_time(DAY_S + 1)
            is_over = False
            with crash_at(site.engine, crashes):
                try:
                    site.worker().take_turn()
                    is_over = True
                except Crash:
                    crashes += 1
            for _ in range(3):
                site.worker().take_turn()
            assert site.files() == 0
            assert [site.kept_files(suffix) for suffix in ("value", "dcm", "record")] == [0, 0, 0]
            assert [site.count(table) for table in (studies, instances, results, deliveries)] == [0, 0, 0, 0]
            done = [action for _, action, _ in site.actions()]
            assert done.count("images-removed") == done.count("records-removed") == 1
        if is_over:
            break
    assert crashes > 20


def test_two_workers_at_once_remove_once(tmp_path: Path, url: str) -> None:
    with done_study(tmp_path, url, 250, images_after_h=1.0) as site:
        site.pass_time(HOUR_S + 1)
        together = threading.Barrier(2)

        def turn(_: int) -> None:
            together.wait()
            site.worker().take_turn()

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(turn, range(2)))
        site.worker().take_turn()
        assert site.files() == 0
        assert site.actions() == [("retention", "images-removed", 250)]
        with site.engine.begin() as connection:
            assert connection.execute(sa.select(series.c.instances)).scalar_one() == 0


@pytest.mark.parametrize("seed", range(4))
def test_what_is_sent_again_while_it_is_removed_is_here_or_was_not_acknowledged(tmp_path: Path, url: str, seed: int) -> None:
    """A sender sends all images again while retention removes them: what came back has its file, row and open series."""
    with done_study(tmp_path, url, 120, images_after_h=1.0) as site:
        site.pass_time(HOUR_S + 1)
        spool = Spool(site.config.spool)
        receipts_of = {receipt.instance.sop_instance_uid: receipt for receipt in spool.list()}
        content = {uid: read(spool, receipt) for uid, receipt in receipts_of.items()}
        order = sorted(receipts_of, key=lambda uid: (hash((seed, uid)), uid))
        outcomes: dict[str, Known] = {}
        together = threading.Barrier(3)

        def is_there(instance: object) -> bool:
            return spool.path(instance).exists()  # type: ignore[arg-type]

        with journal.open_receipts(site.engine, site.client, site.clock, is_there) as receipts:

            def send(uids: list[str]) -> None:
                together.wait()
                for uid in uids:
                    receipt = receipts_of[uid]
                    put_again(spool, receipt, content[uid])
                    with suppress(InstanceBeingRemoved):  # A700: the sender has it still
                        outcomes[uid] = receipts.commit(receipt)

            def remove() -> None:
                together.wait()
                for _ in range(3):
                    site.worker().take_turn()

            with ThreadPoolExecutor(3) as threads:
                for future in [threads.submit(send, order[::2]), threads.submit(send, order[1::2]), threads.submit(remove)]:
                    future.result(120)
        assert set(outcomes.values()) <= {Known.NEW, Known.SAME}
        brought_back = {uid for uid, outcome in outcomes.items() if outcome is Known.NEW}
        with site.engine.begin() as connection:
            rows = {row.sop_instance_uid: row for row in connection.execute(sa.select(instances))}
            counted = connection.execute(sa.select(series)).one()
            study = connection.execute(sa.select(studies)).one()
        here = {uid for uid, row in rows.items() if row.removed_at is None}
        # What was found to be there before it was marked is an image whose results are confirmed: it may go after its answer.
        assert brought_back <= here <= set(outcomes)
        assert all(rows[uid].removing_at is None and spool.path(receipts_of[uid].instance).exists() for uid in here)
        assert counted.instances == len(here)
        assert counted.is_complete is not bool(brought_back)
        assert not brought_back or (study.done_at, study.images_removed_at) == (None, None)
        assert len(rows) == 120


def test_what_comes_again_after_it_was_marked_is_counted_once(tmp_path: Path, url: str) -> None:
    """Between the decision and the removal: one of three images is back before its file was removed."""
    with done_study(tmp_path, url, images_after_h=1.0) as site:
        spool = Spool(site.config.spool)
        with site.engine.begin() as connection:
            assert retention.mark_images(connection, STUDY, DONE_AT + HOUR_S + 1, must_be_done=True)
        with journal.open_receipts(site.engine, site.client, site.clock) as receipts:
            assert receipts.commit(next(iter(spool.list()))) is Known.NEW
        site.pass_time(HOUR_S + 2)
        with site.engine.begin() as connection:
            assert retention.remove_images(connection, STUDY, spool.remove, site.clock.time) == 2
            assert connection.execute(sa.select(series.c.instances)).scalar_one() == 1
            assert connection.execute(sa.select(sa.func.count()).where(instances.c.removed_at.is_(None))).scalar_one() == 1


def read(spool: Spool, receipt: Receipt) -> bytes:
    with spool.open(receipt.instance) as file:
        return file.read()


def put_again(spool: Spool, receipt: Receipt, content: bytes) -> None:
    one = receipt.instance
    spool.put(
        content,
        sop_class_uid=one.sop_class_uid,
        sop_instance_uid=one.sop_instance_uid,
        transfer_syntax_uid=one.transfer_syntax_uid,
        calling=receipt.calling,
        called=receipt.called,
        source="127.0.0.1",
    )


def test_values_that_nobody_wants_go_but_not_while_the_journal_does_not_know_the_records(tmp_path: Path, url: str) -> None:
    """One of 256 folders in each turn; where the journal was lost, what it will be made again from stays."""
    with done_study(tmp_path, url) as site:
        unwanted = [site.kept.write_value(("a step", number)) for number in range(20)]
        for path in site.config.kept.glob("*/*"):
            os.utime(path, (0, 0))
        site.pass_time(1e6)
        with site.engine.begin() as connection:
            connection.execute(sa.text(f"delete from {'dbos.' if url.startswith('postgresql') else ''}workflow_status"))
        worker = site.worker()
        for _ in range(256):
            worker.take_turn()
        assert not [name for name in unwanted if site.kept.path(name).exists()]
        assert (site.kept_files("value"), site.kept_files("dcm"), site.kept_files("record")) == (1, 2, 2)

        (record, *_) = (path for path in site.config.kept.glob("*/*.record"))
        beside = record.with_name("0" * 40 + ".value")
        beside.write_bytes(b"1")
        os.utime(beside, (0, 0))
        with site.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        for _ in range(256):
            worker.take_turn()
        assert beside.exists()


def test_what_is_kept_of_a_result_can_be_read_by_its_kind(tmp_path: Path) -> None:
    """The value of a step is what was given to it; a file that is gone is None, as is one that never was."""
    with done_study(tmp_path, f"sqlite:///{tmp_path / 'journal.sqlite'}") as site:
        with site.engine.begin() as connection:
            name = connection.execute(sa.select(results.c.kept)).scalar_one()
        assert isinstance(site.kept.find_value(name), Analysed | NotAnalysed)
        site.kept.remove(name)
        assert site.kept.find_value(name) is None
        assert site.kept.find_value("") is None
