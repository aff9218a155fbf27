"""What leaves the node, and when: images after their results are confirmed, results and records after their time. All by rule.

A study's images go in three steps, each a transaction of its own: they are marked (`removing_at`), then their files are removed, a few
in each transaction, under the lock of their rows (`removed_at`), then the study notes it. A crash between two lines is continued by the
next run. An instance that comes again meanwhile takes its mark away (`instances.py`), or is asked for again.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from dicom_node.values import InstanceRef

from .actions import write_action
from .alive import try_turn
from .rebuild import find_identities
from .results import has_open_series
from .series import as_reference
from .store import begin_writing
from .tables import answers, commitments, conflicts, deliveries, feeding, fetched, instances, results, searches, series, studies

IMAGES, RESULTS, RECORDS = "images-removed", "results-removed", "records-removed"
RETENTION = "retention"
_FILES_AT_ONCE = 100  # their rows are locked meanwhile, on SQLite the whole database


def find_done(connection: sa.Connection, before: float, limit: int) -> tuple[str, ...]:
    """Studies with images that have been done since before a time, the oldest first."""
    here = sa.and_(studies.c.done_at < before, studies.c.images_removed_at.is_(None))
    return _find(connection, here, studies.c.done_at, limit)


def find_undone(connection: sa.Connection, before: float, limit: int) -> tuple[str, ...]:
    """Studies with images that came before a time and are not done, the oldest first; not where images still come."""
    open_here = series.c.study_instance_uid == studies.c.study_instance_uid, sa.not_(series.c.is_complete)
    still_open = sa.exists(sa.select(series.c.series_instance_uid).where(*open_here))
    here = sa.and_(studies.c.done_at.is_(None), studies.c.first_seen < before, studies.c.images_removed_at.is_(None), sa.not_(still_open))
    return _find(connection, here, studies.c.first_seen, limit)


def find_removed(connection: sa.Connection, before: float, limit: int, *, with_results: bool) -> tuple[str, ...]:
    """Studies without images that have been done since before a time; `with_results`: of which values and objects are still kept."""
    here = sa.and_(studies.c.done_at < before, studies.c.images_removed_at.is_not(None))
    if with_results:
        here = sa.and_(here, studies.c.results_removed_at.is_(None))
    return _find(connection, here, studies.c.done_at, limit)


def mark_images(connection: sa.Connection, study_instance_uid: str, now: float, *, must_be_done: bool) -> bool:
    """Decide that a study's images go; not where something has come or is to be done since. Whether they go."""
    begin_writing(connection)
    study = connection.execute(sa.select(studies).where(_of(studies, study_instance_uid)).with_for_update()).first()
    if study is None or (must_be_done and study.done_at is None) or has_open_series(connection, study_instance_uid):
        return False
    here = sa.and_(_of(instances, study_instance_uid), instances.c.removing_at.is_(None))
    marked = connection.execute(instances.update().where(here).values(removing_at=now).returning(instances.c.series_instance_uid)).scalars()
    for uid, going in Counter(marked).items():  # counted from now on is what stays: one that comes again is counted again
        of_series = sa.and_(_of(series, study_instance_uid), series.c.series_instance_uid == uid)
        connection.execute(series.update().where(of_series).values(instances=series.c.instances - going))
    return True


def remove_images(connection: sa.Connection, study_instance_uid: str, remove: Callable[[InstanceRef], None], now: float) -> int:
    """Remove the files of some instances that are marked; gives how many, 0 when all are gone."""
    begin_writing(connection)
    marked = sa.and_(_of(instances, study_instance_uid), instances.c.removing_at.is_not(None), instances.c.removed_at.is_(None))
    in_order = sa.select(instances).where(marked).order_by(instances.c.sop_instance_uid)  # as receipts lock them
    rows = connection.execute(in_order.limit(_FILES_AT_ONCE).with_for_update()).all()
    for row in rows:
        remove(as_reference(row))
        connection.execute(instances.update().where(instances.c.sop_instance_uid == row.sop_instance_uid).values(removed_at=now))
    return len(rows)


def finish_images(connection: sa.Connection, study_instance_uid: str, remove_file: Callable[[str], None], now: float) -> bool:
    """Note that a study's images are gone, with those that were set aside; not where one has come back. Whether it was noted."""
    begin_writing(connection)
    uid = instances.c.sop_instance_uid  # locked first, in this order, as receipts do: one that is just coming back must be seen below
    connection.execute(sa.select(uid).where(_of(instances, study_instance_uid)).order_by(uid).with_for_update()).all()
    study = connection.execute(sa.select(studies).where(_of(studies, study_instance_uid)).with_for_update()).first()
    if study is None or study.images_removed_at is not None:
        return False  # another worker has come so far too
    back = sa.select(instances.c.file).where(_of(instances, study_instance_uid), instances.c.removed_at.is_(None))
    if connection.execute(back.limit(1)).first() is not None:
        return False
    for file in connection.execute(sa.select(conflicts.c.file).where(_of(conflicts, study_instance_uid))).scalars():
        remove_file(file)
    gone = connection.execute(sa.select(sa.func.count()).select_from(instances).where(_of(instances, study_instance_uid))).scalar_one()
    connection.execute(studies.update().where(_of(studies, study_instance_uid)).values(images_removed_at=now))
    write_action(connection, RETENTION, IMAGES, study_instance_uid, now, gone)
    return True


def find_kept(connection: sa.Connection, study_instance_uid: str) -> tuple[str, ...]:
    """The names of all values and objects that are kept of a study's results."""
    values = connection.execute(sa.select(results.c.kept).where(_of(results, study_instance_uid), results.c.kept != "")).scalars().all()
    of_study = sa.select(results.c.key).where(_of(results, study_instance_uid))
    files = connection.execute(sa.select(deliveries.c.file).where(deliveries.c.result_key.in_(of_study))).scalars().all()
    return tuple(dict.fromkeys((*values, *files)))


def forget_results(connection: sa.Connection, study_instance_uid: str, remove: Callable[[str], None], before: float, now: float) -> None:
    """Remove the values and objects of a study's results; their rows stay. Nothing happens where it has come back since it was found."""
    if not _has_left(connection, study_instance_uid, before):
        return
    for name in find_kept(connection, study_instance_uid):
        remove(name)
    amount = connection.execute(results.update().where(_of(results, study_instance_uid)).values(kept="")).rowcount
    connection.execute(studies.update().where(_of(studies, study_instance_uid)).values(results_removed_at=now))
    if amount:
        write_action(connection, RETENTION, RESULTS, study_instance_uid, now, amount)


def forget_study(
    connection: sa.Connection,
    study_instance_uid: str,
    remove: Callable[[str], None],
    remove_record: Callable[[Sequence[str]], None],
    before: float,
    now: float,
) -> None:
    """Remove all rows of a study and what is kept of it; that they were there stays on record. Nothing happens where it has come back
    since it was found."""
    if not _has_left(connection, study_instance_uid, before):
        return
    for name in find_kept(connection, study_instance_uid):
        remove(name)
    for identity in find_identities(connection, study_instance_uid):
        remove_record(identity)
    of_study = sa.select(results.c.key).where(_of(results, study_instance_uid))
    amount = 0
    for table in (deliveries, commitments):
        amount += connection.execute(table.delete().where(table.c.result_key.in_(of_study))).rowcount
    for table in (results, answers, instances, conflicts, feeding, fetched, searches, series, studies):
        amount += connection.execute(table.delete().where(_of(table, study_instance_uid))).rowcount
    write_action(connection, RETENTION, RECORDS, study_instance_uid, now, amount)


def find_named(connection: sa.Connection, names: Sequence[str]) -> frozenset[str]:
    """Which of some kept files a result or a delivery names."""
    values = connection.execute(sa.select(results.c.kept).where(results.c.kept.in_(names))).scalars().all()
    files = connection.execute(sa.select(deliveries.c.file).where(deliveries.c.file.in_(names))).scalars().all()
    return frozenset(values) | frozenset(files)


def has_turn(connection: sa.Connection) -> bool:
    """Whether this worker may do so now; another one may be at it."""
    return try_turn(connection, RETENTION)


def _has_left(connection: sa.Connection, study_instance_uid: str, before: float) -> bool:
    """Whether a study's images are gone and it has been done since before a time; both hold until the transaction ends."""
    begin_writing(connection)
    study = connection.execute(sa.select(studies).where(_of(studies, study_instance_uid)).with_for_update()).first()
    return study is not None and study.images_removed_at is not None and study.done_at is not None and study.done_at < before


def _find(connection: sa.Connection, here: sa.ColumnElement[bool], order: sa.Column[float], limit: int) -> tuple[str, ...]:
    return tuple(connection.execute(sa.select(studies.c.study_instance_uid).where(here).order_by(order).limit(limit)).scalars())


def _of(table: sa.Table, study_instance_uid: str) -> sa.ColumnElement[bool]:
    return table.c.study_instance_uid == study_instance_uid
