"""A person withdraws what packages have said of a study: it is sent nowhere any more, and stands as withdrawn for good.

A withdrawal is a row among the results whose predecessor is the result that it withdraws, and whose key is derived from that result's: so
it is there once, and who knows a result knows by one look whether it was withdrawn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dicom_node.values import DeliveryState, Proof, ReportRef, Role, WithdrawnAt

from .engine import Client, delivery_prefix, find_alive, proof_prefix
from .results import WITHDRAWN, is_withdrawal, lock_study, settle_study
from .tables import deliveries, results

_UNSENT = (DeliveryState.QUEUED.value, DeliveryState.REFUSED.value, DeliveryState.GIVEN_UP.value)
_HELD = (DeliveryState.SENT.value, DeliveryState.CONFIRMED.value)


@dataclass(frozen=True, slots=True)
class Standing:
    """A result that stands: its row, with the keys of all that is withdrawn with it, and where objects of these are."""

    key: str
    study_instance_uid: str
    series_instance_uid: str
    volume: int
    package: str
    kept: str
    keys: tuple[str, ...]
    places: tuple[WithdrawnAt, ...]


def find_standing(connection: sa.Connection, study_instance_uid: str, package: str = "") -> tuple[Standing, ...]:
    """The results of a study, of all packages or one, that no person has withdrawn, and that no other one has replaced.

    What says that nothing was analysed goes with the package's result on the same volume, else with its newest; where there is no result,
    the newest of these stands for all. What is sent at this moment counts as there: its answer is on its way.
    """
    of_study = sa.select(results).where(results.c.study_instance_uid == study_instance_uid).order_by(results.c.number)
    rows = [row for row in connection.execute(of_study) if not package or row.package == package]
    found: list[Standing] = []
    for name in dict.fromkeys(row.package for row in rows):
        found += _find_of_package(connection, [row for row in rows if row.package == name])
    return tuple(found)


def hold_study(connection: sa.Connection, study_instance_uid: str) -> None:
    """Let nothing of a study change until the transaction ends: deliveries first, as the worker locks them, then the study itself, which
    keeps other results from being added."""
    order = deliveries.c.result_key, deliveries.c.destination, deliveries.c.number
    of_study = sa.select(results.c.key).where(results.c.study_instance_uid == study_instance_uid)
    connection.execute(sa.select(*order).where(deliveries.c.result_key.in_(of_study)).order_by(*order).with_for_update()).all()
    lock_study(connection, study_instance_uid)


def stop_sending(connection: sa.Connection, client: Client | None, keys: Sequence[str]) -> None:
    """What of these results was not sent is not sent, and nobody is asked any more for what was: a person has withdrawn them."""
    here = deliveries.c.result_key.in_(keys)
    rows = connection.execute(sa.select(deliveries.c.result_key, deliveries.c.destination).where(here).distinct()).all()
    unsent = sa.and_(here, deliveries.c.state.in_(_UNSENT))
    ended = {"error": WITHDRAWN, "next_try_at": None}
    connection.execute(deliveries.update().where(unsent).values(**ended, state=DeliveryState.GIVEN_UP.value))
    is_unproven = sa.or_(deliveries.c.proof.is_(None), deliveries.c.proof == Proof.MISSING.value)
    unproven = sa.and_(here, deliveries.c.state == DeliveryState.SENT.value, is_unproven)
    connection.execute(deliveries.update().where(unproven).values(**ended, proof=Proof.MISSING.value))
    if client is None:
        return
    about = {prefix(row.result_key, row.destination) for row in rows for prefix in (delivery_prefix, proof_prefix)}
    for job in find_alive(connection).waiting(about):
        client.cancel(connection, job)


def stop_what_was_withdrawn(connection: sa.Connection, keys: Iterable[str], now: float) -> None:
    """The same in a journal that is made again, for withdrawals that it has just come to know: a withdrawal takes back all that its package
    had said of the study before."""
    for key in keys:
        row = connection.execute(sa.select(results).where(results.c.key == key)).one()
        if not is_withdrawal(row.key, row.predecessor):
            continue
        same = results.c.study_instance_uid == row.study_instance_uid, results.c.package == row.package
        before = connection.execute(sa.select(results).where(*same, results.c.number < row.number)).all()
        stop_sending(connection, None, [one.key for one in before if not is_withdrawal(one.key, one.predecessor)])
        settle_study(connection, row.study_instance_uid, now)


def _find_of_package(connection: sa.Connection, rows: Sequence[Any]) -> list[Standing]:
    """Of all rows of a package in a study, in their order: a withdrawal has taken back all that there were before."""
    last = max((place for place, row in enumerate(rows, 1) if is_withdrawal(row.key, row.predecessor)), default=0)
    by_key = {row.key: row for row in rows[last:]}
    replaced = {row.predecessor for row in by_key.values()}
    heads = [row for row in by_key.values() if row.findings is not None and row.key not in replaced]
    refusals = [row for row in by_key.values() if row.findings is None]
    heads = heads or refusals[-1:]
    keys: dict[str, list[str]] = {}
    for head in heads:
        line = [head]
        while (before := by_key.get(line[-1].predecessor or "")) is not None:
            line.append(before)
        keys[head.key] = [row.key for row in line]
    for refusal in refusals:
        same = [head for head in heads if (head.series_instance_uid, head.volume) == (refusal.series_instance_uid, refusal.volume)]
        of = keys[(same or heads)[-1].key]
        if refusal.key not in of:
            of.append(refusal.key)
    return [
        Standing(
            key=head.key,
            study_instance_uid=head.study_instance_uid,
            series_instance_uid=head.series_instance_uid,
            volume=head.volume,
            package=head.package,
            kept=head.kept,
            keys=tuple(keys[head.key]),
            places=_find_places(connection, keys[head.key]),
        )
        for head in heads
    ]


def _find_places(connection: sa.Connection, keys: Sequence[str]) -> tuple[WithdrawnAt, ...]:
    """Where objects of these results are, but for notes on others."""
    alive = find_alive(connection)
    may_be_there = deliveries.c.state.in_((*_HELD, DeliveryState.QUEUED.value))
    asked = sa.select(deliveries).where(deliveries.c.result_key.in_(keys), may_be_there, deliveries.c.role != Role.REJECTION.value)
    found: dict[str, list[ReportRef]] = {}
    for row in connection.execute(asked.order_by(deliveries.c.destination, deliveries.c.result_key, deliveries.c.number)):
        if row.state in _HELD or alive.is_running([delivery_prefix(row.result_key, row.destination)]):
            reference = ReportRef(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid)
            found.setdefault(row.destination, []).append(reference)
    return tuple(WithdrawnAt(destination, tuple(objects)) for destination, objects in found.items())
