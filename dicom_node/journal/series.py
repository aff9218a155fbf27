"""The state of a series: open, complete, reopened."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dicom_node.values import AETitle, CompletenessRule, InstanceRef, Priority, StorePriority

from .engine import Client, Look, StudyJob
from .results import has_all_images, has_open_series, leave_unjudged, lock_study
from .tables import feeding, instances, is_open, series, studies


@dataclass(frozen=True, slots=True)
class OpenSeries:
    """What is known of a series that is not complete yet."""

    series_instance_uid: str
    study_instance_uid: str
    calling: AETitle
    instances: int
    last_seen: float
    feeding: int
    broken_at: float | None
    store_priority: StorePriority


def read_open_series(connection: sa.Connection, look: Look) -> OpenSeries | None:
    """The series of a look, locked until the transaction ends; None where it is complete or was reopened since."""
    here = _is(series, look.study_instance_uid, look.series_instance_uid)
    # Writing what is there takes the lock, on SQLite too, where a transaction that only reads has none.
    connection.execute(series.update().where(here).values(generation=series.c.generation))
    row = connection.execute(sa.select(series).where(here)).first()
    if row is None or row.is_complete or row.generation != look.generation:
        return None
    fed = _is(feeding, look.study_instance_uid, look.series_instance_uid)
    return OpenSeries(
        series_instance_uid=row.series_instance_uid,
        study_instance_uid=row.study_instance_uid,
        calling=AETitle(row.calling),
        instances=row.instances,
        last_seen=row.last_seen,
        feeding=connection.execute(sa.select(sa.func.count()).where(fed, feeding.c.broken_at.is_(None))).scalar_one(),
        broken_at=connection.execute(sa.select(sa.func.max(feeding.c.broken_at)).where(fed)).scalar_one(),
        store_priority=StorePriority(row.store_priority or StorePriority.MEDIUM),
    )


@dataclass(frozen=True, slots=True)
class SeriesSample:
    """What says how urgent a series is: who sent it, how, and one of its instances, whose header may say more."""

    calling: AETitle
    store_priority: StorePriority
    instance: InstanceRef


def read_sample(connection: sa.Connection, look: Look) -> SeriesSample | None:
    """The sample of a look's series; None where it has no image here."""
    same = sa.and_(
        series.c.study_instance_uid == instances.c.study_instance_uid, series.c.series_instance_uid == instances.c.series_instance_uid
    )
    here = _is(series, look.study_instance_uid, look.series_instance_uid)
    asked = sa.select(instances, series.c.calling, series.c.store_priority).join(series, same)
    row = connection.execute(asked.where(here, instances.c.removing_at.is_(None)).limit(1)).first()
    if row is None:
        return None
    return SeriesSample(AETitle(row.calling), StorePriority(row.store_priority or StorePriority.MEDIUM), as_reference(row))


def read_arriving(connection: sa.Connection, since: float, most: int) -> tuple[tuple[float, tuple[InstanceRef, ...]], ...]:
    """The open series of which something came after `since`, by the time of its last image, and their instances: the newest, at most
    `most` of them."""
    recent = sa.select(series.c.study_instance_uid, series.c.series_instance_uid, series.c.last_seen)
    recent = recent.where(is_open, series.c.last_seen > since).order_by(series.c.last_seen.desc()).limit(most)
    found = []
    for study, uid, last_seen in connection.execute(recent).all():
        here = sa.and_(instances.c.study_instance_uid == study, instances.c.series_instance_uid == uid, instances.c.removing_at.is_(None))
        rows = connection.execute(sa.select(instances).where(here)).all()
        found.append((float(last_seen), tuple(map(as_reference, rows))))
    return tuple(found)


def as_reference(row: Any) -> InstanceRef:
    """The instance of a row."""
    return InstanceRef(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        digest=row.digest,
        file=row.file,
        offset=row.offset,
        length=row.length,
    )


def close_series(connection: sa.Connection, client: Client, found: OpenSeries, rule: CompletenessRule, priority: Priority) -> None:
    """Mark a series complete; where no other series of its study is open, the study's job starts in the same transaction, unless others
    of its images have left.

    A study has the priority of its most urgent series.
    """
    where = (found.study_instance_uid, found.series_instance_uid)
    connection.execute(series.update().where(_is(series, *where)).values(is_complete=True, rule=rule.value))
    study = studies.c.study_instance_uid == found.study_instance_uid
    connection.execute(sa.select(studies.c.generation).where(study).with_for_update())  # what closes at once must be seen below
    others = sa.and_(series.c.study_instance_uid == found.study_instance_uid, series.c.series_instance_uid != found.series_instance_uid)
    # Before the first series is complete the column holds its default, which says nothing.
    is_first = sa.and_(studies.c.generation == 0, sa.not_(sa.exists().where(others, series.c.is_complete)))
    urgent = sa.case((sa.or_(is_first, studies.c.priority > int(priority)), int(priority)), else_=studies.c.priority)
    connection.execute(studies.update().where(study).values(priority=urgent))
    connection.execute(feeding.delete().where(_is(feeding, *where), feeding.c.broken_at.is_not(None)))
    judge_whole(connection, client, found.study_instance_uid, found.last_seen)


def judge_whole(connection: sa.Connection, client: Client, study_instance_uid: str, now: float) -> bool:
    """Let a study be judged anew where all its images are here. Where some have left, a part would be taken for the whole: its answers
    stay as they are, and it says why."""
    if has_all_images(connection, study_instance_uid):
        return judge_again(connection, client, study_instance_uid)
    if not has_open_series(connection, study_instance_uid):
        leave_unjudged(connection, study_instance_uid, now)
    return False


def judge_again(connection: sa.Connection, client: Client, study_instance_uid: str) -> bool:
    """Let a study be judged anew where all its series are complete; an open one is judged when it becomes complete."""
    here = studies.c.study_instance_uid == study_instance_uid
    # The study's lock comes before the look at its series: two series that close at once must not each see the other open.
    lock_study(connection, study_instance_uid)
    study = connection.execute(sa.select(studies.c.generation, studies.c.priority).where(here)).first()
    if study is None or has_open_series(connection, study_instance_uid):
        return False
    connection.execute(studies.update().where(here).values(generation=study.generation + 1, failure=None, done_at=None))
    client.enqueue_study(connection, StudyJob(study_instance_uid, study.generation + 1), Priority(study.priority))
    return True


def count_open_studies(engine: sa.Engine, limit: int) -> int | None:
    """How many studies wait for their images or their analysis, counted up to `limit`; None where the database does not say.

    What waits for its destination does not count: a PACS that is away for days is no reason to take no images.
    """
    receiving = sa.select(series.c.study_instance_uid).where(is_open)
    working = sa.select(studies.c.study_instance_uid).where(studies.c.closed < studies.c.generation)
    some = sa.union(receiving, working).limit(limit).subquery()
    try:
        with engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one())
    except sa.exc.SQLAlchemyError:
        return None


def find_feeders(connection: sa.Connection) -> frozenset[str]:
    """The names of all receivers that have open associations, living or dead; an association's name is `receiver:number`."""
    feeds = connection.execute(sa.select(feeding.c.association).where(feeding.c.broken_at.is_(None))).scalars()
    return frozenset(name.rpartition(":")[0] for name in feeds)


def break_off(connection: sa.Connection, receiver: str, now: float) -> None:
    """The associations of a receiver that died broke off with it; of all receivers where the name is empty."""
    of_receiver = feeding.c.association.startswith(f"{receiver}:" if receiver else "", autoescape=True)
    connection.execute(feeding.update().where(of_receiver, feeding.c.broken_at.is_(None)).values(broken_at=now))


def _is(table: sa.Table, study_instance_uid: str, series_instance_uid: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.study_instance_uid == study_instance_uid, table.c.series_instance_uid == series_instance_uid)
