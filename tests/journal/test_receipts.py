"""Receipts and the jobs that hang on them."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dicom_node import journal
from dicom_node.journal.engine import status_table
from dicom_node.journal.tables import feeding, metadata, series
from dicom_node.values import AETitle, CompletenessRule, Priority, StorePriority
from dicom_node.values.receipts import Known
from tests.peers.waiting import wait_until

from .conftest import Book, receipt

LOOK = journal.Look("1.2", "1.2.3", generation=0, number=0)


def test_a_receipt_is_new_once_then_the_same_and_other_bytes_are_set_aside(book: Book) -> None:
    assert book.receipts.commit(receipt(1)) is Known.NEW
    assert book.receipts.commit(receipt(1)) is Known.SAME
    assert book.receipts.commit(receipt(1, digest="other")) is Known.CONFLICT
    assert book.receipts.commit(receipt(1, digest="other")) is Known.CONFLICT
    found = book.open_series(LOOK)
    assert found is not None
    assert found.instances == 1


def test_the_same_instance_from_many_associations_at_once_is_new_once(book: Book) -> None:
    """Case U1."""
    together = threading.Barrier(8)

    def commit(number: int) -> Known:
        together.wait()
        return book.receipts.commit(receipt(1, association=f"a:{number}"))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(commit, range(8)))
    assert sorted(answers) == ["new", *["same"] * 7]


def test_a_series_has_one_look_however_many_images_it_has(book: Book) -> None:
    for number in range(50):
        book.receipts.commit(receipt(number))
    assert book.jobs("look") == ["look-1.2-1.2.3-0-0"]


def test_further_images_move_the_series_and_the_most_urgent_of_them_counts(book: Book) -> None:
    """Those that only go on take a short way in the journal, an urgent one among them does not."""
    book.receipts.commit(receipt(1))
    for number, priority in ((2, StorePriority.MEDIUM), (3, StorePriority.HIGH), (4, StorePriority.LOW), (5, StorePriority.HIGH)):
        book.clock.time += 1.0
        assert book.receipts.commit(replace(receipt(number), store_priority=priority, calling=AETitle(f"CT{number}"))) is Known.NEW
        assert book.receipts.commit(replace(receipt(number), store_priority=priority)) is Known.SAME
        found = book.open_series(LOOK)
        assert found is not None
        assert found.instances == number
        assert found.last_seen == pytest.approx(book.now(), abs=5.0)
        assert found.store_priority is (StorePriority.HIGH if number > 2 else StorePriority.MEDIUM)
    assert found.calling.text == "PACS"
    assert book.jobs("look") == ["look-1.2-1.2.3-0-0"]


def test_a_series_whose_rows_have_left_begins_anew_though_its_association_is_still_open(book: Book) -> None:
    book.receipts.commit(receipt(1))
    with book.engine.begin() as connection:
        connection.execute(series.delete())
    assert book.receipts.commit(receipt(2)) is Known.NEW
    found = book.open_series(LOOK)
    assert found is not None
    assert found.instances == 1


def test_what_arrives_is_found_once_and_not_what_is_complete(book: Book) -> None:
    """So that its headers are read while more of it comes."""

    def arriving(since: float) -> tuple[float, list[str]]:
        with book.engine.begin() as connection:
            found = journal.read_arriving(connection, since, 4)
        return max((at for at, _ in found), default=since), sorted(one.sop_instance_uid for _, some in found for one in some)

    book.receipts.commit(receipt(1))
    book.receipts.commit(receipt(2, series="1.2.4"))
    since, found = arriving(0.0)
    assert found == ["1.2.3.1", "1.2.3.2"]
    assert arriving(since) == (since, [])
    book.clock.time += 1.0
    book.receipts.commit(receipt(3))
    assert arriving(since)[1] == ["1.2.3.1", "1.2.3.3"]  # all of the series: whoever asks knows what it has
    close(book, LOOK)
    assert arriving(0.0)[1] == ["1.2.3.2"]


def test_late_images_reopen_a_complete_series_under_another_generation(book: Book) -> None:
    book.receipts.commit(receipt(1))
    close(book, LOOK)
    assert book.open_series(LOOK) is None
    book.receipts.commit(receipt(1))  # the same again is not late
    assert book.jobs("look") == ["look-1.2-1.2.3-0-0"]
    book.receipts.commit(receipt(2))
    assert book.jobs("look") == ["look-1.2-1.2.3-0-0", "look-1.2-1.2.3-1-0"]
    assert book.open_series(LOOK) is None
    assert book.open_series(journal.Look("1.2", "1.2.3", 1, 0)) is not None


def test_a_study_is_judged_when_its_last_series_is_complete(book: Book) -> None:
    book.receipts.commit(receipt(1))
    book.receipts.commit(receipt(2, series="1.2.4"))
    close(book, LOOK)
    assert book.jobs("work") == []
    close(book, journal.Look("1.2", "1.2.4", 0, 0))
    assert book.jobs("work") == ["study-1.2-1"]
    with book.engine.begin() as connection:
        stored = journal.read_complete_series(connection, "1.2")
    assert [(one.series_instance_uid, len(one.instances)) for one in stored] == [("1.2.3", 1), ("1.2.4", 1)]


def test_an_association_feeds_until_it_ends_and_one_that_broke_off_leaves_the_time(book: Book) -> None:
    book.receipts.commit(receipt(1, association="a:1"))
    assert feeders(book) == (1, None)
    book.receipts.association_ended("a:1", is_broken=False)
    assert feeders(book) == (0, None)
    book.receipts.commit(receipt(2, association="a:2"))
    book.clock.time = 1500.0
    book.receipts.association_ended("a:2", is_broken=True)
    assert feeders(book) == (0, pytest.approx(book.now(), abs=5.0))
    book.receipts.commit(receipt(3, association="a:3"))  # the sender has come back
    assert feeders(book) == (1, None)


def test_an_association_that_ends_in_order_after_several_images_brings_the_look_forward(book: Book) -> None:
    """Its sender is asked then how many images there are; where each image has an association of its own it would be asked after each."""
    book.receipts.commit(receipt(1, association="a:1"))
    book.receipts.association_ended("a:1", is_broken=False)
    assert delayed(book) == ["look-1.2-1.2.3-0-0"]
    book.receipts.commit(receipt(2, association="a:2"))
    book.receipts.commit(receipt(3, association="a:2"))
    book.receipts.association_ended("a:2", is_broken=True)  # it has more to send
    assert delayed(book) == ["look-1.2-1.2.3-0-0"]
    book.receipts.commit(receipt(4, association="a:3"))
    book.receipts.commit(receipt(5, association="a:3"))
    book.receipts.commit(receipt(6, association="a:4", series="1.2.3.4"))  # whose key begins likewise
    book.receipts.association_ended("a:3", is_broken=False)
    assert delayed(book) == ["look-1.2-1.2.3.4-0-0"]


def test_what_comes_again_says_that_its_sender_is_at_work(book: Book) -> None:
    """After a break most senders begin with the first image again: nothing of it is new, and more is on its way."""
    book.receipts.commit(receipt(1, association="a:1"))
    book.receipts.association_ended("a:1", is_broken=True)
    book.clock.time += 30.0
    assert book.receipts.commit(receipt(1, association="a:2")) is Known.SAME
    assert feeders(book) == (1, None)
    found = book.open_series(LOOK)
    assert found is not None
    assert found.last_seen == pytest.approx(book.now(), abs=5.0)
    assert found.instances == 1
    book.receipts.association_ended("a:2", is_broken=False)

    close(book, LOOK)
    assert book.receipts.commit(receipt(1, association="a:3")) is Known.SAME  # a complete series stays so
    with book.engine.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(feeding)).scalar_one() == 0
    assert book.jobs("work") == ["study-1.2-1"]


def test_an_end_that_the_database_does_not_take_is_written_when_it_does(book: Book) -> None:
    """A full disk, for as long as it likes: the series must not stay open for ever."""
    book.receipts.commit(receipt(1, association="a:1"))
    book.receipts.commit(receipt(2, association="a:2"))
    with book.engine.begin() as connection:
        connection.execute(sa.text("alter table node_feeding rename to node_feeding_away"))
    with pytest.raises(sa.exc.SQLAlchemyError):
        book.receipts.association_ended("a:1", is_broken=False)
    with pytest.raises(sa.exc.SQLAlchemyError):
        book.receipts.association_ended("a:2", is_broken=True)
    with book.engine.begin() as connection:
        connection.execute(sa.text("alter table node_feeding_away rename to node_feeding"))
    wait_until(lambda: feeders(book)[0] == 0, limit_s=30, every_s=0.1, what="the ends are not written")
    assert feeders(book) == (0, pytest.approx(book.now(), abs=30.0))


def test_an_end_that_cannot_be_written_for_want_of_anything_is_written_later(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can be opened: the time cannot be asked. The thread that commits receipts lives on, and the row does not stay."""
    book.receipts.commit(receipt(1, association="a:1"))
    steady = book.clock.steady

    def no_descriptor(*_: object) -> tuple[str, float]:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(book.clock, "steady", no_descriptor)
    monkeypatch.setattr(journal.instances, "now", no_descriptor)
    with pytest.raises(OSError, match="too many"):
        book.receipts.association_ended("a:1", is_broken=True)
    with pytest.raises(OSError, match="too many"):
        book.receipts.commit(receipt(2, association="a:2"))
    wait_until(lambda: book.receipts._unwritten.qsize() == 1, limit_s=30, what="the end is not tried again")
    monkeypatch.undo()
    assert book.clock.steady() == steady()
    assert book.receipts.commit(receipt(2, association="a:2")) is Known.NEW
    wait_until(lambda: feeders(book)[1] is not None, limit_s=30, every_s=0.1, what="the end is not written")


def test_a_receiver_that_starts_breaks_off_what_its_predecessor_had_open(book: Book) -> None:
    book.receipts.commit(receipt(1, association="host-1:9"))
    book.receipts.commit(receipt(2, association="other-1:9"))
    book.receipts.receiver_started("host-1")
    assert feeders(book) == (1, pytest.approx(book.now(), abs=5.0))
    book.receipts.receiver_started("")
    assert feeders(book) == (0, pytest.approx(book.now(), abs=5.0))


def test_a_series_clock_does_not_go_back_when_a_transaction_that_began_earlier_ends_later(book: Book) -> None:
    book.receipts.commit(receipt(1))
    with book.engine.begin() as connection:
        later = journal.now(connection, book.clock) + 50.0
        connection.execute(series.update().values(last_seen=later))
    book.receipts.commit(receipt(2))
    found = book.open_series(LOOK)
    assert found is not None
    assert found.last_seen == pytest.approx(later)


def test_no_statement_of_a_receipt_reads_a_whole_table(book: Book) -> None:
    """So that a receipt costs the same however much the journal holds. PostgreSQL would read these few rows whole unless told not to."""
    ran: list[tuple[str, Any]] = []

    @sa.event.listens_for(book.engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool) -> None:
        several = isinstance(parameters, list) and isinstance(parameters[0], dict | tuple)
        ran.append((statement, parameters[0] if several else parameters))

    first = [receipt(number, series=f"1.2.{number % 3}", association=f"a:{number}") for number in range(6)]
    assert set(book.receipts._commit(first)) == {Known.NEW}
    assert set(book.receipts._commit([receipt(10 + number, series=f"1.2.{number % 3}") for number in range(6)])) == {Known.NEW}
    assert set(book.receipts._commit(first)) == {Known.SAME}
    assert book.receipts.commit(receipt(1, digest="other")) is Known.CONFLICT
    book.receipts.association_ended("a:1", is_broken=True)
    statements = dict(ran)
    assert len(statements) > 10
    is_postgresql = book.engine.dialect.name == "postgresql"
    with book.engine.begin() as connection:
        if is_postgresql:
            connection.exec_driver_sql("set local enable_seqscan = off")
        for statement, parameters in statements.items():
            explained = connection.exec_driver_sql(("explain " if is_postgresql else "explain query plan ") + statement, parameters)
            plan = "\n".join(str(row) for row in explained)
            assert "Seq Scan on node_" not in plan, plan
            assert "SCAN node_" not in plan.replace("SCAN node_boots", ""), plan  # which has one row


def test_refusals_are_counted_by_status(book: Book) -> None:
    for _ in range(3):
        book.receipts.refused("PACS", 0xC000, "data set lacks StudyInstanceUID")
    with book.engine.begin() as connection:
        (row,) = journal.read_refusals(connection)
    assert (row.times, row.status) == (3, 0xC000)


def test_the_migrations_make_the_tables_that_the_code_uses(book: Book) -> None:
    with book.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_ours, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or ((name or "").startswith("node_") and name != "node_schema")


def delayed(book: Book) -> list[str]:
    with book.engine.begin() as connection:
        table = status_table(connection)
        asked = sa.select(table.c.workflow_uuid).where(table.c.status == "DELAYED").order_by(table.c.workflow_uuid)
        return list(connection.execute(asked).scalars())


def feeders(book: Book) -> tuple[int, float | None]:
    found = book.open_series(LOOK)
    assert found is not None
    return found.feeding, found.broken_at


def close(book: Book, look: journal.Look) -> None:
    with book.engine.begin() as connection:
        found = journal.read_open_series(connection, look)
        assert found is not None
        journal.close_series(connection, book.client, found, CompletenessRule.QUIET_TIME, Priority.ROUTINE)
