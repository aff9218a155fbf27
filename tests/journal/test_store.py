"""The schema's way from one version to the next: whole or not at all, and one process at a time."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from psycopg.errors import ReadOnlySqlTransaction

from dicom_node import journal
from dicom_node.journal import store
from dicom_node.journal.tables import metadata

from .conftest import HandClock


def first_schema(url: str) -> sa.Engine:
    engine = journal.open_engine(url)
    with engine.begin() as connection:
        configuration = store._configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "0001")
    return engine


def columns_of(engine: sa.Engine, table: str) -> set[str]:
    return {str(column["name"]) for column in sa.inspect(engine).get_columns(table)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.sqlite'}"


def test_a_migration_that_fails_leaves_nothing_behind(url: str) -> None:
    engine = first_schema(url)
    with engine.begin() as connection:
        connection.execute(sa.text("drop index ix_node_instances_study_instance_uid"))  # late in 0002 this is missed
    with pytest.raises(sa.exc.OperationalError):
        journal.migrate(url)
    assert "removed_at" not in columns_of(engine, "node_instances")
    assert not sa.inspect(engine).has_table("node_actions")
    assert not journal.is_current(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("create index ix_node_instances_study_instance_uid on node_instances (study_instance_uid)"))
    journal.migrate(url)
    assert journal.is_current(engine)
    engine.dispose()


def test_the_migrations_lead_to_the_tables_of_the_code(url: str) -> None:
    journal.migrate(url)
    engine = journal.open_engine(url)
    for table in metadata.tables.values():
        assert columns_of(engine, table.name) == {column.name for column in table.columns}, table.name
        made = {index["name"] for index in sa.inspect(engine).get_indexes(table.name)}
        assert {index.name for index in table.indexes} == made, table.name
    engine.dispose()


def test_processes_that_migrate_at_once_do_not_disturb_each_other(url: str) -> None:
    program = f"from dicom_node import journal; journal.migrate({url!r})"
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    assert [process.wait(60) for process in started] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("error", "is_unavailable"),
    [
        (sa.exc.OperationalError("", {}, Exception()), True),
        (sa.exc.InterfaceError("", {}, Exception()), True),  # the connection is gone
        (sa.exc.TimeoutError(), True),  # none of the pool is free
        (sa.exc.InternalError("", {}, ReadOnlySqlTransaction()), True),  # a standby
        (sa.exc.InternalError("", {}, Exception()), False),
        (sa.exc.IntegrityError("", {}, Exception()), False),
        (ValueError(), False),
    ],
)
def test_a_database_that_takes_nothing_now_is_told_from_one_that_was_asked_wrongly(error: Exception, is_unavailable: bool) -> None:
    assert store.is_unavailable(error) == is_unavailable


def test_time_goes_on_when_the_clock_is_set_or_lost(url: str) -> None:
    """journal.now: a clock set by hours changes nothing within a boot; a machine that starts in 1970 goes on where the journal was."""
    journal.migrate(url)
    engine = journal.open_engine(url)
    clock = Machine("first", now_s=1_000_000.0, since_boot_s=50.0)
    with engine.begin() as connection:
        assert journal.now(connection, clock) == 1_000_000.0
        clock.time, clock.since_boot_s = 1_003_600.0 + 5.0, 55.0  # five seconds later, and an hour by hand
        assert journal.now(connection, clock) == 1_000_005.0
        connection.execute(
            sa.text("insert into node_series values ('1.2', '1.2.3', 'CT', 1, 1000005.0, 0, false, null, null)")
            if len(columns_of(engine, "node_series")) == 9
            else pytest.fail("node_series has other columns")
        )
        lost = Machine("second", now_s=0.0, since_boot_s=3.0)
        assert journal.now(connection, lost) == 1_000_005.0
    engine.dispose()


class Machine(HandClock):
    """A machine whose clock is set by hand, apart from the time since its boot."""

    def __init__(self, boot: str, *, now_s: float, since_boot_s: float) -> None:
        super().__init__(time=now_s)
        self.boot, self.since_boot_s = boot, since_boot_s

    def steady(self) -> tuple[str, float]:
        return self.boot, self.since_boot_s
