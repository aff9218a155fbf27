"""What should have a job and has none: taken up again, so that nothing stays open because a job was lost.

A job is lost where it failed more often than it is tried (a database that was away for minutes), or where the process died so
often while it was open that the engine gives it up.
"""

import sqlalchemy as sa

from dicom_node.errors import PackageWithdrawn, WorkerDiedTooOften
from dicom_node.log import StudyFailed, log
from dicom_node.values import DeliveryState, derive_key

from .alive import try_turn
from .engine import (
    Alive,
    Client,
    DeliveryJob,
    Look,
    ProofJob,
    delivery_prefix,
    find_alive,
    has_worn_out,
    look_prefix,
    proof_prefix,
    study_identity,
)
from .results import CANCELLED, IMAGES_HAVE_LEFT, close_study, find_priority, is_cancelled, settle_study
from .series import judge_whole
from .store import begin_writing
from .tables import answers, deliveries, is_open, is_unsettled, results, series, studies, was_out_of_service

# What `failure` says of a study whose job was open each time the worker died; it is not started again by itself.
WORN_OUT = WorkerDiedTooOften.__name__


def take_up_forgotten(connection: sa.Connection, client: Client, now: float) -> int:
    """Start a job for each open series, unfinished study, queued and unproven object that has none; gives how many.

    Where another worker is just doing so, this one leaves it to that.
    """
    begin_writing(connection)  # a job that is started between the two looks below would be started twice
    if not try_turn(connection, "forgotten"):
        return 0
    alive = find_alive(connection)
    return (
        _open_series(connection, client, alive, now)
        + _studies(connection, client, alive, now)
        + _deliveries(connection, client, alive, now)
    )


def send_again(connection: sa.Connection, client: Client, study_instance_uid: str, now: float) -> int:
    """Queue a study's objects anew that were refused or given up, since a person asks for it; gives how many."""
    undone = (DeliveryState.REFUSED.value, DeliveryState.GIVEN_UP.value)
    of_study = sa.select(results.c.key).where(results.c.study_instance_uid == study_instance_uid)
    here = sa.and_(deliveries.c.result_key.in_(of_study), deliveries.c.state.in_(undone), sa.not_(is_cancelled()))
    pairs = connection.execute(sa.select(deliveries.c.result_key, deliveries.c.destination).where(here).distinct()).all()
    again = {"state": DeliveryState.QUEUED.value, "status": None, "error": None, "failures": 0}
    queued = connection.execute(deliveries.update().where(here).values(again))
    for key, destination in pairs:
        client.enqueue_delivery(connection, DeliveryJob(key, destination, attempt=0, round=int(now)), find_priority(connection, key))
    settle_study(connection, study_instance_uid, now)
    return queued.rowcount


def judge_what_was_out_of_service(connection: sa.Connection, client: Client, packages: tuple[str, ...], now: float) -> int:
    """Judge the studies anew that were refused because a package was out of service which is in service now; gives how many.

    What a person has ended is left alone; of which images have left says so, once, and its answers stay.
    """
    refused = sa.select(answers.c.study_instance_uid).where(was_out_of_service, answers.c.package.in_(packages)).distinct()
    # A job that had accepted a package before a restart put it out of service ended as failed; only one that is in service helps.
    withdrawn = sa.select(studies.c.study_instance_uid).where(studies.c.failure == PackageWithdrawn.__name__)
    ended = sa.select(studies.c.study_instance_uid).where(studies.c.failure.in_((CANCELLED, IMAGES_HAVE_LEFT)))
    found = set(connection.execute(refused).scalars()) - set(connection.execute(ended).scalars())
    if packages:
        found.update(connection.execute(withdrawn).scalars())
    return sum(judge_whole(connection, client, study, now) for study in sorted(found))


def _open_series(connection: sa.Connection, client: Client, alive: Alive, now: float) -> int:
    taken_up = 0
    for row in connection.execute(sa.select(series).where(is_open)).all():
        if not alive.is_there(look_prefix(row.study_instance_uid, row.series_instance_uid, row.generation)):
            look = Look(row.study_instance_uid, row.series_instance_uid, row.generation, number=int(now))
            client.enqueue_look(connection, look, delay_s=0.0)
            taken_up += 1
    return taken_up


def _studies(connection: sa.Connection, client: Client, alive: Alive, now: float) -> int:
    taken_up = 0
    for row in connection.execute(sa.select(studies).where(studies.c.closed < studies.c.generation)).all():
        identity = study_identity(row.study_instance_uid, row.generation)
        if alive.is_there(identity):
            continue
        if has_worn_out(connection, identity):
            close_study(connection, row.study_instance_uid, row.generation, now, WORN_OUT)
            log(StudyFailed(derive_key(row.study_instance_uid), WorkerDiedTooOften))
        else:
            taken_up += judge_whole(connection, client, row.study_instance_uid, now)
    return taken_up


def _deliveries(connection: sa.Connection, client: Client, alive: Alive, now: float) -> int:
    """Those to send, and those to ask for: an object that was acknowledged and whose destination has not been asked yet."""
    key, destination = deliveries.c.result_key, deliveries.c.destination
    unsettled = sa.select(key, destination, deliveries.c.state, sa.func.max(deliveries.c.attempts).label("attempts"))
    unsettled = unsettled.where(is_unsettled)
    queued, taken_up = DeliveryState.QUEUED.value, 0
    for row in connection.execute(unsettled.group_by(key, destination, deliveries.c.state)).all():
        priority = find_priority(connection, row.result_key)
        if row.state == queued:
            if not alive.is_there(delivery_prefix(row.result_key, row.destination)):
                job = DeliveryJob(row.result_key, row.destination, row.attempts, round=int(now))
                client.enqueue_delivery(connection, job, priority)
                taken_up += 1
        elif not alive.is_there(proof_prefix(row.result_key, row.destination)):
            client.enqueue_proof(connection, ProofJob(row.result_key, row.destination, attempt=0, round=int(now)), priority)
            taken_up += 1
    return taken_up
