"""Receipts: what was acknowledged. One thread commits, everyone else waits for it."""

import functools
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dicom_node.clock import Clock
from dicom_node.errors import InstanceBeingRemoved
from dicom_node.values import AETitle, CompletenessRule, InstanceRef, Receipt, StoredSeries, StorePriority, derive_key
from dicom_node.values.receipts import Known

from .engine import Client, Look, Queue
from .priors import came_by_itself, find_asked_for, release_fetched
from .results import lock_study
from .series import as_reference, break_off, judge_whole
from .store import Prepared, insert_unless_there, is_unavailable, now, unless_there
from .tables import conflicts, feeding, instances, is_going, refusals, series, studies

# As many receipts as one transaction takes at most; more than there are associations would gain nothing.
_GROUP = 256
_ENDING_PAUSE_S = 1.0  # between two tries to write that an association ended
# A transaction that came across another receiver's (PostgreSQL: deadlock_detected, serialization_failure) is tried this often.
_COMMIT_TRIES, _ACROSS = 5, ("40P01", "40001")
# What images do to a series whose row is there, as `_moved` says.
_MOVE = (
    series.update()
    .where(series.c.study_instance_uid == sa.bindparam("of_study"), series.c.series_instance_uid == sa.bindparam("of_series"))
    .values(
        instances=sa.bindparam("now_instances"),
        last_seen=sa.bindparam("now_last_seen"),
        calling=sa.bindparam("now_calling"),
        store_priority=sa.bindparam("now_store_priority"),
        generation=sa.bindparam("now_generation"),
        is_complete=False,
        rule=None,
    )
)

_FILLED = [column.name for column in instances.c if not column.nullable]  # by `_row`
# What further images do to a series that is open and no less urgent than they are: all but the first of nearly every series.
_GO_ON = (
    series.update()
    .where(
        series.c.study_instance_uid == sa.bindparam("of_study"),
        series.c.series_instance_uid == sa.bindparam("of_series"),
        series.c.store_priority == sa.bindparam("urgency"),
        sa.not_(series.c.is_complete),
    )
    .values(
        instances=series.c.instances + sa.bindparam("new_instances"),
        last_seen=sa.case((series.c.last_seen < sa.bindparam("at"), sa.bindparam("at")), else_=series.c.last_seen),
        calling=sa.bindparam("now_calling"),
    )
)

_Outcome = Known | InstanceBeingRemoved
_Waiting = tuple[Receipt, "Future[Known]"]
_Ended = tuple[str, bool]  # an association, and whether it broke off


class _Crossed(Exception):
    """A row went between two statements of a transaction; another try finds it so from the beginning."""


class Receipts:
    """Commits receipts in groups: all that wait share one transaction and its flush to the disk.

    A new series, or one that was complete, gets its delayed look in the same transaction: no receipt without its job.
    """

    def __init__(
        self, engine: sa.Engine, client: Client, clock: Clock, is_there: Callable[[InstanceRef], bool], tell: Callable[[Queue], None]
    ) -> None:
        self._engine, self._client, self._clock, self._is_there, self._tell = engine, client, clock, is_there, tell
        self._insert_new = unless_there(engine, instances).returning(instances.c.sop_instance_uid)
        self._insert_one = Prepared(engine, unless_there(engine, instances), _FILLED)
        self._go_on = Prepared(engine, _GO_ON)
        self._insert_series = unless_there(engine, series).returning(series.c.study_instance_uid, series.c.series_instance_uid)
        self._feeds: dict[str, tuple[str, str]] = {}  # what each open association sent last, so that only a change is written
        self._with_several = set[str]()  # open associations that brought more than one image
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(maxsize=4096)
        self._unwritten: queue.SimpleQueue[_Ended] = queue.SimpleQueue()  # ends that the database has not taken yet
        self._thread = threading.Thread(target=self._commit_groups, name="receipts", daemon=True)
        self._thread.start()

    def commit(self, receipt: Receipt) -> Known:
        """Make a receipt durable; blocks until it is. Raises what the database raises: then nothing was acknowledged."""
        future: Future[Known] = Future()
        self._waiting.put((receipt, future))
        return future.result()

    def enter(self, receipts: Iterable[Receipt]) -> int:
        """Commit many that nobody waits for, from files that are there already; gives how many were new."""
        entered, waiting = 0, iter(receipts)
        while group := tuple(itertools.islice(waiting, _GROUP)):
            entered += self._commit(group).count(Known.NEW)
        return entered

    def association_ended(self, association: str, *, is_broken: bool) -> None:
        """The association feeds no series any more; one that broke off leaves the time, since its sender has more to send.

        Raises what the database raises; it is tried again then until it is written: a row that stayed would keep its series open.
        """
        self._feeds.pop(association, None)
        try:
            self._write_end(association, is_broken)
        except (sa.exc.SQLAlchemyError, OSError):  # whatever it was: the row must not stay
            self._unwritten.put((association, is_broken))
            raise

    def _write_end(self, association: str, is_broken: bool) -> None:
        """An end in order may be that of the series: its sender is asked now how many images there are, rather than when the next look
        is due. Not where one association carries one image, as some modalities have it: the sender would be asked after each."""
        is_hastened = False
        with self._engine.begin() as connection:
            if is_broken:
                here = sa.and_(feeding.c.association == association, feeding.c.broken_at.is_(None))
                connection.execute(feeding.update().where(here).values(broken_at=now(connection, self._clock)))
            else:
                fed = feeding.delete().where(feeding.c.association == association)
                for study, uid in connection.execute(fed.returning(feeding.c.study_instance_uid, feeding.c.series_instance_uid)).all():
                    if association in self._with_several:
                        is_hastened |= self._client.hasten_looks(connection, study, uid)
        if is_hastened:
            self._tell(Queue.LOOK)
        self._with_several.discard(association)

    def _write_ends(self) -> None:
        for _ in range(self._unwritten.qsize()):
            association, is_broken = self._unwritten.get()
            try:
                self._write_end(association, is_broken)
            except (sa.exc.SQLAlchemyError, OSError):  # this thread commits all receipts, and lives on
                self._unwritten.put((association, is_broken))
                return

    def receiver_started(self, receiver: str) -> None:
        """The associations of a receiver that died broke off with it, or those of all where it has no name."""
        with self._engine.begin() as connection:
            break_off(connection, receiver, now(connection, self._clock))

    def refused(self, calling: str, status: int, comment: str) -> None:
        """Count an instance that could not be filed, for `status`."""
        row = {"calling": calling, "status": status, "comment": comment}
        at = self._clock.now()
        with self._engine.begin() as connection:
            same = sa.and_(*(refusals.c[name] == value for name, value in row.items()))
            if not insert_unless_there(connection, refusals, {**row, "times": 1, "last_at": at}):
                connection.execute(refusals.update().where(same).values(times=refusals.c.times + 1, last_at=at))

    def close(self) -> None:
        """Commit what waits, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _commit_groups(self) -> None:
        for group in self._groups():
            parts = [group]
            while parts:
                part = parts.pop(0)
                try:
                    outcomes = self._commit([receipt for receipt, _ in part])
                except Exception as error:  # noqa: BLE001  whatever it was, each sender that waits gets its answer, and the thread lives
                    self._feeds.clear()  # what was not committed is not written
                    if is_unavailable(error):
                        part, parts = [*part, *itertools.chain(*parts)], []
                    elif len(part) > 1:  # what the database refuses of one must not fail the others
                        parts = [[one] for one in part]
                        continue
                    for _, future in part:
                        future.set_exception(error)
                else:
                    _answer(part, outcomes)

    def _commit(self, receipts: Sequence[Receipt]) -> list[_Outcome]:
        """One transaction for all of them; tried anew where another one came across it."""
        for tries_left in reversed(range(_COMMIT_TRIES)):
            try:
                with self._engine.begin() as connection:
                    return self._insert(connection, receipts, now(connection, self._clock))
            except (sa.exc.DBAPIError, _Crossed) as error:
                self._feeds.clear()
                if not tries_left or not _came_across(error):
                    raise
        raise AssertionError("the last try returns or raises")

    def _groups(self) -> Iterator[list[_Waiting]]:
        while True:
            try:
                first = self._waiting.get(timeout=_ENDING_PAUSE_S)
            except queue.Empty:
                self._write_ends()
                continue
            if first is None:
                return
            group = [first]
            ended = False
            while len(group) < _GROUP and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    ended = True
                    break
                group.append(following)
            yield group
            if ended:
                return
            self._write_ends()

    def _insert(self, connection: sa.Connection, receipts: Sequence[Receipt], at: float) -> list[_Outcome]:
        """What each receipt is, in their order. Rows are written in the order of their keys, so that two receivers that write the
        same study at once wait for each other in one direction."""
        ordered = sorted(enumerate(receipts), key=lambda pair: _place(pair[1]))
        first: dict[str, int] = {}
        for number, receipt in ordered:
            first.setdefault(receipt.instance.sop_instance_uid, number)
        inserted = self._insert_instances(connection, [_row(receipts[number], at) for number in first.values()])
        new = {number for uid, number in first.items() if uid in inserted}
        gone = self._take_back(connection, [receipts[number] for number in new])
        again = [receipt for number, receipt in ordered if number not in new and receipt.instance.sop_instance_uid not in gone]
        held = self._read_held(connection, again)
        outcomes: dict[int, _Outcome] = {}
        for number, receipt in ordered:
            if receipt.instance.sop_instance_uid in gone:
                outcomes[number] = InstanceBeingRemoved()
            else:
                outcomes[number] = Known.NEW if number in new else self._known(connection, receipt, held, at)
        came = [(receipt, outcomes[number]) for number, receipt in ordered]
        self._move_all(connection, [(receipt, known is Known.NEW) for receipt, known in came if known in (Known.NEW, Known.SAME)], at)
        for study in sorted({receipt.study_instance_uid for receipt, known in came if known is Known.CONFLICT}):
            _show_study(connection, study, at)
        return [outcomes[number] for number in range(len(receipts))]

    def _insert_instances(self, connection: sa.Connection, rows: Sequence[dict[str, object]]) -> frozenset[str]:
        """The UIDs of those that were not there."""
        if len(rows) == 1 or connection.dialect.name == "sqlite":  # over a network many are one question
            return frozenset(str(row["sop_instance_uid"]) for row in rows if self._insert_one.run(connection, row))
        return frozenset(connection.execute(self._insert_new, rows).scalars())

    def _take_back(self, connection: sa.Connection, new: Sequence[Receipt]) -> frozenset[str]:
        """The UIDs of those whose file, which had been there before, has been removed since, with all rows about it."""
        gone = [one.instance.sop_instance_uid for one in new if one.was_there and not self._is_there(one.instance)]
        if gone:
            connection.execute(instances.delete().where(instances.c.sop_instance_uid.in_(gone)))
        return frozenset(gone)

    def _read_held(self, connection: sa.Connection, again: Sequence[Receipt]) -> "dict[str, _Held]":
        """What is held under the UIDs of receipts that are not new, locked until the transaction ends."""
        if not again:
            return {}
        uid, is_gone = instances.c.sop_instance_uid, instances.c.removed_at.is_not(None)
        here = uid.in_({receipt.instance.sop_instance_uid for receipt in again})
        in_order = sa.select(uid, instances.c.digest, is_going, is_gone).where(here).order_by(uid)
        return {row[0]: _Held(*row[1:]) for row in connection.execute(in_order.with_for_update())}

    def _known(self, connection: sa.Connection, receipt: Receipt, held: "dict[str, _Held]", at: float) -> _Outcome:
        """What an instance is whose UID is known: the same, another, or one that retention removes and that is back now."""
        uid = receipt.instance.sop_instance_uid
        if uid not in held:
            raise _Crossed
        is_same = held[uid].digest == receipt.instance.digest
        if not held[uid].is_going:
            if is_same:
                return Known.SAME
            if receipt.was_there and not self._is_there(receipt.instance):
                return InstanceBeingRemoved()  # it had been set aside before, and retention removed it meanwhile
            return self._set_aside(connection, receipt, at)
        if not self._is_there(receipt.instance) or not (is_same or held[uid].is_gone):
            return InstanceBeingRemoved()  # its file went between writing and this receipt: whoever sends it again brings it back
        # Other bytes too: there are no first ones any more that they could be mistaken for.
        back = {**_row(receipt, at), "removing_at": None, "removed_at": None}
        connection.execute(instances.update().where(instances.c.sop_instance_uid == uid).values(back))
        held[uid] = _Held(receipt.instance.digest, is_going=False, is_gone=False)
        return Known.NEW

    def _set_aside(self, connection: sa.Connection, receipt: Receipt, at: float) -> Known:
        row = {
            "sop_instance_uid": receipt.instance.sop_instance_uid,
            "digest": receipt.instance.digest,
            "series_instance_uid": receipt.series_instance_uid,
            "study_instance_uid": receipt.study_instance_uid,
            "file": receipt.instance.file,
            "received_at": at,
        }
        insert_unless_there(connection, conflicts, row)
        return Known.CONFLICT

    def _feed(self, connection: sa.Connection, receipt: Receipt) -> None:
        """The association feeds the series that it sends now, and no longer the one before."""
        association, now_fed = receipt.association, (receipt.study_instance_uid, receipt.series_instance_uid)
        if not association or self._feeds.get(association) == now_fed:
            return
        study, fed = now_fed
        here = sa.and_(feeding.c.study_instance_uid == study, feeding.c.series_instance_uid == fed)
        has_come_back = sa.and_(here, feeding.c.broken_at.is_not(None))
        connection.execute(feeding.delete().where(sa.or_(feeding.c.association == association, has_come_back)))
        connection.execute(feeding.insert().values(association=association, study_instance_uid=study, series_instance_uid=fed))
        self._feeds[association] = now_fed

    def _move_all(self, connection: sa.Connection, arrived: Sequence[tuple[Receipt, bool]], at: float) -> None:
        """Images move the clocks of their series; only a new or a reopened series gets a job. `arrived` is in the order of keys.

        With each stands whether it is new. One that came again says that its sender is at work, and opens nothing.

        Two receivers meet in one order, so that neither waits for a row of the other's that waits for one of its own: series that just
        go on, all that may be new, all others, then who feeds them, as whoever closes a series does it, then their studies.
        """
        of_series = {where: list(those) for where, those in itertools.groupby(arrived, key=lambda pair: _place(pair[0])[:2])}
        of_series = {where: those for where, those in of_series.items() if not self._goes_on(connection, where, those, at)}
        if not of_series:
            return
        new = [[receipt for receipt, is_new in those if is_new] for those in of_series.values()]
        may_be_new = [_opened(those, at) for those in new if those]
        opened = {tuple(row) for row in connection.execute(self._insert_series, may_be_new)} if may_be_new else set()
        rows = _lock_series(connection, [where for where in of_series if where not in opened])
        stays_complete = {where for where, row in rows.items() if row.is_complete and not any(is_new for _, is_new in of_series[where])}
        rows = {where: row for where, row in rows.items() if where not in stays_complete}
        if rows:
            connection.execute(_MOVE, [_moved(row, of_series[where], at) for where, row in rows.items()])
        for where, those in of_series.items():
            if where not in stays_complete:
                for receipt, _ in those:
                    self._feed(connection, receipt)
        looks = [Look(*where, generation=0, number=0) for where in of_series if where in opened]
        looks += [Look(*where, generation=row.generation + 1, number=0) for where, row in rows.items() if row.is_complete]
        for study in sorted({look.study_instance_uid for look in looks}):
            self._open_study(connection, study, at)
        for look in looks:
            self._client.enqueue_look(connection, look)
        self._release(connection, of_series, at)

    def _release(self, connection: sa.Connection, of_series: Mapping[tuple[str, str], Sequence[tuple[Receipt, bool]]], at: float) -> None:
        """Images that the node had sent to itself as a prior's have come by themselves too: what is made of their study is sent.

        It may be made already, and nothing of it be new: then the study is judged once more, which starts the deliveries.
        """
        came = {where: {one.is_asked_for for one, _ in those if one.association} for where, those in of_series.items()}
        for study in sorted({study for study, _ in find_asked_for(connection, came)}):
            lock_study(connection, study)
            ways = sorted({way for where, those in came.items() if where[0] == study for way in those}, key=str)
            if any(came_by_itself(connection, study, way) for way in ways) and release_fetched(connection, study):
                judge_whole(connection, self._client, study, at)

    def _goes_on(self, connection: sa.Connection, where: tuple[str, str], those: Sequence[tuple[Receipt, bool]], at: float) -> bool:
        """Whether that was all: their associations feed this series already, and its row is there, open, and no less urgent."""
        if any(self._feeds.get(receipt.association) != where for receipt, _ in those):
            return False
        study, uid = where
        change = {"of_study": study, "of_series": uid, "at": at, "new_instances": sum(is_new for _, is_new in those)}
        last = those[-1][0].calling.text
        urgency = _urgency([receipt for receipt, _ in those]).value
        self._with_several.update(receipt.association for receipt, _ in those)
        return bool(self._go_on.run(connection, {**change, "urgency": urgency, "now_calling": last}))

    def _open_study(self, connection: sa.Connection, study_instance_uid: str, at: float) -> None:
        """A study that is new, or of which something is to be done again."""
        key = derive_key(study_instance_uid).text
        new = {"study_instance_uid": study_instance_uid, "key": key, "generation": 0, "closed": 0, "first_seen": at}
        if not insert_unless_there(connection, studies, new):
            here = studies.c.study_instance_uid == study_instance_uid
            connection.execute(studies.update().where(here).values(done_at=None, images_removed_at=None, results_removed_at=None))


def _show_study(connection: sa.Connection, study_instance_uid: str, at: float) -> None:
    """A study of which something was set aside is known, also where it has nothing else, and is looked at by retention from now on."""
    new = {"study_instance_uid": study_instance_uid, "key": derive_key(study_instance_uid).text, "generation": 0, "closed": 0}
    if not insert_unless_there(connection, studies, {**new, "first_seen": at, "done_at": at}):
        had_left = sa.and_(studies.c.study_instance_uid == study_instance_uid, studies.c.images_removed_at.is_not(None))
        connection.execute(studies.update().where(had_left).values(done_at=at, images_removed_at=None))


def _lock_series(connection: sa.Connection, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """The rows of series that are there, by study and series, locked until the transaction ends."""
    if not places:
        return {}
    # One by one, as SQLite reads the whole table for `(study, series) in (...)`.
    here = sa.or_(*(sa.and_(series.c.study_instance_uid == study, series.c.series_instance_uid == uid) for study, uid in places))
    in_order = sa.select(series).where(here).order_by(series.c.study_instance_uid, series.c.series_instance_uid)
    rows = {(row.study_instance_uid, row.series_instance_uid): row for row in connection.execute(in_order.with_for_update())}
    if len(rows) < len(places):
        raise _Crossed
    return rows


def _opened(arrived: Sequence[Receipt], at: float) -> dict[str, object]:
    """The row of a series that begins with these images."""
    return {
        "series_instance_uid": arrived[0].series_instance_uid,
        "study_instance_uid": arrived[0].study_instance_uid,
        "calling": arrived[-1].calling.text,
        "instances": len(arrived),
        "last_seen": at,
        "generation": 0,
        "is_complete": False,
        "store_priority": _urgency(arrived).value,
    }


def _moved(row: Any, arrived: Sequence[tuple[Receipt, bool]], at: float) -> dict[str, object]:
    """What becomes of a series' locked row; one that was complete is opened again, under another generation."""
    urgency = _urgency([receipt for receipt, _ in arrived])
    return {
        "of_study": row.study_instance_uid,
        "of_series": row.series_instance_uid,
        "now_instances": row.instances + sum(is_new for _, is_new in arrived),
        "now_last_seen": max(row.last_seen, at),  # this transaction may have begun before the one that wrote the row
        "now_calling": arrived[-1][0].calling.text,
        "now_store_priority": urgency.more_urgent(StorePriority(row.store_priority or urgency)).value,
        "now_generation": row.generation + 1 if row.is_complete else row.generation,
    }


@dataclass(frozen=True, slots=True)
class _Held:
    """An instance that the journal holds; `is_going` where retention has decided to remove it, `is_gone` where it has done so."""

    digest: str
    is_going: bool
    is_gone: bool


def _answer(group: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
    for (_, future), outcome in zip(group, outcomes, strict=True):
        if isinstance(outcome, InstanceBeingRemoved):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _came_across(error: BaseException) -> bool:
    """Whether it was another transaction that was in the way, and not the database or what was to be written."""
    return isinstance(error, _Crossed) or getattr(getattr(error, "orig", None), "sqlstate", None) in _ACROSS


def _urgency(receipts: Sequence[Receipt]) -> StorePriority:
    return functools.reduce(StorePriority.more_urgent, (receipt.store_priority for receipt in receipts))


def _place(receipt: Receipt) -> tuple[str, str, str]:
    return receipt.study_instance_uid, receipt.series_instance_uid, receipt.instance.sop_instance_uid


def _row(receipt: Receipt, at: float) -> dict[str, object]:
    instance = receipt.instance
    return {
        "sop_instance_uid": instance.sop_instance_uid,
        "series_instance_uid": receipt.series_instance_uid,
        "study_instance_uid": receipt.study_instance_uid,
        "sop_class_uid": instance.sop_class_uid,
        "transfer_syntax_uid": instance.transfer_syntax_uid,
        "digest": instance.digest,
        "file": instance.file,
        "offset": instance.offset,
        "length": instance.length,
        "received_at": at,
    }


@contextmanager
def open_receipts(
    engine: sa.Engine,
    client: Client,
    clock: Clock,
    is_there: Callable[[InstanceRef], bool] = lambda _: True,
    tell: Callable[[Queue], None] = lambda _: None,
) -> Iterator[Receipts]:
    """Receipts that are committed to the end when the block is left; `is_there` says whether the spool holds an instance's file, and
    `tell` to the workers that there is a job in a queue."""
    receipts = Receipts(engine, client, clock, is_there, tell)
    try:
        yield receipts
    finally:
        receipts.close()


def read_complete_series(connection: sa.Connection, study_instance_uid: str) -> tuple[StoredSeries, ...]:
    """The complete series of a study with their instances, both sorted by UID, so that the order of arrival changes nothing."""
    same_series = sa.and_(
        series.c.series_instance_uid == instances.c.series_instance_uid, series.c.study_instance_uid == instances.c.study_instance_uid
    )
    rows = connection.execute(
        sa.select(instances, series.c.rule, series.c.calling)
        .join(series, same_series)
        .where(instances.c.study_instance_uid == study_instance_uid, series.c.is_complete, sa.not_(is_going))
        .order_by(instances.c.series_instance_uid, instances.c.sop_instance_uid)
    ).all()
    grouped = itertools.groupby(rows, key=lambda row: (row.series_instance_uid, row.rule, row.calling))
    return tuple(
        StoredSeries(uid, study_instance_uid, tuple(map(as_reference, found)), CompletenessRule(rule), AETitle(calling))
        for (uid, rule, calling), found in grouped
    )


def read_stored_series(connection: sa.Connection, study_instance_uid: str, series_instance_uid: str) -> StoredSeries | None:
    """A series with the instances that are here, complete or not; None where there are none."""
    of_series = series.c.study_instance_uid == study_instance_uid, series.c.series_instance_uid == series_instance_uid
    known = connection.execute(sa.select(series).where(*of_series)).first()
    here = instances.c.study_instance_uid == study_instance_uid, instances.c.series_instance_uid == series_instance_uid
    asked = sa.select(instances).where(*here, sa.not_(is_going)).order_by(instances.c.sop_instance_uid)
    found = tuple(map(as_reference, connection.execute(asked)))
    if known is None or not found:
        return None
    rule = CompletenessRule(known.rule) if known.rule else CompletenessRule.QUIET_TIME
    return StoredSeries(series_instance_uid, study_instance_uid, found, rule, AETitle(known.calling))
