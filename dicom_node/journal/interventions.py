"""What a person does to a job (`jobs.py`): tries it again, ends it, has a study judged anew. Each is recorded with who did it.

Everything goes under the identity that it had: an object that is sent again is the same object.
"""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from dicom_node.values import DeliveryState, Proof

from .actions import write_action
from .engine import Client, DeliveryJob, ProofJob, find_alive, study_identity
from .jobs import JobRow, JobState, name_study
from .priors import release_fetched
from .results import CANCELLED, find_withdrawal, has_all_images, is_cancelled, settle_study
from .series import judge_again
from .tables import deliveries, studies

_UNDONE = (DeliveryState.REFUSED.value, DeliveryState.GIVEN_UP.value)


class Done(StrEnum):
    """What became of what a person asked for."""

    YES = "yes"
    NOTHING_TO_DO = "nothing-to-do"
    IS_OPEN = "is-open"  # a series of the study is not complete: it is judged when it is
    NO_IMAGES = "no-images"  # they, or some of them, have left the node
    IS_WITHDRAWN = "is-withdrawn"  # a person has withdrawn the result: it is sent nowhere any more


def retry_job(connection: sa.Connection, client: Client, row: JobRow, actor: str, now: float) -> Done:
    """Try a job again where it is dead, or now where it waits."""
    if row.result_key is not None:
        done = _retry_sending(connection, client, row, now)
    elif row.name.startswith("study/") and row.state is not JobState.WAITING:
        is_dead = row.state in (JobState.FAILED, JobState.WORN_OUT, JobState.CANCELLED)
        done = _judge(connection, client, row.study_instance_uid) if is_dead else Done.NOTHING_TO_DO
    else:
        done = Done.YES if _hasten(connection, client, row) else Done.NOTHING_TO_DO
    return _recorded(connection, done, actor, "retry", row.name, now)


def cancel_job(connection: sa.Connection, client: Client, row: JobRow, actor: str, now: float) -> Done:
    """End a job for good: what was not sent is not sent, what is dead or unconfirmed is accepted as it is. A series stays open."""
    done = Done.NOTHING_TO_DO
    if row.result_key is not None:
        done = _cancel_sending(connection, client, row, now)
    elif row.name.startswith("study/") and row.state not in (JobState.DONE, JobState.CANCELLED):
        _cancel_study(connection, client, row.study_instance_uid, now)
        done = Done.YES
    return _recorded(connection, done, actor, "cancel", row.name, now)


def rerun_study(connection: sa.Connection, client: Client, study_instance_uid: str, actor: str, now: float) -> Done:
    """Judge a study anew. The same images, models and configuration lead to the same results; others to new ones, which name the old.

    What is made of a study that the node fetched as a prior is sent from now on: a person wants it for itself.
    """
    done = _judge(connection, client, study_instance_uid)
    if done is Done.YES:
        release_fetched(connection, study_instance_uid)
    return _recorded(connection, done, actor, "rerun", name_study(study_instance_uid), now)


def _recorded(connection: sa.Connection, done: Done, actor: str, action: str, subject: str, now: float) -> Done:
    if done is Done.YES:
        write_action(connection, actor, action, subject, now)
    return done


def _judge(connection: sa.Connection, client: Client, study_instance_uid: str) -> Done:
    """Half of a series would be another series: where images have left, nothing is judged."""
    if not has_all_images(connection, study_instance_uid):
        return Done.NO_IMAGES
    return Done.YES if judge_again(connection, client, study_instance_uid) else Done.IS_OPEN


def _retry_sending(connection: sa.Connection, client: Client, row: JobRow, now: float) -> Done:
    assert row.result_key is not None
    assert row.destination is not None
    if find_withdrawal(connection, row.result_key) is not None:
        return Done.IS_WITHDRAWN
    here = _lock(connection, row)
    again: dict[str, Any] = {"error": None, "next_try_at": None}
    undone = sa.and_(here, deliveries.c.state.in_(_UNDONE))
    changed = _count(
        connection, deliveries.update().where(undone).values(**again, state=DeliveryState.QUEUED.value, status=None, failures=0)
    )
    is_missing = sa.or_(deliveries.c.proof == Proof.MISSING.value, is_cancelled())
    missing = sa.and_(here, deliveries.c.state == DeliveryState.SENT.value, is_missing)
    changed += _count(connection, deliveries.update().where(missing).values(**again, proof=None))
    # Those that have a job already are sent, or asked for, by that: two at once would do the same.
    alive, (sending, proving) = find_alive(connection), row.about
    if _is_queued(connection, here):
        if not alive.is_there(sending):
            client.enqueue_delivery(connection, DeliveryJob(row.result_key, row.destination, attempt=0, round=int(now)), row.priority)
            changed += 1
    elif _is_unproven(connection, here) and not alive.is_there(sending) and not alive.is_there(proving):
        client.enqueue_proof(connection, ProofJob(row.result_key, row.destination, attempt=0, round=int(now)), row.priority)
        changed += 1
    hastened = _hasten(connection, client, row)
    settle_study(connection, row.study_instance_uid, now)
    return Done.YES if changed or hastened else Done.NOTHING_TO_DO


def _is_queued(connection: sa.Connection, here: sa.ColumnElement[bool]) -> bool:
    queued = sa.select(deliveries.c.number).where(here, deliveries.c.state == DeliveryState.QUEUED.value)
    return connection.execute(queued).first() is not None


def _is_unproven(connection: sa.Connection, here: sa.ColumnElement[bool]) -> bool:
    unproven = sa.select(deliveries.c.number).where(here, deliveries.c.state == DeliveryState.SENT.value, deliveries.c.proof.is_(None))
    return connection.execute(unproven).first() is not None


def _hasten(connection: sa.Connection, client: Client, row: JobRow) -> bool:
    """Let what waits for its time start now."""
    hastened = [client.hasten(connection, job) for job in find_alive(connection).waiting(row.about)]
    if any(hastened) and row.result_key is not None:
        connection.execute(deliveries.update().where(_of(row)).values(next_try_at=None))
    return any(hastened)


def _cancel_sending(connection: sa.Connection, client: Client, row: JobRow, now: float) -> Done:
    here = _lock(connection, row)
    unsent = sa.and_(here, deliveries.c.state.in_((DeliveryState.QUEUED.value, *_UNDONE)), sa.not_(is_cancelled()))
    ended = {"state": DeliveryState.GIVEN_UP.value, "error": CANCELLED, "next_try_at": None}
    changed = _count(connection, deliveries.update().where(unsent).values(**ended))
    is_unproven = sa.or_(deliveries.c.proof.is_(None), deliveries.c.proof == Proof.MISSING.value)
    unproven = sa.and_(here, deliveries.c.state == DeliveryState.SENT.value, is_unproven, sa.not_(is_cancelled()))
    accepted = {"proof": Proof.MISSING.value, "error": CANCELLED, "next_try_at": None}
    changed += _count(connection, deliveries.update().where(unproven).values(**accepted))
    for job in find_alive(connection).waiting(row.about):
        client.cancel(connection, job)
    if not changed:
        return Done.NOTHING_TO_DO
    settle_study(connection, row.study_instance_uid, now)
    return Done.YES


def _cancel_study(connection: sa.Connection, client: Client, study_instance_uid: str, now: float) -> None:
    """Its job never runs; one that runs finds its study closed, and makes nothing of it any more."""
    here = studies.c.study_instance_uid == study_instance_uid
    is_not_done = sa.or_(studies.c.closed < studies.c.generation, studies.c.failure.is_not(None))
    connection.execute(studies.update().where(here, is_not_done).values(closed=studies.c.generation, failure=CANCELLED))
    generation = connection.execute(sa.select(studies.c.generation).where(here)).scalar_one()
    for job in find_alive(connection).waiting([study_identity(study_instance_uid, generation)]):
        client.cancel(connection, job)
    settle_study(connection, study_instance_uid, now)


def _lock(connection: sa.Connection, row: JobRow) -> sa.ColumnElement[bool]:
    """The rows of a delivery, locked in the order in which the worker writes them."""
    here = _of(row)
    connection.execute(sa.select(deliveries.c.number).where(here).order_by(deliveries.c.number).with_for_update()).all()
    return here


def _of(row: JobRow) -> sa.ColumnElement[bool]:
    return sa.and_(deliveries.c.result_key == row.result_key, deliveries.c.destination == row.destination)


def _count(connection: sa.Connection, change: sa.Update) -> int:
    return int(connection.execute(change).rowcount)
