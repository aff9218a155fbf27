"""What should have a job and has none: taken up again, so that nothing stays open because a job was lost.

A job is lost where it failed more often than it is tried (a database that was away for minutes), or where the process died so
often while it was open that the engine gives it up.
"""

import sqlalchemy as sa

from dicom_node.values import DeliveryState

from .engine import Client, DeliveryJob, Look, delivery_prefix, look_prefix, study_identity
from .results import close_study
from .series import judge_again
from .tables import deliveries, results, series, studies

# What `failure` says of a study whose job was open each time the worker died; it is not started again by itself.
WORN_OUT = "WorkerDiedTooOften"


def take_up_forgotten(connection: sa.Connection, client: Client, live: frozenset[str], now: float) -> int:
    """Start a job for each open series, unfinished study and queued object that has none among `live`; gives how many."""
    return _open_series(connection, client, live, now) + _studies(connection, client, live) + _deliveries(connection, client, live, now)


def send_again(connection: sa.Connection, client: Client, study_instance_uid: str, now: float) -> int:
    """Queue a study's objects anew that were refused or given up, since a person asks for it; gives how many."""
    undone = (DeliveryState.REFUSED.value, DeliveryState.GIVEN_UP.value)
    of_study = sa.select(results.c.key).where(results.c.study_instance_uid == study_instance_uid)
    here = sa.and_(deliveries.c.result_key.in_(of_study), deliveries.c.state.in_(undone))
    pairs = connection.execute(sa.select(deliveries.c.result_key, deliveries.c.destination).where(here).distinct()).all()
    queued = connection.execute(deliveries.update().where(here).values(state=DeliveryState.QUEUED.value, status=None, error=None))
    for key, destination in pairs:
        client.enqueue_delivery(connection, DeliveryJob(key, destination, attempt=0, round=int(now)))
    return queued.rowcount


def _open_series(connection: sa.Connection, client: Client, live: frozenset[str], now: float) -> int:
    taken_up = 0
    for row in connection.execute(sa.select(series).where(sa.not_(series.c.is_complete))).all():
        prefix = look_prefix(row.study_instance_uid, row.series_instance_uid, row.generation)
        if not any(identity.startswith(prefix) for identity in live):
            look = Look(row.study_instance_uid, row.series_instance_uid, row.generation, number=int(now))
            client.enqueue_look(connection, look, delay_s=0.0)
            taken_up += 1
    return taken_up


def _studies(connection: sa.Connection, client: Client, live: frozenset[str]) -> int:
    taken_up = 0
    for row in connection.execute(sa.select(studies).where(studies.c.closed < studies.c.generation)).all():
        identity = study_identity(row.study_instance_uid, row.generation)
        if identity in live:
            continue
        if client.has_worn_out(identity):
            close_study(connection, row.study_instance_uid, row.generation, WORN_OUT)
        else:
            taken_up += judge_again(connection, client, row.study_instance_uid)
    return taken_up


def _deliveries(connection: sa.Connection, client: Client, live: frozenset[str], now: float) -> int:
    queued = sa.select(deliveries.c.result_key, deliveries.c.destination, sa.func.max(deliveries.c.attempts).label("attempts"))
    queued = queued.where(deliveries.c.state == DeliveryState.QUEUED.value).group_by(deliveries.c.result_key, deliveries.c.destination)
    taken_up = 0
    for row in connection.execute(queued).all():
        prefix = delivery_prefix(row.result_key, row.destination)
        if not any(identity.startswith(prefix) for identity in live):
            client.enqueue_delivery(connection, DeliveryJob(row.result_key, row.destination, row.attempts, round=int(now)))
            taken_up += 1
    return taken_up
