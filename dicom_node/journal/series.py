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
    row = connection.execute(sa.select(series).where(series.c.series_instance_uid == look.series_instance_uid).with_for_update()).first()
    if row is None or row.is_complete or row.generation != look.generation:
        return None
    here = feeding.c.series_instance_uid == look.series_instance_uid
    feeders = connection.execute(sa.select(sa.func.count()).where(here, feeding.c.broken_at.is_(None))).scalar_one()
    return OpenSeries(
        series_instance_uid=row.series_instance_uid,
        study_instance_uid=row.study_instance_uid,
        calling=AETitle(row.calling),
        instances=row.instances,
        last_seen=row.last_seen,
        feeding=feeders,
        broken_at=connection.execute(sa.select(sa.func.max(feeding.c.broken_at)).where(here)).scalar_one(),
    )


def close_series(connection: sa.Connection, client: Client, found: OpenSeries, rule: CompletenessRule) -> None:
    """Mark a series complete; where no other series of its study is open, the study's job starts in the same transaction."""
    connection.execute(
        series.update().where(series.c.series_instance_uid == found.series_instance_uid).values(is_complete=True, rule=rule.value)
    )
    connection.execute(feeding.delete().where(feeding.c.series_instance_uid == found.series_instance_uid, feeding.c.broken_at.is_not(None)))
    judge_again(connection, client, found.study_instance_uid)


def _start_study(connection: sa.Connection, client: Client, study_instance_uid: str) -> None:
    """Let the study be judged (again), under a new generation."""
    here = studies.c.study_instance_uid == study_instance_uid
    connection.execute(studies.update().where(here).values(generation=studies.c.generation + 1, failure=None))
    generation = connection.execute(sa.select(studies.c.generation).where(here)).scalar_one()
    client.enqueue_study(connection, StudyJob(study_instance_uid, generation))


def judge_again(connection: sa.Connection, client: Client, study_instance_uid: str) -> bool:
    """Let a study be judged anew where all its series are complete; an open one is judged when it becomes complete."""
    still_open = sa.select(series.c.series_instance_uid).where(
        series.c.study_instance_uid == study_instance_uid, sa.not_(series.c.is_complete)
    )
    if connection.execute(still_open).first() is not None:
        return False
    _start_study(connection, client, study_instance_uid)
    return True
