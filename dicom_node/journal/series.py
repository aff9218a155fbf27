"""The state of a series: open, complete, reopened."""

from dataclasses import dataclass

import sqlalchemy as sa

from dicom_node.values import AETitle, CompletenessRule

from .engine import Client, Look, StudyJob
from .tables import feeding, series, studies


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
    )


def close_series(connection: sa.Connection, client: Client, found: OpenSeries, rule: CompletenessRule) -> None:
    """Mark a series complete; where no other series of its study is open, the study's job starts in the same transaction."""
    where = (found.study_instance_uid, found.series_instance_uid)
    connection.execute(series.update().where(_is(series, *where)).values(is_complete=True, rule=rule.value))
    connection.execute(feeding.delete().where(_is(feeding, *where), feeding.c.broken_at.is_not(None)))
    judge_again(connection, client, found.study_instance_uid)


def judge_again(connection: sa.Connection, client: Client, study_instance_uid: str) -> bool:
    """Let a study be judged anew where all its series are complete; an open one is judged when it becomes complete."""
    here = studies.c.study_instance_uid == study_instance_uid
    # The study's lock comes before the look at its series: two series that close at once must not each see the other open.
    connection.execute(studies.update().where(here).values(generation=studies.c.generation))
    still_open = sa.select(series.c.series_instance_uid).where(
        series.c.study_instance_uid == study_instance_uid, sa.not_(series.c.is_complete)
    )
    generation = connection.execute(sa.select(studies.c.generation).where(here)).scalar_one_or_none()
    if generation is None or connection.execute(still_open).first() is not None:
        return False
    connection.execute(studies.update().where(here).values(generation=generation + 1, failure=None))
    client.enqueue_study(connection, StudyJob(study_instance_uid, generation + 1))
    return True


def _is(table: sa.Table, study_instance_uid: str, series_instance_uid: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.study_instance_uid == study_instance_uid, table.c.series_instance_uid == series_instance_uid)
