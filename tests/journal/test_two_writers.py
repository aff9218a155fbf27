"""Two receivers that write one journal at once, as behind a balancer: case U1, and what else they may come across."""

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.errors import InstanceBeingRemoved
from dicom_node.journal.tables import instances, series, studies
from dicom_node.values import CompletenessRule, InstanceRef, Priority, Receipt
from dicom_node.values.receipts import Known
from tests.peers.postgres import Postgres
from tests.peers.waiting import wait_until

from .conftest import Book, HandClock, receipt

ROUNDS = 200


@pytest.fixture
def two(url: str) -> Iterator[list[Book]]:
    """Two receivers, each with its own connections and committing thread."""
    journal.migrate(url)
    with ExitStack() as stack:
        books = []
        for _ in range(2):
            engine, clock = journal.open_engine(url), HandClock()
            stack.callback(engine.dispose)
            client = journal.Client(engine, look_delay_s=5.0)
            books.append(Book(engine, client, stack.enter_context(journal.open_receipts(engine, client, clock)), clock))
        yield books


def at_once(books: list[Book], given: list[list[Receipt]]) -> list[list[Known]]:
    """Each receiver commits its receipts from as many threads, all let go in the same moment."""
    together = threading.Barrier(sum(len(receipts) for receipts in given))

    def commit(book: Book, one: Receipt) -> Known:
        together.wait()
        return book.receipts.commit(one)

    with ThreadPoolExecutor(together.parties) as threads:
        waiting = [[threads.submit(commit, book, one) for one in receipts] for book, receipts in zip(books, given, strict=True)]
        return [[future.result(60) for future in futures] for futures in waiting]


def test_the_same_instance_from_two_receivers_in_the_same_moment_is_one(two: list[Book]) -> None:
    for number in range(ROUNDS):
        answers = at_once(two, [[receipt(number, association="a:1")], [receipt(number, association="b:1")]])
        assert sorted(answer for (answer,) in answers) == [Known.NEW, Known.SAME]
    found = two[0].open_series(journal.Look("1.2", "1.2.3", 0, 0))
    assert found is not None
    assert found.instances == ROUNDS
    assert two[0].jobs("look") == ["look-1.2-1.2.3-0-0"]


def test_a_new_study_of_which_two_receivers_get_an_image_in_the_same_moment_has_one_look(two: list[Book]) -> None:
    for number in range(ROUNDS // 4):
        study, uid = f"1.3.{number}", f"1.4.{number}"
        here = [[of_study(receipt(2 * number + k, series=uid, association=f"{k}:1"), study)] for k in range(2)]
        assert at_once(two, here) == [[Known.NEW], [Known.NEW]]
        assert open_series_of(two[0], study, uid).instances == 2
    with two[0].engine.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(studies)).scalar_one() == ROUNDS // 4
    assert len(two[0].jobs("look")) == ROUNDS // 4


def test_a_complete_series_that_two_receivers_open_again_in_the_same_moment_has_one_more_look(two: list[Book]) -> None:
    for number in range(20):
        study, uid = f"1.3.{number}", f"1.4.{number}"
        two[0].receipts.commit(of_study(receipt(1000 + number, series=uid), study))
        close(two[0], study, uid)
        late = [[of_study(receipt(2 * number + k, series=uid, association=f"{k}:1"), study)] for k in range(2)]
        assert at_once(two, late) == [[Known.NEW], [Known.NEW]]
        assert open_series_of(two[0], study, uid, generation=1).instances == 3
    assert len(two[0].jobs("look")) == 40


def test_other_bytes_under_one_uid_in_the_same_moment_are_set_aside(two: list[Book]) -> None:
    for number in range(20):
        answers = at_once(two, [[receipt(number, digest="first")], [receipt(number, digest="other")]])
        assert sorted(answer for (answer,) in answers) == [Known.CONFLICT, Known.NEW]


def test_two_receivers_that_write_the_same_series_in_opposite_order_do_not_lock_each_other_out(two: list[Book]) -> None:
    failures: list[object] = []
    for book in two:
        sa.event.listen(book.engine, "handle_error", lambda context: failures.append(context.original_exception))
    for turn in range(25):
        there = [receipt(100 * turn + number, series=f"1.2.{number % 4}", association=f"a:{number}") for number in range(8)]
        back = [receipt(100 * turn + 50 + number, series=f"1.2.{3 - number % 4}", association=f"b:{number}") for number in range(8)]
        answers = at_once(two, [there, list(reversed(back))])
        assert {answer for of_one in answers for answer in of_one} == {Known.NEW}
    with two[0].engine.begin() as connection:
        counted = connection.execute(sa.select(sa.func.sum(series.c.instances))).scalar_one()
    assert counted == 25 * 16
    assert failures == []  # none had to be tried again


@pytest.mark.parametrize("code", ["40P01", "40001"])
def test_a_group_that_came_across_another_transaction_is_tried_again(two: list[Book], code: str) -> None:
    """PostgreSQL ends one of two transactions that wait for each other; here it is told to, as often as may be, and once more."""
    book = two[0]
    if book.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    with book.engine.begin() as connection:
        connection.execute(sa.text("create sequence tries minvalue -100 start 1"))  # counts on though a transaction is rolled back
        body = f"begin if nextval('tries') < 5 then raise exception using errcode = '{code}'; end if; return new; end"
        connection.execute(sa.text(f"create function refuse() returns trigger language plpgsql as '{body.replace(chr(39), chr(39) * 2)}'"))
        connection.execute(sa.text("create trigger refuse before insert on node_instances execute function refuse()"))
    assert book.receipts.commit(receipt(1)) is Known.NEW
    with book.engine.begin() as connection:
        connection.execute(sa.text("alter sequence tries restart with -4"))
    with pytest.raises(sa.exc.OperationalError):
        book.receipts.commit(receipt(2))
    with book.engine.begin() as connection:
        assert connection.execute(sa.text("select last_value from tries")).scalar_one() == 0
    assert open_series_of(book, "1.2", "1.2.3").instances == 1


def test_senders_that_wait_when_the_database_dies_are_all_told_at_once(two: list[Book], postgres: Postgres) -> None:
    """And not each after a try of its own, which may take long; whoever sends again when the database is back is served."""
    book, other = two
    if book.engine.dialect.name != "postgresql":
        pytest.skip("SQLite's database is no process")
    assert book.receipts.commit(receipt(0)) is Known.NEW
    tries: list[object] = []
    sa.event.listen(book.engine, "do_connect", lambda *arguments: tries.append(arguments))
    with ThreadPoolExecutor(21) as threads:
        with other.engine.connect() as hand:
            hand.execute(series.update().values(calling="OTHER"))
            futures = [threads.submit(book.receipts.commit, receipt(1))]
            wait_until(lambda: is_waiting(other), limit_s=60, what="the first receipt does not wait")
            futures += [threads.submit(book.receipts.commit, receipt(number)) for number in range(2, 22)]
            wait_until(lambda: book.receipts._waiting.qsize() == 20, limit_s=60, what="they do not wait")
            postgres.kill()
            hand.invalidate()
        assert all(isinstance(future.exception(60), sa.exc.OperationalError) for future in futures)
    assert len(tries) <= 2, tries
    postgres.start()
    assert [book.receipts.commit(receipt(number)) for number in range(3)] == [Known.SAME, Known.NEW, Known.NEW]


def test_a_receipt_that_the_database_refuses_fails_alone(two: list[Book]) -> None:
    book = two[0]
    bad = Receipt(InstanceRef("1.2.9", "1.2", "1.2", None, "f", 0, 1), "1.2", "1.2.3", *names())  # type: ignore[arg-type]
    together = threading.Barrier(9)

    def commit(one: Receipt) -> object:
        together.wait()
        try:
            return book.receipts.commit(one)
        except sa.exc.DBAPIError as error:
            return type(error)

    with ThreadPoolExecutor(9) as threads:
        answers = list(threads.map(commit, [bad, *(receipt(number) for number in range(8))]))
    assert answers[0] is sa.exc.IntegrityError
    assert answers[1:] == [Known.NEW] * 8


def names() -> tuple[object, ...]:
    example = receipt(1)
    return example.calling, example.called, "a:1"


@pytest.mark.parametrize("mark", ["removing_at", "removed_at"])
def test_an_instance_that_comes_again_while_it_is_removed_is_back_or_is_asked_for_again(url: str, mark: str) -> None:
    """Retention decided to remove it, or has: where its file is not there the sender gets A700; where it is, it is new, once."""
    journal.migrate(url)
    engine, clock = journal.open_engine(url), HandClock()
    client = journal.Client(engine, look_delay_s=5.0)
    files: set[str] = set()
    with journal.open_receipts(engine, client, clock, lambda instance: instance.file in files) as receipts:
        book = Book(engine, client, receipts, clock)
        assert receipts.commit(receipt(1)) is Known.NEW
        close(book)
        with engine.begin() as connection:
            connection.execute(instances.update().values({mark: 5.0}))
            assert journal.read_complete_series(connection, "1.2") == ()
        with pytest.raises(InstanceBeingRemoved):
            receipts.commit(receipt(1))
        files.add("f")
        together = receipts._commit([receipt(1), receipt(1), receipt(1, digest="other")])
        assert together == [Known.NEW, Known.SAME, Known.CONFLICT]
        with engine.begin() as connection:
            marks = connection.execute(sa.select(instances.c.removing_at, instances.c.removed_at)).one()
        assert tuple(marks) == (None, None)
        assert open_series_of(book, "1.2", "1.2.3", generation=1).instances == 2
        assert book.jobs("look") == ["look-1.2-1.2.3-0-0", "look-1.2-1.2.3-1-0"]
    engine.dispose()


def test_a_receipt_waits_for_retention_that_is_about_to_remove_its_instance(two: list[Book]) -> None:
    """It must not be the same as one whose file is gone a moment later."""
    book, other = two
    if book.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    files = {"f"}
    with journal.open_receipts(book.engine, book.client, book.clock, lambda instance: instance.file in files) as receipts:
        assert receipts.commit(receipt(1)) is Known.NEW
        with ThreadPoolExecutor(1) as thread, other.engine.begin() as retention:
            retention.execute(instances.update().values(removing_at=5.0))
            again = thread.submit(receipts.commit, receipt(1))
            wait_until(lambda: is_waiting(other), limit_s=60, what="the receipt does not wait")
            files.clear()
            retention.commit()
            assert isinstance(again.exception(60), InstanceBeingRemoved)


def test_retention_cannot_come_between_the_look_for_the_file_and_the_receipt(two: list[Book]) -> None:
    book, other = two
    if book.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    refusals: list[str] = []

    def is_there(_: InstanceRef) -> bool:
        try:
            with other.engine.begin() as retention:
                retention.execute(sa.select(instances).with_for_update(nowait=True))
            refusals.append("locked by nobody")
        except sa.exc.OperationalError as error:
            refusals.append(getattr(error.orig, "sqlstate", ""))
        return True

    with journal.open_receipts(book.engine, book.client, book.clock, is_there) as receipts:
        assert receipts.commit(receipt(1)) is Known.NEW
        with other.engine.begin() as connection:
            connection.execute(instances.update().values(removing_at=5.0))
        assert receipts.commit(receipt(1)) is Known.NEW
    assert refusals == ["55P03"]  # lock_not_available


def of_study(one: Receipt, study_instance_uid: str) -> Receipt:
    return dataclasses.replace(one, study_instance_uid=study_instance_uid)


def open_series_of(book: Book, study: str, uid: str, generation: int = 0) -> journal.OpenSeries:
    found = book.open_series(journal.Look(study, uid, generation, 0))
    assert found is not None
    return found


def close(book: Book, study: str = "1.2", uid: str = "1.2.3") -> None:
    with book.engine.begin() as connection:
        found = journal.read_open_series(connection, journal.Look(study, uid, 0, 0))
        assert found is not None
        journal.close_series(connection, book.client, found, CompletenessRule.QUIET_TIME, Priority.ROUTINE)


def is_waiting(book: Book) -> bool:
    """Whether a transaction waits for another one's lock."""
    asked = "select count(*) from pg_locks where not granted and pid in (select pid from pg_stat_activity where datname = :name)"
    with book.engine.begin() as connection:
        return bool(connection.execute(sa.text(asked), {"name": book.engine.url.database}).scalar_one())
