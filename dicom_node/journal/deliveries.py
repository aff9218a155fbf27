"""What was sent where, object by object."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dicom_node.values import Accepted, Analysed, DeliveryState, ObjectKind, Proof, ReportRef, Role, codec
from dicom_node.values.records import DeliveryRecord, SentObject

from .engine import Client, DeliveryJob, ProofJob
from .results import find_priority, find_study_of, is_cancelled, is_withdrawal, settle_study
from .store import insert_unless_there
from .tables import answers, deliveries, results


@dataclass(frozen=True, slots=True)
class Waiting(SentObject):
    """An object on its way to a destination. `lost`: how often the destination did not hold it, although it had acknowledged it;
    `failures`: how often it failed (`write_outcome`) since it was acknowledged, or since a person had it tried again."""

    attempts: int = 0
    lost: int = 0
    failures: int = 0


def start_delivery(connection: sa.Connection, client: Client, record: DeliveryRecord) -> DeliveryRecord:
    """Queue a result's objects for a destination, with their job; the same again, or others of the same result, change nothing. Gives
    the delivery as it stands."""
    key, destination = record.result_key, record.destination
    present = sa.select(deliveries.c.number).where(deliveries.c.result_key == key, deliveries.c.destination == destination)
    if connection.execute(present).first() is None:
        for one in record.objects:
            insert_object(connection, key, destination, one, DeliveryState.QUEUED)
    client.enqueue_delivery(connection, DeliveryJob(key, destination, attempt=0), find_priority(connection, key))
    return read_delivery(connection, key, destination)


def read_delivery(connection: sa.Connection, result_key: str, destination: str) -> DeliveryRecord:
    """What of a result was made for a destination."""
    rows = connection.execute(sa.select(deliveries).where(*_at(result_key, destination)).order_by(deliveries.c.number))
    return DeliveryRecord(result_key, destination, tuple(map(as_object, rows)))


def insert_object(connection: sa.Connection, result_key: str, destination: str, one: SentObject, state: DeliveryState) -> None:
    """An object that was made for a destination, unless it is known."""
    row: dict[str, object] = {
        "result_key": result_key,
        "destination": destination,
        "number": one.number,
        "role": one.role.value,
        "sop_class_uid": one.sop_class_uid,
        "sop_instance_uid": one.sop_instance_uid,
        "series_instance_uid": one.series_instance_uid,
        "file": one.file,
        "instead_of": as_text(one.instead_of),
        "state": (DeliveryState.REPLACED if one.is_replaced else state).value,
        "attempts": 0,
    }
    insert_unless_there(connection, deliveries, row)


def as_object(row: Any) -> SentObject:
    """The object of a row."""
    return SentObject(
        number=row.number,
        role=Role(row.role),
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        series_instance_uid=row.series_instance_uid,
        file=row.file,
        instead_of=as_kinds(row.instead_of),
        is_replaced=row.state == DeliveryState.REPLACED.value,
    )


def as_text(kinds: Iterable[ObjectKind]) -> str | None:
    """Kinds of objects as a column holds them."""
    return ",".join(kinds) or None


def as_kinds(text: str | None) -> tuple[ObjectKind, ...]:
    """What `as_text` wrote."""
    return tuple(map(ObjectKind, text.split(","))) if text else ()


def find_waiting(connection: sa.Connection, job: DeliveryJob) -> tuple[Waiting, ...]:
    """The objects of a job that still have to be sent, in their order."""
    return _find(connection, job, deliveries.c.state == DeliveryState.QUEUED.value)


def find_unproven(connection: sa.Connection, job: ProofJob) -> tuple[Waiting, ...]:
    """The objects of a result that a destination acknowledged, and of which it has not shown yet that it holds them."""
    return _find(connection, job, deliveries.c.state == DeliveryState.SENT.value, deliveries.c.proof.is_(None))


def find_acknowledged(connection: sa.Connection, job: ProofJob) -> tuple[Waiting, ...]:
    """The unproven ones, and those that nobody asks for any more: a report that comes late is believed all the same."""
    return _find(connection, job, deliveries.c.state == DeliveryState.SENT.value)


def _find(connection: sa.Connection, job: DeliveryJob | ProofJob, *where: sa.ColumnElement[bool]) -> tuple[Waiting, ...]:
    rows = connection.execute(sa.select(deliveries).where(*_of(job), *where).order_by(deliveries.c.number))
    return tuple(
        Waiting(
            number=row.number,
            role=Role(row.role),
            sop_class_uid=row.sop_class_uid,
            sop_instance_uid=row.sop_instance_uid,
            series_instance_uid=row.series_instance_uid,
            file=row.file,
            instead_of=as_kinds(row.instead_of),
            attempts=row.attempts,
            lost=row.lost,
            failures=row.failures,
        )
        for row in rows
    )


def find_report(connection: sa.Connection, result_key: str, destination: str) -> ReportRef | None:
    """The report of a result that was made for a destination, the last one where others took its place; None where none was."""
    is_replaced = deliveries.c.state == DeliveryState.REPLACED.value
    here = sa.and_(*_at(result_key, destination), deliveries.c.role == Role.REPORT.value, sa.not_(is_replaced))
    row = connection.execute(sa.select(deliveries).where(here).order_by(deliveries.c.number.desc())).first()
    return None if row is None else ReportRef(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid)


def find_refusals(connection: sa.Connection, result: Analysed, destination: str) -> tuple[str, ...]:
    """The keys of what has said at a destination that the package of a result has not analysed its study, in the order in which it did:
    since the result's predecessor, and since a person has withdrawn what was said before.

    Not of another series that is analysed by itself: that stands.
    """
    same = results.c.study_instance_uid == result.study_instance_uid, results.c.package == result.package.name
    rows = connection.execute(sa.select(results).where(*same).order_by(results.c.number)).all()
    passed = [number for number, row in enumerate(rows, 1) if row.key == result.predecessor_key or is_withdrawal(row.key, row.predecessor)]
    said = [row for row in rows[max(passed, default=0) :] if row.findings is None and row.key != result.key]
    chosen = _find_chosen_series(connection, result) - {result.series_instance_uid}
    return tuple(row.key for row in said if row.series_instance_uid not in chosen and find_made(connection, row.key, destination))


def _find_chosen_series(connection: sa.Connection, result: Analysed) -> set[str]:
    """The series of its study that the package of a result has analysed, or will, in the study's last judgement."""
    here = answers.c.study_instance_uid == result.study_instance_uid, answers.c.package == result.package.name
    found = (codec.load(text.encode()) for text in connection.execute(sa.select(answers.c.answer).where(*here)).scalars())
    return {one.series_instance_uid for one in found if isinstance(one, Accepted) and one.chosen}


def find_made(connection: sa.Connection, result_key: str, destination: str) -> tuple[ReportRef, ...]:
    """The objects of a result that a destination holds or will hold, but for notes on others, in their order."""
    gone = (DeliveryState.REPLACED.value, DeliveryState.REFUSED.value, DeliveryState.GIVEN_UP.value)
    here = sa.and_(*_at(result_key, destination), deliveries.c.state.not_in(gone), deliveries.c.role != Role.REJECTION.value)
    rows = connection.execute(sa.select(deliveries).where(here).order_by(deliveries.c.number))
    return tuple(ReportRef(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid) for row in rows)


def holds_all(connection: sa.Connection, job: DeliveryJob) -> bool:
    """Whether a destination has acknowledged every object of a delivery but for notes on others, and for those that were replaced."""
    settled = (DeliveryState.SENT.value, DeliveryState.CONFIRMED.value, DeliveryState.REPLACED.value)
    others = sa.select(deliveries.c.number).where(*_of(job), deliveries.c.role != Role.REJECTION.value)
    return connection.execute(others.where(deliveries.c.state.not_in(settled)).limit(1)).first() is None


def write_outcome(
    connection: sa.Connection,
    job: DeliveryJob,
    number: int,
    state: DeliveryState,
    status: int | None,
    error: str | None,
    *,
    now: float,
    proof: Proof | None = None,
    has_failed: bool = False,
) -> bool:
    """Record what became of one object that was tried; `error` is the name of an error's class, `proof` NONE where nobody will ask,
    `has_failed` counts it as one of the few failures that an object may have. Gives whether it changed: the same object may have been
    sent by two at once, or ended by a person. What is there, or ended, stays so, but that what was acknowledged is there in any case."""
    values: dict[str, object] = {"state": state.value, "status": status, "error": error, "next_try_at": None}
    if state is DeliveryState.SENT:
        may_change: sa.ColumnElement[bool] = deliveries.c.state.not_in((DeliveryState.SENT.value, DeliveryState.CONFIRMED.value))
        # what a person cancelled meanwhile stays accepted as it is
        values["proof"] = sa.case((is_cancelled(), Proof.NONE.value), else_=None if proof is None else proof.value)
        values["error"] = sa.case((is_cancelled(), deliveries.c.error), else_=error)
        values |= {"sent_at": now, "failures": 0}
    else:
        may_change = deliveries.c.state == DeliveryState.QUEUED.value
        values["failures"] = deliveries.c.failures + int(has_failed)
    changed = connection.execute(
        deliveries.update().where(*_of(job), deliveries.c.number == number, may_change).values(**values, attempts=deliveries.c.attempts + 1)
    )
    _settle(connection, job, now)
    return bool(changed.rowcount)


def write_proof(
    connection: sa.Connection,
    job: ProofJob,
    number: int,
    state: DeliveryState,
    error: str | None,
    *,
    now: float,
    proof: Proof | None,
    status: int | None = None,
) -> bool:
    """Record what a destination said of an object that it had acknowledged: CONFIRMED by a proof; SENT, where it did not say (`error`
    says why, and `proof` MISSING that it is not asked any more); QUEUED, where it has lost it; REFUSED (`status` says why) or GIVEN_UP,
    where it never will hold it. An object that was confirmed, or taken up by a person, meanwhile stays as it is, so does
    one that nobody asks for any more where nothing is said of it, and one that a person accepted as it is becomes CONFIRMED at most;
    whether it changed."""
    values: dict[str, object] = {"state": state.value, "error": error, "proof": None if proof is None else proof.value, "next_try_at": None}
    match state:
        case DeliveryState.CONFIRMED:
            values["confirmed_at"] = now
        case DeliveryState.QUEUED | DeliveryState.GIVEN_UP:
            values["lost"] = deliveries.c.lost + 1
        case DeliveryState.REFUSED:
            values["status"] = status
        case DeliveryState.SENT | DeliveryState.REPLACED:
            pass
    acknowledged: sa.ColumnElement[bool] = deliveries.c.state == DeliveryState.SENT.value
    if state is DeliveryState.SENT:
        acknowledged = sa.and_(acknowledged, deliveries.c.proof.is_(None))
    if state is not DeliveryState.CONFIRMED:
        acknowledged = sa.and_(acknowledged, sa.not_(is_cancelled()))
    changed = connection.execute(deliveries.update().where(*_of(job), deliveries.c.number == number, acknowledged).values(**values))
    _settle(connection, job, now)
    return bool(changed.rowcount)


def write_next_try(connection: sa.Connection, job: DeliveryJob | ProofJob, at: float) -> None:
    """Note for people when the objects that still wait are tried again."""
    waits = sa.or_(
        deliveries.c.state == DeliveryState.QUEUED.value,
        sa.and_(deliveries.c.state == DeliveryState.SENT.value, deliveries.c.proof.is_(None)),
    )
    connection.execute(deliveries.update().where(*_of(job), waits).values(next_try_at=at))


def _settle(connection: sa.Connection, job: DeliveryJob | ProofJob, now: float) -> None:
    study = find_study_of(connection, job.result_key)
    if study is not None:
        settle_study(connection, study, now)


def _of(job: DeliveryJob | ProofJob) -> tuple[sa.ColumnElement[bool], ...]:
    return _at(job.result_key, job.destination)


def _at(result_key: str, destination: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (deliveries.c.result_key == result_key, deliveries.c.destination == destination)
