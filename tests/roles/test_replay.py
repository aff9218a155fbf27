"""A journal is made again from spool and kept alone: the same results, nothing twice, whole or not at all."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.clock import SystemClock
from dicom_node.config import Config
from dicom_node.journal.tables import deliveries, instances, results, studies
from dicom_node.roles import serve
from dicom_node.roles.replay import rebuild_journal, replay_spool
from dicom_node.values import Accepted
from tests.journal.conftest import HandClock, url

from .disk import SERIES, STUDY, keep_objects, keep_result, make_config, put_images

__all__ = ["url"]  # a fixture: an empty database of each kind

CHOICE = Accepted("package", SERIES, 0, (), chosen=True, because=())


def rows(config: Config, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    engine = journal.open_engine(config.database)
    with engine.begin() as connection:
        found = connection.execute(sa.select(table).order_by(*table.primary_key)).all()
    engine.dispose()
    return list(found)


def test_images_results_and_what_was_made_of_them_are_there_again(url: str, tmp_path: Path) -> None:
    """The second result, which late images led to, names the first: so does the next one, and none is made again."""
    config = make_config(tmp_path, database=url)
    put_images(config, 5)
    first = keep_result(config, 1)
    second = keep_result(config, 2, predecessor=first)
    for key in (first, second):
        for destination in ("pacs", "viewer"):
            keep_objects(config, key, destination)
    done = replay_spool(config, "", SystemClock())
    assert done is not None
    assert done.entered == len(rows(config, instances)) == 5
    assert [(row.key, row.predecessor, row.number) for row in rows(config, results)] == [(first, None, 0), (second, first, 1)]
    engine = journal.open_engine(url)
    with engine.begin() as connection:
        assert journal.find_latest(connection, STUDY, CHOICE, of_study=False) == (second, first)
        assert journal.find_result(connection, CHOICE, second) is not None
    engine.dispose()
    # Who is asked for a proof is asked, and gets what it lacks; to the other one the same objects are sent again.
    assert [(row.destination, row.state, row.proof) for row in rows(config, deliveries) if row.result_key == second] == [
        *[("pacs", "sent", None)] * 2,
        *[("viewer", "queued", None)] * 2,
    ]


def test_a_journal_that_is_lost_is_made_again_from_results_alone(tmp_path: Path) -> None:
    """All images have left by rule: what late ones lead to must name what was sent before."""
    config = make_config(tmp_path)
    key = keep_result(config, 1)
    keep_objects(config, key, "pacs")
    serve._bring_up(config, SystemClock())
    assert [row.key for row in rows(config, results)] == [key]
    assert len(rows(config, deliveries)) == 2
    before = rows(config, results)
    serve._bring_up(config, SystemClock())  # what is there is left alone
    assert rows(config, results) == before


def test_a_replay_of_what_the_journal_knows_changes_no_result_and_no_delivery(url: str, tmp_path: Path) -> None:
    config = make_config(tmp_path, database=url)
    put_images(config, 3)
    keep_objects(config, keep_result(config, 1), "pacs")
    assert replay_spool(config, "", SystemClock()) is not None
    engine = journal.open_engine(url)
    with engine.begin() as connection:
        connection.execute(deliveries.update().values(state="confirmed", proof="commitment"))
    engine.dispose()
    before = (rows(config, results), rows(config, deliveries))
    keep_objects(config, f"{1:064x}", "viewer")  # the worker has kept it, and has not written its rows yet
    done = replay_spool(config, "", SystemClock())
    assert done is not None
    assert done.entered == 0
    assert (rows(config, results), rows(config, deliveries)) == before


def test_a_result_whose_value_is_gone_still_counts_and_is_not_taken_for_there(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    put_images(config, 3)
    key = keep_result(config, 1, kept=f"{0:040x}.value")
    assert replay_spool(config, "", SystemClock()) is not None
    engine = journal.open_engine(config.database)
    with engine.begin() as connection:
        assert journal.find_latest(connection, STUDY, CHOICE, of_study=False) == (key, "")
        assert journal.find_result(connection, CHOICE, key) is None
    engine.dispose()


def test_objects_of_a_result_that_nobody_knows_are_not_entered(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    keep_objects(config, "9" * 64, "viewer")
    assert replay_spool(config, "", SystemClock()) is not None
    assert rows(config, deliveries) == []


@pytest.mark.parametrize("are_kept", [True, False])
def test_a_study_whose_images_had_left_is_there_without_them(are_kept: bool, url: str, tmp_path: Path) -> None:
    """Its objects are asked for while they are here; where they too have left by rule, nothing is to be done."""
    config = make_config(tmp_path, database=url)
    put_images(config, 2)
    key = keep_result(config, 1, study="2.25.77")
    for file in keep_objects(config, key, "viewer"):
        if not are_kept:
            journal.Kept(config.kept).remove(file)
    assert replay_spool(config, "", SystemClock()) is not None
    with_images, without = rows(config, studies)
    assert (with_images.study_instance_uid, with_images.images_removed_at) == (STUDY, None)
    assert without.study_instance_uid == "2.25.77"
    assert without.images_removed_at is not None
    assert (without.done_at is None) == are_kept
    assert [(row.state, row.proof) for row in rows(config, deliveries)] == [("queued", None) if are_kept else ("sent", "none")] * 2


class Crash(Exception):
    """What kills the process."""


class CrashingClock(HandClock):
    """Dies when it is asked for the n-th time."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last

    def steady(self) -> tuple[str, float]:
        self.ask()
        return super().steady()

    def now(self) -> float:
        self.ask()
        return super().now()

    def ask(self) -> None:
        if self.last == 0:
            raise Crash
        self.last -= 1


def test_a_crash_while_a_damaged_journal_is_made_again_leaves_it_for_the_next_start(tmp_path: Path) -> None:
    """Half a journal, taken for a whole one, would have lost the images that it does not name."""
    config = make_config(tmp_path)
    put_images(config, 600)  # three groups of receipts
    file = tmp_path / "journal.sqlite"
    damaged = b"\xa5" * 8192
    file.write_bytes(damaged)
    crashes = 0
    while True:
        try:
            entered = rebuild_journal(config, CrashingClock(crashes))
        except Crash:
            crashes += 1
            assert file.read_bytes() == damaged
        else:
            break
    assert crashes >= 3
    assert entered == len(rows(config, instances)) == 600
    (aside,) = tmp_path.glob("journal.sqlite.damaged-*")
    assert aside.read_bytes() == damaged
    assert not list(tmp_path.glob("*.rebuilt*"))
    connection = sqlite3.connect(file)
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()
