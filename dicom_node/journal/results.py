"""Results and answers: what became of a study."""

import dataclasses
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from dicom_node.errors import ImagesHaveLeft
from dicom_node.log import StudyFailed, log
from dicom_node.values import (
    Accepted,
    Answer,
    DeliveryState,
    PatientDigests,
    Priority,
    PriorRef,
    Proof,
    Refused,
    ResultIdentity,
    codec,
    derive_key,
    derive_withdrawal_key,
)
from dicom_node.values.records import ResultRecord

from .store import insert_unless_there
from .tables import answers, deliveries, instances, is_going, results, series, studies, was_out_of_service

# What `failure` and `error` say of what a person ended.
CANCELLED = "CancelledByOperator"
WITHDRAWN = "WithdrawnByOperator"
ENDED = (CANCELLED, WITHDRAWN)
# What `failure` says of a study that is not judged with a part of its images.
IMAGES_HAVE_LEFT = ImagesHaveLeft.__name__


def write_answers(connection: sa.Connection, study_instance_uid: str, found: tuple[Answer, ...]) -> None:
    """Replace what the packages said about a study."""
    connection.execute(answers.delete().where(answers.c.study_instance_uid == study_instance_uid))
    for answer in found:
        connection.execute(
            answers.insert().values(
                study_instance_uid=study_instance_uid,
                series_instance_uid=answer.series_instance_uid,
                volume=answer.volume,
                package=answer.package,
                answer=codec.dump(answer).decode(),
                reason=type(answer.reason).__name__ if isinstance(answer, Refused) and answer.reason is not None else None,
            )
        )


def find_result(connection: sa.Connection, choice: Accepted, key: str) -> str | None:
    """The name of the kept result of a key, or None where there is none yet."""
    return connection.execute(
        sa.select(results.c.kept).where(results.c.key == key, results.c.package == choice.package, results.c.kept != "")
    ).scalar_one_or_none()


def find_row(connection: sa.Connection, key: str) -> sa.Row[Any] | None:
    """The row of a result."""
    return connection.execute(sa.select(results).where(results.c.key == key)).first()


def forget_value(connection: sa.Connection, key: str) -> None:
    """The value of a result is not on the disk any more."""
    connection.execute(results.update().where(results.c.key == key, results.c.kept != "").values(kept=""))


def may_follow(connection: sa.Connection, study_instance_uid: str, choice: Accepted, identity: ResultIdentity, *, of_study: bool) -> bool:
    """Whether the newest result of a choice is the one that an identity was made after, or the same; asked under the study's lock."""
    latest = find_latest(connection, study_instance_uid, choice, of_study=of_study)
    if latest is None:
        return identity.predecessor_key is None
    key, _ = latest
    return key == identity.key or (find_withdrawal(connection, key) or key) == identity.predecessor_key


def is_withdrawal(key: str, predecessor: str | None) -> bool:
    """Whether a result's row is that of a withdrawal, by its key and its predecessor's."""
    return predecessor is not None and key == derive_withdrawal_key(predecessor)


def find_withdrawal(connection: sa.Connection, key: str) -> str | None:
    """The key of the withdrawal of a result; None where nobody has withdrawn it."""
    withdrawal = derive_withdrawal_key(key)
    return connection.execute(sa.select(results.c.key).where(results.c.key == withdrawal)).scalar_one_or_none()


def find_latest(connection: sa.Connection, study_instance_uid: str, choice: Accepted, *, of_study: bool) -> tuple[str, str] | None:
    """Key and predecessor's key ("" for none) of the newest analysed result of the choice's package on its volume.

    `of_study`: on whatever volume of the study, for a package that gives one result for all of it.
    """
    same_volume = sa.and_(results.c.series_instance_uid == choice.series_instance_uid, results.c.volume == choice.volume)
    row = connection.execute(
        sa.select(results.c.key, results.c.predecessor)
        .where(
            results.c.study_instance_uid == study_instance_uid,
            sa.true() if of_study else same_volume,
            results.c.package == choice.package,
            results.c.findings.is_not(None),
        )
        .order_by(results.c.number.desc())
        .limit(1)
    ).first()
    return None if row is None else (row.key, row.predecessor or "")


def find_prior(
    connection: sa.Connection, choice: Accepted, study_instance_uid: str, patient: PatientDigests, is_kept: Callable[[str], bool]
) -> PriorRef | None:
    """The newest result of the choice's package on an earlier study of the patient, of a study whose newest one nobody has withdrawn; None
    where its value has left, whatever older ones there are: a comparison with them would take the place of the one with it.

    Birth dates must be known and the same, and family names where both are known: an ID may have been given twice.
    """
    if patient.birth_digest is None:
        return None
    same_name: sa.ColumnElement[bool] = sa.true()
    if patient.family_digest is not None:
        same_name = sa.or_(results.c.family_digest.is_(None), results.c.family_digest == patient.family_digest)
    rows = connection.execute(
        sa.select(results)
        .where(
            results.c.patient_digest == patient.patient_digest,
            results.c.package == choice.package,
            results.c.study_date < patient.study_date,
            results.c.study_instance_uid != study_instance_uid,
            results.c.birth_digest == patient.birth_digest,
            same_name,
            results.c.findings.is_not(None),
        )
        .order_by(results.c.study_date.desc(), results.c.study_instance_uid, results.c.number.desc())
    ).all()
    newest = {row.study_instance_uid: row for row in reversed(rows)}  # of each study; of several, in their order
    in_order = (newest[uid] for uid in dict.fromkeys(row.study_instance_uid for row in rows))
    row = next((one for one in in_order if find_withdrawal(connection, one.key) is None), None)
    if row is None or not is_kept(row.kept):
        return None
    of_series = instances.c.study_instance_uid == row.study_instance_uid, instances.c.series_instance_uid == row.series_instance_uid
    asked = sa.select(instances.c.sop_class_uid, instances.c.sop_instance_uid).where(*of_series).order_by(instances.c.sop_instance_uid)
    images = tuple((one.sop_class_uid, one.sop_instance_uid) for one in connection.execute(asked))
    return PriorRef(row.study_instance_uid, row.series_instance_uid, row.study_date, row.key, version=row.version, images=images)


def write_result(connection: sa.Connection, record: ResultRecord) -> None:
    """Record a result once; the same key again changes nothing, but for one that was not analysed, or was removed by a rule since.

    Whose it is is added to what a version before this one recorded.
    """
    if insert_result(connection, record):
        return
    if record.patient_digest is not None:
        whose = {name: getattr(record, name) for name in ("patient_digest", "birth_digest", "family_digest", "study_date")}
        connection.execute(results.update().where(results.c.key == record.key, results.c.patient_digest.is_(None)).values(whose))
    is_open: sa.ColumnElement[bool] = results.c.findings.is_(None)
    if record.findings is not None:  # one whose value was lost stays what was sent, where another try fails
        is_open = sa.or_(is_open, results.c.kept == "")
    anew = {"kept": record.kept, "findings": record.findings, "made_at": record.made_at}
    connection.execute(results.update().where(results.c.key == record.key, is_open).values(anew))


def insert_result(connection: sa.Connection, record: ResultRecord) -> bool:
    """Record a result whose key is not known; whether it was not."""
    of_study = sa.select(sa.func.count()).select_from(results).where(results.c.study_instance_uid == record.study_instance_uid)
    number = connection.execute(of_study).scalar_one()
    return insert_unless_there(connection, results, {**dataclasses.asdict(record), "number": number})


def close_study(connection: sa.Connection, study_instance_uid: str, generation: int, now: float, failure: str | None = None) -> None:
    """A generation of a study is finished, or failed for the reason named by an error's class."""
    connection.execute(
        studies.update()
        .where(studies.c.study_instance_uid == study_instance_uid, studies.c.closed < generation)
        .values(closed=generation, failure=failure)
    )
    settle_study(connection, study_instance_uid, now)


def leave_unjudged(connection: sa.Connection, study_instance_uid: str, now: float) -> None:
    """Some of a study's images have left: nothing is made of the rest, its answers and results stay, and it says why."""
    here = studies.c.study_instance_uid == study_instance_uid
    connection.execute(studies.update().where(here).values(closed=studies.c.generation, failure=IMAGES_HAVE_LEFT))
    settle_study(connection, study_instance_uid, now)
    log(StudyFailed(derive_key(study_instance_uid), ImagesHaveLeft))


def has_all_images(connection: sa.Connection, study_instance_uid: str) -> bool:
    """Whether no image of a study has left the node, or is about to, until the transaction ends."""
    lock_study(connection, study_instance_uid)  # retention decides under it
    here = studies.c.study_instance_uid == study_instance_uid
    going = sa.select(instances.c.sop_instance_uid).where(instances.c.study_instance_uid == study_instance_uid, is_going)
    removed = sa.select(studies.c.key).where(here, studies.c.images_removed_at.is_not(None))
    return connection.execute(removed).first() is None and connection.execute(going.limit(1)).first() is None


def has_open_series(connection: sa.Connection, study_instance_uid: str) -> bool:
    """Whether a series of a study is not complete."""
    still_open = sa.select(series.c.series_instance_uid).where(
        series.c.study_instance_uid == study_instance_uid, sa.not_(series.c.is_complete)
    )
    return connection.execute(still_open.limit(1)).first() is not None


def is_closed(connection: sa.Connection, study_instance_uid: str, generation: int) -> bool:
    """Whether a generation of a study is finished, failed or cancelled, or a newer one does its work: also one that begins only when
    what is arriving now is complete (decision 0003). It stays so until the transaction ends: what is written meanwhile stands before
    whatever a newer generation finds."""
    lock_study(connection, study_instance_uid)
    asked = sa.select(studies.c.closed, studies.c.generation).where(studies.c.study_instance_uid == study_instance_uid)
    study = connection.execute(asked).first()
    if study is None or study.closed >= generation or study.generation > generation:
        return True
    return has_open_series(connection, study_instance_uid)


def lock_study(connection: sa.Connection, study_instance_uid: str) -> None:
    """Hold a study until the transaction ends, on SQLite too, where a transaction that only reads has no lock."""
    here = studies.c.study_instance_uid == study_instance_uid
    connection.execute(studies.update().where(here).values(generation=studies.c.generation))


def settle_study(connection: sa.Connection, study_instance_uid: str, now: float) -> bool:
    """Note since when nothing of a study is left to do, or that something is; whether it is done.

    Done: every series complete, its job finished without a failure and no package out of service that would have to see it, every object
    confirmed, or acknowledged where its destination is not asked for more, or given up by a person. A study of which images have left
    is done as it was: what came again leaves too.
    """
    here = studies.c.study_instance_uid == study_instance_uid
    study = connection.execute(sa.select(studies).where(here).with_for_update()).first()
    if study is None:
        return False
    awaited = sa.select(answers.c.package).where(answers.c.study_instance_uid == study_instance_uid, was_out_of_service)
    unsettled = (
        sa.select(deliveries.c.number)
        .join(results, results.c.key == deliveries.c.result_key)
        .where(results.c.study_instance_uid == study_instance_uid, sa.not_(is_settled()))
    )
    is_judged = study.failure is None and connection.execute(awaited.limit(1)).first() is None
    finished = study.generation > 0 and study.closed >= study.generation and (is_judged or study.failure in (CANCELLED, IMAGES_HAVE_LEFT))
    done = finished and not has_open_series(connection, study_instance_uid) and connection.execute(unsettled.limit(1)).first() is None
    if done != (study.done_at is not None):
        # Not before it came, whatever the machine's clock says: retention counts from here.
        connection.execute(studies.update().where(here).values(done_at=max(now, study.first_seen) if done else None))
    return done


def is_settled() -> sa.ColumnElement[bool]:
    """Whether nothing is left to do for an object at a destination: true or false, never SQL's third answer, whose negation is none."""
    return sa.or_(
        deliveries.c.state.in_((DeliveryState.CONFIRMED.value, DeliveryState.REPLACED.value)),
        sa.and_(deliveries.c.state == DeliveryState.SENT.value, sa.func.coalesce(deliveries.c.proof, "") == Proof.NONE.value),
        is_cancelled(),
    )


def is_cancelled() -> sa.ColumnElement[bool]:
    """Whether a person ended an object's way, and accepted it as it is; `jobs retry` takes that back, but not a withdrawal."""
    return sa.func.coalesce(deliveries.c.error, "").in_(ENDED)


def find_study_of(connection: sa.Connection, result_key: str) -> str | None:
    """The study that a result belongs to."""
    return connection.execute(sa.select(results.c.study_instance_uid).where(results.c.key == result_key)).scalar_one_or_none()


def find_priority(connection: sa.Connection, result_key: str) -> Priority:
    """The priority of the study that a result belongs to."""
    of_study = sa.select(studies.c.priority).join(results, results.c.study_instance_uid == studies.c.study_instance_uid)
    found = connection.execute(of_study.where(results.c.key == result_key)).scalar_one_or_none()
    return Priority.ROUTINE if found is None else Priority(found)
