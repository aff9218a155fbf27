"""What the journal knows, for a person: rows put together, no patient value among them."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from dicom_node.errors import TitleUnknown
from dicom_node.values import (
    Analysed,
    Answer,
    CompletenessRule,
    DeliveryState,
    Key,
    NotAnalysed,
    ObjectKind,
    Proof,
    Result,
    SearchEnd,
    codec,
    derive_key,
)

from .deliveries import as_kinds
from .kept import Kept
from .priors import Search, is_fetched, read_searches
from .results import ENDED, is_withdrawal
from .tables import answers, conflicts, deliveries, refusals, results, series, studies


@dataclass(frozen=True, slots=True)
class SeriesRow:
    series_instance_uid: str
    calling: str
    instances: int
    is_complete: bool
    rule: CompletenessRule | None
    generation: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An object on its way; `next_try_at` is when it is sent again, or its destination asked again whether it holds it."""

    destination: str
    role: str
    sop_class_uid: str
    sop_instance_uid: str
    state: DeliveryState
    attempts: int
    status: int | None
    error: str | None
    proof: Proof | None
    lost: int
    next_try_at: float | None
    instead_of: tuple[ObjectKind, ...]


@dataclass(frozen=True, slots=True)
class ResultRow:
    """`result` is None where its value has left the node; `findings` is their number, None where nothing was analysed. `is_withdrawal`: it
    says that its predecessor was withdrawn by a person."""

    key: str
    series_instance_uid: str
    package: str
    version: str
    findings: int | None
    result: Result | None
    predecessor: str | None
    made_at: float
    objects: tuple[ObjectRow, ...]

    @property
    def is_withdrawal(self) -> bool:
        return is_withdrawal(self.key, self.predecessor)


@dataclass(frozen=True, slots=True)
class StudyRow:
    """`failure` names the class of the error that ended the study's job, or is None."""

    study_instance_uid: str
    key: Key
    state: str
    failure: str | None
    series: tuple[SeriesRow, ...]
    results: tuple[ResultRow, ...]
    conflicts: int
    is_prior: bool  # the node fetched it itself: its results are sent to nobody
    search: Search | None  # for its own prior, at a PACS


@dataclass(frozen=True, slots=True)
class RefusalRow:
    calling: str
    status: int
    comment: str
    times: int


def read_studies(connection: sa.Connection, kept: Kept, study_instance_uid: str | None, limit: int) -> tuple[StudyRow, ...]:
    """One study, or the newest ones."""
    query = sa.select(studies).order_by(studies.c.first_seen.desc()).limit(limit)
    if study_instance_uid is not None:
        query = query.where(studies.c.study_instance_uid == study_instance_uid)
    return tuple(_study(connection, kept, row) for row in connection.execute(query).all())


def find_study(connection: sa.Connection, text: str) -> str | None:
    """The UID of a study given by its UID or by its key as log lines have it."""
    uid = studies.c.study_instance_uid
    found = connection.execute(sa.select(uid).where(sa.or_(uid == text, studies.c.key == text))).scalars().first()
    if found is not None:
        return str(found)
    without_key = connection.execute(sa.select(uid).where(studies.c.key.is_(None))).scalars()  # of the version before, while it still runs
    return next((str(one) for one in without_key if derive_key(one).text == text), None)


def read_refusals(connection: sa.Connection) -> tuple[RefusalRow, ...]:
    """Instances that were not taken, the most frequent first."""
    rows = connection.execute(sa.select(refusals).order_by(refusals.c.times.desc()))
    return tuple(RefusalRow(row.calling, row.status, row.comment, row.times) for row in rows)


def _study(connection: sa.Connection, kept: Kept, row: sa.Row[tuple[object, ...]]) -> StudyRow:
    uid = str(row.study_instance_uid)
    all_series = _series(connection, uid)
    all_results = _results(connection, kept, uid)
    set_aside = sa.select(sa.func.count()).select_from(conflicts).where(conflicts.c.study_instance_uid == uid)
    if any(not item.is_complete for item in all_series):
        state = "open"
    elif not all_series and row.generation == 0:
        state = "set-aside"  # all its images have the UIDs of another study's
    elif row.closed < row.generation or row.generation == 0:
        state = "working"
    else:
        state = _closed_state(row.failure, [one for result in all_results for one in result.objects])
    return StudyRow(
        study_instance_uid=uid,
        key=derive_key(uid),
        state=state,
        failure=row.failure,
        series=all_series,
        results=all_results,
        conflicts=connection.execute(set_aside).scalar_one(),
        is_prior=is_fetched(connection, uid),
        search=next((one for one in read_searches(connection, uid) if one.ended is not SearchEnd.UNWANTED), None),
    )


def _closed_state(failure: str | None, objects: Sequence[ObjectRow]) -> str:
    """The state of a study whose job is finished."""
    states, errors = {one.state for one in objects}, {one.error for one in objects if one.state is DeliveryState.QUEUED}
    sent = [one for one in objects if one.state is DeliveryState.SENT and one.error not in ENDED]
    if errors & _FOR_A_PERSON:
        return "undelivered"  # and tried again all the same
    if DeliveryState.QUEUED in states:
        return "delivering"
    if failure:
        return "failed"
    if any(one.state in (DeliveryState.REFUSED, DeliveryState.GIVEN_UP) and one.error not in ENDED for one in objects):
        return "undelivered"
    if any(one.proof is None for one in sent):
        return "confirming"
    return "unconfirmed" if any(one.proof is Proof.MISSING for one in sent) else "done"


# What is tried again, and will hardly work before somebody has set something right.
_FOR_A_PERSON = {TitleUnknown.__name__}


def _series(connection: sa.Connection, study_instance_uid: str) -> tuple[SeriesRow, ...]:
    said: dict[str, list[Answer]] = {}
    for row in connection.execute(
        sa.select(answers).where(answers.c.study_instance_uid == study_instance_uid).order_by(answers.c.package, answers.c.volume)
    ):
        answer = codec.load(row.answer.encode())
        said.setdefault(row.series_instance_uid, []).append(answer)
    rows = connection.execute(
        sa.select(series).where(series.c.study_instance_uid == study_instance_uid).order_by(series.c.series_instance_uid)
    )
    return tuple(
        SeriesRow(
            series_instance_uid=row.series_instance_uid,
            calling=row.calling,
            instances=row.instances,
            is_complete=row.is_complete,
            rule=CompletenessRule(row.rule) if row.rule else None,
            generation=row.generation,
            answers=tuple(said.get(row.series_instance_uid, ())),
        )
        for row in rows
    )


def _results(connection: sa.Connection, kept: Kept, study_instance_uid: str) -> tuple[ResultRow, ...]:
    rows = connection.execute(sa.select(results).where(results.c.study_instance_uid == study_instance_uid).order_by(results.c.number)).all()
    return tuple(
        ResultRow(
            key=row.key,
            series_instance_uid=row.series_instance_uid,
            package=row.package,
            version=row.version,
            findings=row.findings,
            result=_as_result(kept.find_value(row.kept)),
            predecessor=row.predecessor,
            made_at=row.made_at,
            objects=read_objects(connection, row.key),
        )
        for row in rows
    )


def read_objects(connection: sa.Connection, key: str) -> tuple[ObjectRow, ...]:
    """The objects that were made of a result, for all its destinations."""
    rows = connection.execute(
        sa.select(deliveries).where(deliveries.c.result_key == key).order_by(deliveries.c.destination, deliveries.c.number)
    )
    return tuple(
        ObjectRow(
            row.destination,
            row.role,
            row.sop_class_uid,
            row.sop_instance_uid,
            DeliveryState(row.state),
            row.attempts,
            row.status,
            row.error,
            None if row.proof is None else Proof(row.proof),
            row.lost,
            row.next_try_at,
            as_kinds(row.instead_of),
        )
        for row in rows
    )


def _as_result(value: object) -> Result | None:
    assert isinstance(value, Analysed | NotAnalysed | None)
    return value
