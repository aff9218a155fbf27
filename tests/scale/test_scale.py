"""What is asked again and again must not cost more, the more is known: by the plans of the questions, and by a small growth."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.journal import engine as engine_module
from dicom_node.journal.instances import _row
from tests.peers.postgres import Postgres
from tests.scale.names import INSTANCE_COLUMNS, instance_row, name_study
from tests.scale.simulate import as_table, simulate
from tests.scale.way import Way, open_way, run_study

# Tables with a row for each open association, for each boot, and for each kind of refusal.
SMALL = {"node_feeding", "node_boots", "node_refusals", "node_schema"}


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    with open_way(f"sqlite:///{tmp_path / 'journal.sqlite'}", tmp_path / "kept") as opened:
        yield opened


def ask_everything(way: Way) -> None:
    """A study on its way, and all that is asked every second, twice a minute, or by a person."""
    for number in range(2):
        run_study(way, name_study(number), 6)
    late = name_study(0)
    way.receive(late, range(8, 9))
    way.close_again(late, late.series[0])
    way.show(late)
    way.list_newest()
    way.receive(name_study(2), range(1))
    way.list_jobs()
    way.sweep()
    way.count_open()
    way.remove_oldest_images(way.clock.now())
    way.find_garbage(late)
    with way.engine.begin() as connection:
        engine_module.find_executors(connection)
        engine_module.oldest_live_at(connection)
        journal.find_feeders(connection)
        journal.judge_what_was_out_of_service(connection, way.client, ("ct-lung-nodule",), way.clock.now())


def test_no_question_reads_a_whole_table(way: Way, tmp_path: Path) -> None:
    asked: dict[str, object] = {}

    @sa.event.listens_for(way.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, parameters: object, _context: object, is_many: bool) -> None:
        if not is_many and statement.split(None, 1)[0].upper() in {"SELECT", "UPDATE", "DELETE"}:
            asked[statement] = parameters

    ask_everything(way)
    database = sqlite3.connect(tmp_path / "journal.sqlite")
    whole = set()
    for statement, parameters in asked.items():
        for *_, step in database.execute(f"explain query plan {statement}", parameters):  # type: ignore[arg-type]
            words = step.split()
            if words[0] == "SCAN" and "INDEX" not in words and words[1].startswith(("node_", "workflow_")) and words[1] not in SMALL:
                whole.add((words[1], statement))
    database.close()
    assert len(asked) > 40
    assert whole == set()


def test_a_row_that_is_put_in_by_the_bulk_is_that_of_a_receipt(way: Way) -> None:
    for number in (6, 7):
        named = name_study(number)
        row = dict(zip(INSTANCE_COLUMNS, instance_row(named, 3, 5.0, None), strict=True))
        assert {name: value for name, value in row.items() if value is not None} == _row(way.receipt(named, 3), 5.0)
        run_study(way, named, 4)
        assert way.is_done(named)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_small_growth_costs_the_same(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """20,000 instances against 200: what reads whole tables would cost a hundred times as much; the limit is for a busy machine."""
    if database == "sqlite":
        urls = (f"sqlite:///{tmp_path / 'journal.sqlite'}", f"sqlite:///{tmp_path / 'beside.sqlite'}")
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        urls = (postgres.create(), postgres.create())
    points = simulate(urls, tmp_path, instances=20_000, studies=1000, samples=9, sizes=(0.01, 1.0), report=lambda _: None)
    assert points[-1].instances == 20_000
    assert len(as_table(points).splitlines()) == len(points[0].seconds) + 3
    assert max(points[-1].ratios.values()) < 4.0, points[-1].ratios
