"""What is to be done, as a person sees it: looks at series, studies, deliveries. From the journal's own rows.

A job's name can be typed: `look/<series key>`, `study/<study key>`, `send/<first 16 digits of the result's key>/<destination>`.
What a person does to one is in `interventions.py`.
"""

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from dicom_node.values import DeliveryState, Priority, Proof, derive_key

from .engine import Alive, delivery_prefix, find_alive, look_prefix, proof_prefix, study_identity
from .forgotten import WORN_OUT
from .overview import ObjectRow, find_study, read_objects
from .results import CANCELLED, ENDED, is_cancelled
from .tables import deliveries, is_dead, is_open, is_unconfirmed, is_unsettled, results, series, studies


class JobState(StrEnum):
    """Where a job stands; a dead one does nothing by itself any more."""

    FAILED = "failed"  # dead: a study that ended by a fault, which is named
    WORN_OUT = "worn-out"  # dead: a study that was open each time the worker died
    REFUSED = "refused"  # dead
    GIVEN_UP = "given-up"  # dead: tried as often as configured
    UNCONFIRMED = "unconfirmed"  # dead: acknowledged, but the destination never said that it holds it
    RUNNING = "running"
    WAITING = "waiting"  # in its queue, or for its time
    ASKING = "asking"  # acknowledged; the destination is asked whether it holds it
    CANCELLED = "cancelled"  # by a person
    DONE = "done"


DEAD = (JobState.FAILED, JobState.WORN_OUT, JobState.REFUSED, JobState.GIVEN_UP, JobState.UNCONFIRMED)
_OVER = (JobState.CANCELLED, JobState.DONE)


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. `error` names the class of an error, `status` is a peer's answer; `since` and `next_try_at` in seconds since the epoch.

    `about` is what the engine's keys of it begin with; `result_key` and `destination` are those of a delivery.
    """

    name: str
    state: JobState
    study_instance_uid: str
    priority: Priority
    about: tuple[str, ...]
    tries: int = 0
    since: float | None = None
    next_try_at: float | None = None
    error: str | None = None
    status: int | None = None
    result_key: str | None = None
    destination: str | None = None


def read_jobs(connection: sa.Connection, limit: int, states: Container[JobState] | None = None) -> tuple[JobRow, ...]:
    """What is to be done, or cannot be done by the node alone: dead ones first, then the most urgent. `states`: only those."""
    alive, most = find_alive(connection), limit if states is None else _MANY
    found = _failed_studies(connection, most, alive)
    for where in (is_dead, is_unconfirmed):
        found += _sendings(connection, most, alive, where, sa.not_(is_cancelled()))
    if states is None or any(state in states for state in JobState if state not in DEAD):
        found += _sendings(connection, most, alive, is_unsettled)
        found += [*_unfinished_studies(connection, most, alive), *_open_series(connection, most, alive)]
    wanted = {row.name: row for row in reversed(found) if states is None or row.state in states}  # dead and waiting at once: dead
    return tuple(sorted(wanted.values(), key=_order)[:limit])


def find_job(connection: sa.Connection, name: str) -> JobRow | None:
    """The job of a name, also one that is over; None where there is no such thing."""
    kind, _, rest = name.partition("/")
    alive = find_alive(connection)
    match kind:
        case "send":
            start, _, destination = rest.partition("/")
            key = _find_result_key(connection, start)
            here = sa.and_(deliveries.c.result_key == key, deliveries.c.destination == destination)
            return None if key is None else next(iter(_sendings(connection, 1, alive, here)), None)
        case "study":
            uid = find_study(connection, rest)
            return None if uid is None else _study(connection.execute(_of_study(uid)).one(), alive)
        case "look":
            return next((row for row in _open_series(connection, _MANY, alive) if row.name == name), None)
        case _:
            return None


def find_objects(connection: sa.Connection, row: JobRow) -> tuple[ObjectRow, ...]:
    """The objects of a delivery; none of another job."""
    if row.result_key is None:
        return ()
    return tuple(one for one in read_objects(connection, row.result_key) if one.destination == row.destination)


def name_study(study_instance_uid: str) -> str:
    """The name of a study's job."""
    return f"study/{derive_key(study_instance_uid).text}"


_MANY = 1_000_000
_OBJECTS = 64  # of a result at a destination there are fewer


def _order(row: JobRow) -> tuple[bool, int, float, str]:
    return (row.state not in DEAD, row.priority, row.since or 0.0, row.name)


def _of_study(study_instance_uid: str) -> sa.Select[Any]:
    return sa.select(studies).where(studies.c.study_instance_uid == study_instance_uid)


def _sendings(connection: sa.Connection, limit: int, alive: Alive, *where: Any) -> list[JobRow]:
    """One job for the objects of a result at a destination: the one that is worst off speaks for all."""
    asked = sa.select(deliveries, results.c.study_instance_uid, results.c.made_at, studies.c.priority)
    asked = asked.join(results, results.c.key == deliveries.c.result_key).outerjoin(
        studies, studies.c.study_instance_uid == results.c.study_instance_uid
    )
    urgent_first = (studies.c.priority, results.c.made_at, deliveries.c.result_key, deliveries.c.destination, deliveries.c.number)
    found: dict[str, JobRow] = {}
    for row in connection.execute(asked.where(*where).order_by(*urgent_first).limit(_OBJECTS * limit)):
        one = _sending(row, alive)
        known = found.get(one.name)
        if known is None or _RANK[one.state] < _RANK[known.state]:
            found[one.name] = one
    return list(found.values())[:limit]


_RANK = {state: number for number, state in enumerate(JobState)}


def _sending(row: Any, alive: Alive) -> JobRow:
    about = (delivery_prefix(row.result_key, row.destination), proof_prefix(row.result_key, row.destination))
    state = _state_of(row)
    if state in (JobState.WAITING, JobState.ASKING) and alive.is_running(about):
        state = JobState.RUNNING
    return JobRow(
        name=f"send/{row.result_key[:16]}/{row.destination}",
        state=state,
        study_instance_uid=row.study_instance_uid,
        priority=Priority.ROUTINE if row.priority is None else Priority(row.priority),
        about=about,
        tries=row.attempts,
        since=row.sent_at or row.made_at,
        next_try_at=row.next_try_at,
        error=row.error,
        status=row.status,
        result_key=row.result_key,
        destination=row.destination,
    )


def _state_of(row: Any) -> JobState:
    if row.error in ENDED:
        return JobState.CANCELLED
    match DeliveryState(row.state):
        case DeliveryState.REFUSED:
            return JobState.REFUSED
        case DeliveryState.GIVEN_UP:
            return JobState.GIVEN_UP
        case DeliveryState.QUEUED:
            return JobState.WAITING
        case DeliveryState.CONFIRMED | DeliveryState.REPLACED:
            return JobState.DONE
        case DeliveryState.SENT:
            return {None: JobState.ASKING, Proof.MISSING.value: JobState.UNCONFIRMED}.get(row.proof, JobState.DONE)


def _unfinished_studies(connection: sa.Connection, limit: int, alive: Alive) -> list[JobRow]:
    unfinished = sa.select(studies).where(studies.c.closed < studies.c.generation).order_by(studies.c.first_seen).limit(limit)
    return [_study(row, alive) for row in connection.execute(unfinished)]


def _failed_studies(connection: sa.Connection, limit: int, alive: Alive) -> list[JobRow]:
    failed = sa.and_(studies.c.failure.is_not(None), studies.c.failure != CANCELLED, studies.c.closed >= studies.c.generation)
    found = connection.execute(sa.select(studies).where(failed).order_by(studies.c.first_seen).limit(limit))
    return [_study(row, alive) for row in found]


def _study(row: Any, alive: Alive) -> JobRow:
    about = (study_identity(row.study_instance_uid, row.generation),)
    if row.closed < row.generation:
        state = JobState.RUNNING if alive.is_running(about) else JobState.WAITING
    else:
        state = {None: JobState.DONE, CANCELLED: JobState.CANCELLED, WORN_OUT: JobState.WORN_OUT}.get(row.failure, JobState.FAILED)
    return JobRow(
        name=name_study(row.study_instance_uid),
        state=state,
        study_instance_uid=row.study_instance_uid,
        priority=Priority(row.priority),
        about=about,
        tries=row.generation,
        since=row.first_seen,
        error=row.failure,
    )


def _open_series(connection: sa.Connection, limit: int, alive: Alive) -> list[JobRow]:
    waiting = connection.execute(sa.select(series).where(is_open).order_by(series.c.last_seen).limit(limit))
    return [_look(row, alive) for row in waiting]


def _look(row: Any, alive: Alive) -> JobRow:
    about = (look_prefix(row.study_instance_uid, row.series_instance_uid, row.generation),)
    return JobRow(
        name=f"look/{derive_key(row.series_instance_uid).text}",
        state=JobState.RUNNING if alive.is_running(about) else JobState.WAITING,
        study_instance_uid=row.study_instance_uid,
        priority=Priority.ROUTINE,
        about=about,
        since=row.last_seen,
    )


def _find_result_key(connection: sa.Connection, start: str) -> str | None:
    """The key that begins so; None where none does, or several. A range: for `LIKE` neither database would take the index."""
    if not start:
        return None
    here = sa.and_(results.c.key >= start, results.c.key < start + "g")  # what follows is a hexadecimal digit
    keys = connection.execute(sa.select(results.c.key).where(here).limit(2)).scalars().all()
    return str(keys[0]) if len(keys) == 1 and keys[0].startswith(start) else None
