"""Other objects in place of those that a destination does not take."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dicom_node.errors import NoPresentationContext
from dicom_node.values import DeliveryState, ObjectKind, Role
from dicom_node.values.records import DeliveryRecord, SentObject

from .deliveries import as_kinds, as_text, insert_object, read_delivery
from .engine import DeliveryJob
from .results import find_study_of, settle_study
from .store import begin_writing
from .tables import deliveries

_HELD = (DeliveryState.SENT.value, DeliveryState.CONFIRMED.value)
_OPEN = (DeliveryState.QUEUED.value, DeliveryState.REPLACED.value)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """`refused`: how many objects have nothing in their place. `is_new`: something is to be sent that was not tried before. `delivery`
    as it stands now."""

    refused: int
    is_new: bool
    delivery: DeliveryRecord


def replace_objects(
    connection: sa.Connection,
    job: DeliveryJob,
    refused: Mapping[str, int | None],
    made: Sequence[SentObject],
    forms: Mapping[ObjectKind, tuple[Role, str]],
    now: float,
) -> Exchanged:
    """Let what was made for a destination that does not take these SOP classes stand in place of what waits there.

    `refused`: by SOP class the status that its object was answered with, None where there was no presentation context. `made`: the whole
    set that it gets, none where nothing could be made; `forms`: role and SOP class of each kind. What waits and is in the set stays.
    What is not is replaced, where something in the set is sent in its place, or in its role; else what is of a refused class is refused,
    and the rest waits on. What the destination has acknowledged stays, and nothing else is sent in the same role. The same
    again changes nothing.
    """
    begin_writing(connection)
    here = sa.and_(deliveries.c.result_key == job.result_key, deliveries.c.destination == job.destination)
    rows = connection.execute(sa.select(deliveries).where(here).order_by(deliveries.c.number).with_for_update()).all()
    refusals, is_new = 0, False
    if any(row.state == DeliveryState.QUEUED.value for row in rows):  # else a person has ended it meanwhile
        fitting = _find_fitting(rows, made)
        refusals, is_revived = _change(connection, here, rows, fitting, refused, forms)
        is_new = _insert(connection, job, rows, fitting) or is_revived
    study = find_study_of(connection, job.result_key)
    if study is not None:
        settle_study(connection, study, now)
    return Exchanged(refusals, is_new, read_delivery(connection, job.result_key, job.destination))


def _find_fitting(rows: Sequence[Any], made: Sequence[SentObject]) -> Sequence[SentObject]:
    """What of the set may stand beside what the destination holds: nothing in the role of something that was made in another series.

    Nothing at all where the set names another segmentation than the one that it holds: the node, or its configuration, is another one
    than when that was made.
    """
    held: dict[str, set[str]] = {}
    for row in rows:
        if row.state in _HELD:
            held.setdefault(row.role, set()).add(row.series_instance_uid)
    fitting = [one for one in made if one.role.value not in held or one.series_instance_uid in held[one.role.value]]
    needs_segmentation = Role.SEGMENTATION.value in held
    return fitting if not needs_segmentation or any(one.role is Role.SEGMENTATION for one in fitting) else ()


def _change(
    connection: sa.Connection,
    here: sa.ColumnElement[bool],
    rows: Sequence[Any],
    fitting: Sequence[SentObject],
    refused: Mapping[str, int | None],
    forms: Mapping[ObjectKind, tuple[Role, str]],
) -> tuple[int, bool]:
    """What becomes of the objects that are there: how many are refused, and whether one that had been replaced is sent after all."""
    wanted = {one.sop_instance_uid: one for one in fitting}
    roles = {one.role.value for one in fitting}
    refusals, is_revived = 0, False
    for row in rows:
        status, is_queued = refused.get(row.sop_class_uid), row.state == DeliveryState.QUEUED.value
        is_refused = row.sop_class_uid in refused
        values: dict[str, object] = {"next_try_at": None}
        if row.sop_instance_uid in wanted and row.state in _OPEN:
            is_revived = is_revived or not is_queued
            values |= {"state": DeliveryState.QUEUED.value, "instead_of": as_text(wanted[row.sop_instance_uid].instead_of)}
            if not is_queued:
                values |= {"status": None, "error": None}
        elif not is_queued:
            continue
        elif is_refused:
            is_replaced = any(_takes_place(one, row, forms) for one in fitting)
            error = NoPresentationContext.__name__ if status is None else None
            values |= {"state": _STATES[is_replaced], "status": status, "error": error, "attempts": deliveries.c.attempts + 1}
            refusals += not is_replaced
        elif row.role in roles:
            values |= {"state": DeliveryState.REPLACED.value, "status": None, "error": None}
        else:
            continue
        connection.execute(deliveries.update().where(here, deliveries.c.number == row.number).values(**values))
    return refusals, is_revived


_STATES = {True: DeliveryState.REPLACED.value, False: DeliveryState.REFUSED.value}


def _insert(connection: sa.Connection, job: DeliveryJob, rows: Sequence[Any], fitting: Sequence[SentObject]) -> bool:
    """Queue what is not there yet, with the numbers that follow; whether there was any."""
    known = {row.sop_instance_uid for row in rows}
    new = [one for one in fitting if one.sop_instance_uid not in known]
    first = max(row.number for row in rows) + 1
    for number, one in enumerate(new, start=first):
        insert_object(connection, job.result_key, job.destination, dataclasses.replace(one, number=number), DeliveryState.QUEUED)
    return bool(new)


def _takes_place(made: SentObject, row: Any, forms: Mapping[ObjectKind, tuple[Role, str]]) -> bool:
    """Whether an object is sent in place of a row's, or of what that is sent in place of, or is that itself."""
    stood_for = set(as_kinds(row.instead_of))
    wanted = stood_for | {kind for kind, form in forms.items() if form == (Role(row.role), row.sop_class_uid)}
    itself = {kind for kind, form in forms.items() if form == (made.role, made.sop_class_uid)}
    return not wanted.isdisjoint(made.instead_of) or not stood_for.isdisjoint(itself)
