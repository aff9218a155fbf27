"""Where a study's time went: when its images came, and when each job and step for it waited, began and ended."""

from dataclasses import dataclass

import sqlalchemy as sa

from dicom_node.clock import Clock

from .engine import begins_with, delivery_prefix, look_prefix, proof_prefix, status_table, steps_table, study_prefix
from .store import now
from .tables import deliveries, instances, results, series


@dataclass(frozen=True, slots=True)
class TracedStep:
    """A step of a job, as the pipeline names it; times in seconds since the epoch, by the clock of the machine that ran it."""

    name: str
    began_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class TracedJob:
    """A job of the engine. What has not come yet is None; `destination` where it has one."""

    kind: str
    destination: str | None
    queued_at: float
    began_at: float | None
    ended_at: float | None
    steps: tuple[TracedStep, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """A study's images and jobs. The engine forgets jobs some time after they ended (`jobs_h`): then there are none."""

    images: int
    first_image_at: float | None
    last_image_at: float | None
    jobs: tuple[TracedJob, ...]


def read_trace(connection: sa.Connection, study_instance_uid: str, clock: Clock) -> Trace:
    """The trace of a study, jobs in the order in which they were queued."""
    # Images are noted by a time that no setting of the clock changes, jobs by the clock.
    ahead_s = 0.0 if connection.dialect.name == "postgresql" else clock.now() - now(connection, clock)
    came = sa.select(sa.func.count(), sa.func.min(instances.c.received_at), sa.func.max(instances.c.received_at))
    count, first, last = connection.execute(came.where(instances.c.study_instance_uid == study_instance_uid)).one()
    jobs = [job for prefix, kind, where in _find_prefixes(connection, study_instance_uid) for job in _read(connection, prefix, kind, where)]
    return Trace(
        images=count,
        first_image_at=None if first is None else first + ahead_s,
        last_image_at=None if last is None else last + ahead_s,
        jobs=tuple(sorted(jobs, key=lambda job: job.queued_at)),
    )


def _find_prefixes(connection: sa.Connection, study: str) -> list[tuple[str, str, str | None]]:
    """What the keys of the study's jobs begin with, their kind, and their destination."""
    found: list[tuple[str, str, str | None]] = [(study_prefix(study), "study", None)]
    here = sa.select(series.c.series_instance_uid, series.c.generation).where(series.c.study_instance_uid == study)
    for uid, generation in connection.execute(here):
        found += [(look_prefix(study, uid, number), "look", None) for number in range(generation + 1)]
    sent = sa.select(deliveries.c.result_key, deliveries.c.destination).distinct().join(results, results.c.key == deliveries.c.result_key)
    for key, destination in connection.execute(sent.where(results.c.study_instance_uid == study)):
        found += [(delivery_prefix(key, destination), "send", destination), (proof_prefix(key, destination), "prove", destination)]
    return found


def _read(connection: sa.Connection, prefix: str, kind: str, destination: str | None) -> list[TracedJob]:
    jobs, steps = status_table(connection), steps_table(connection)
    here = sa.select(jobs).where(begins_with(jobs.c.workflow_uuid, prefix))
    found = []
    for row in connection.execute(here).all():
        ran = sa.select(steps).where(steps.c.workflow_uuid == row.workflow_uuid).order_by(steps.c.function_id)
        found.append(
            TracedJob(
                kind=kind,
                destination=destination,
                queued_at=row.created_at / 1000,
                began_at=_seconds(row.started_at_epoch_ms),
                ended_at=_seconds(row.completed_at),
                steps=tuple(
                    TracedStep(step.function_name, step.started_at_epoch_ms / 1000, step.completed_at_epoch_ms / 1000)
                    for step in connection.execute(ran)
                    if step.started_at_epoch_ms is not None and step.completed_at_epoch_ms is not None
                ),
            )
        )
    return found


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
