"""Receipts: what was acknowledged. One thread commits, everyone else waits for it."""

import itertools
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from dicom_node.clock import Clock
from dicom_node.values import AETitle, CompletenessRule, InstanceRef, Receipt, StoredSeries
from dicom_node.values.receipts import Known

from .engine import Client, Look
from .tables import conflicts, feeding, instances, refusals, series, studies

# As many receipts as one transaction takes at most; more than there are associations would gain nothing.
_GROUP = 256
_ENDING_TRIES, _ENDING_PAUSE_S = 5, 1.0


class Receipts:
    """Commits receipts in groups: all that wait share one transaction and its flush to the disk.

    A new series, or one that was complete, gets its delayed look in the same transaction: no receipt without its job.
    """

    def __init__(self, engine: sa.Engine, client: Client, clock: Clock) -> None:
        self._engine, self._client, self._clock = engine, client, clock
        self._feeds: dict[str, tuple[str, str]] = {}  # what each open association sent last, so that only a change is written
        self._waiting: queue.Queue[tuple[Receipt, Future[Known]] | None] = queue.Queue(maxsize=4096)
        self._thread = threading.Thread(target=self._commit_groups, name="receipts", daemon=True)
        self._thread.start()

    def commit(self, receipt: Receipt) -> Known:
        """Make a receipt durable; blocks until it is. Raises what the database raises: then nothing was acknowledged."""
        future: Future[Known] = Future()
        self._waiting.put((receipt, future))
        return future.result()

    def association_ended(self, association: str, *, is_broken: bool) -> None:
        """The association feeds no series any more; one that broke off leaves the time, since its sender has more to send.

        Tried a few times: a row that stayed would keep its series open.
        """
        self._feeds.pop(association, None)
        for tries_left in reversed(range(_ENDING_TRIES)):
            try:
                with self._engine.begin() as connection:
                    if is_broken:
                        self._break_off(connection, feeding.c.association == association)
                    else:
                        connection.execute(feeding.delete().where(feeding.c.association == association))
                return
            except sa.exc.SQLAlchemyError:
                if not tries_left:
                    raise
                self._clock.wait(_ENDING_PAUSE_S)

    def receiver_started(self, prefix: str) -> None:
        """The associations of a receiver that died broke off with it: their names begin with `prefix`."""
        with self._engine.begin() as connection:
            self._break_off(connection, feeding.c.association.startswith(prefix, autoescape=True))

    def _break_off(self, connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
        connection.execute(feeding.update().where(which, feeding.c.broken_at.is_(None)).values(broken_at=self._clock.now()))

    def refused(self, calling: str, status: int, comment: str) -> None:
        """Count an instance that could not be filed, for `status`."""
        row = {"calling": calling, "status": status, "comment": comment}
        now = self._clock.now()
        with self._engine.begin() as connection:
            same = sa.and_(*(refusals.c[name] == value for name, value in row.items()))
            changed = connection.execute(refusals.update().where(same).values(times=refusals.c.times + 1, last_at=now))
            if not changed.rowcount:
                connection.execute(refusals.insert().values(**row, times=1, last_at=now))

    def close(self) -> None:
        """Commit what waits, then stop."""
        self._waiting.put(None)
        self._thread.join()

    def _commit_groups(self) -> None:
        for group in self._groups():
            try:
                with self._engine.begin() as connection:
                    known = [self._insert(connection, receipt) for receipt, _ in group]
            except Exception as error:  # noqa: BLE001  whatever it was, each sender that waits gets its answer, and the thread lives
                self._feeds.clear()  # what was not committed is not written
                for _, future in group:
                    future.set_exception(error)
                continue
            for (_, future), outcome in zip(group, known, strict=True):
                future.set_result(outcome)

    def _groups(self) -> Iterator[list[tuple[Receipt, "Future[Known]"]]]:
        while (first := self._waiting.get()) is not None:
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

    def _insert(self, connection: sa.Connection, receipt: Receipt) -> Known:
        instance, now = receipt.instance, self._clock.now()
        known = connection.execute(
            sa.select(instances.c.digest).where(instances.c.sop_instance_uid == instance.sop_instance_uid)
        ).scalar_one_or_none()
        if known is not None:
            return Known.SAME if known == instance.digest else self._set_aside(connection, receipt, now)
        connection.execute(
            instances.insert().values(
                sop_instance_uid=instance.sop_instance_uid,
                series_instance_uid=receipt.series_instance_uid,
                study_instance_uid=receipt.study_instance_uid,
                sop_class_uid=instance.sop_class_uid,
                transfer_syntax_uid=instance.transfer_syntax_uid,
                digest=instance.digest,
                file=instance.file,
                offset=instance.offset,
                length=instance.length,
                received_at=now,
            )
        )
        self._feed(connection, receipt)
        self._move_series(connection, receipt, now)
        return Known.NEW

    def _set_aside(self, connection: sa.Connection, receipt: Receipt, now: float) -> Known:
        key = {"sop_instance_uid": receipt.instance.sop_instance_uid, "digest": receipt.instance.digest}
        present = sa.select(conflicts.c.digest).where(*(conflicts.c[name] == value for name, value in key.items()))
        if connection.execute(present).first() is None:
            connection.execute(
                conflicts.insert().values(
                    **key,
                    series_instance_uid=receipt.series_instance_uid,
                    study_instance_uid=receipt.study_instance_uid,
                    file=receipt.instance.file,
                    received_at=now,
                )
            )
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

    def _move_series(self, connection: sa.Connection, receipt: Receipt, now: float) -> None:
        """An image moves its series' clock; only a new or a reopened series gets a job."""
        study, uid = receipt.study_instance_uid, receipt.series_instance_uid
        here = sa.and_(series.c.study_instance_uid == study, series.c.series_instance_uid == uid)
        row = connection.execute(sa.select(series.c.is_complete, series.c.generation).where(here).with_for_update()).first()
        if row is None:
            self._open_study(connection, study, now)
            connection.execute(
                series.insert().values(
                    series_instance_uid=uid,
                    study_instance_uid=study,
                    calling=receipt.calling.text,
                    instances=1,
                    last_seen=now,
                    generation=0,
                    is_complete=False,
                )
            )
            self._client.enqueue_look(connection, Look(study, uid, generation=0, number=0))
            return
        generation = row.generation + 1 if row.is_complete else row.generation
        moved = {"instances": series.c.instances + 1, "last_seen": now, "calling": receipt.calling.text}
        connection.execute(series.update().where(here).values(**moved, generation=generation, is_complete=False, rule=None))
        if row.is_complete:
            self._client.enqueue_look(connection, Look(study, uid, generation=generation, number=0))

    def _open_study(self, connection: sa.Connection, study_instance_uid: str, now: float) -> None:
        present = sa.select(studies.c.generation).where(studies.c.study_instance_uid == study_instance_uid)
        if connection.execute(present).first() is None:
            connection.execute(studies.insert().values(study_instance_uid=study_instance_uid, generation=0, closed=0, first_seen=now))


@contextmanager
def open_receipts(engine: sa.Engine, client: Client, clock: Clock) -> Iterator[Receipts]:
    """Receipts that are committed to the end when the block is left."""
    receipts = Receipts(engine, client, clock)
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
        .where(instances.c.study_instance_uid == study_instance_uid, series.c.is_complete)
        .order_by(instances.c.series_instance_uid, instances.c.sop_instance_uid)
    ).all()
    grouped = itertools.groupby(rows, key=lambda row: (row.series_instance_uid, row.rule, row.calling))
    return tuple(
        StoredSeries(uid, study_instance_uid, tuple(map(_ref, found)), CompletenessRule(rule), AETitle(calling))
        for (uid, rule, calling), found in grouped
    )


def _ref(row: Any) -> InstanceRef:
    return InstanceRef(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        digest=row.digest,
        file=row.file,
        offset=row.offset,
        length=row.length,
    )
