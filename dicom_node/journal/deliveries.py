"""What was sent where, object by object."""

from dataclasses import dataclass

import sqlalchemy as sa

from dicom_node.values import DeliveryState, ReportRef, Role

from .engine import Client, DeliveryJob
from .tables import deliveries


@dataclass(frozen=True, slots=True)
class Waiting:
    """An object that a destination has not acknowledged; `number` is its place in the order, `file` its name in `kept`."""

    number: int
    role: Role
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    file: str


def start_delivery(connection: sa.Connection, client: Client, result_key: str, destination: str, objects: tuple[Waiting, ...]) -> None:
    """Queue a result's objects for a destination, with their job; the same again changes nothing."""
    present = sa.select(deliveries.c.number).where(deliveries.c.result_key == result_key, deliveries.c.destination == destination)
    if connection.execute(present).first() is None:
        for waiting in objects:
            connection.execute(
                deliveries.insert().values(
                    result_key=result_key,
                    destination=destination,
                    number=waiting.number,
                    role=waiting.role.value,
                    sop_class_uid=waiting.sop_class_uid,
                    sop_instance_uid=waiting.sop_instance_uid,
                    series_instance_uid=waiting.series_instance_uid,
                    file=waiting.file,
                    state=DeliveryState.QUEUED.value,
                    attempts=0,
                )
            )
    client.enqueue_delivery(connection, DeliveryJob(result_key, destination, attempt=0))


def find_waiting(connection: sa.Connection, job: DeliveryJob) -> tuple[Waiting, ...]:
    """The objects of a job that still have to be sent, in their order."""
    rows = connection.execute(
        sa.select(deliveries).where(*_of(job), deliveries.c.state == DeliveryState.QUEUED.value).order_by(deliveries.c.number)
    )
    return tuple(
        Waiting(row.number, Role(row.role), row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid, row.file) for row in rows
    )


def find_report(connection: sa.Connection, result_key: str, destination: str) -> ReportRef | None:
    """The report of a result that was made for a destination; None where none was."""
    row = connection.execute(
        sa.select(deliveries).where(
            deliveries.c.result_key == result_key,
            deliveries.c.destination == destination,
            deliveries.c.role == Role.REPORT.value,
        )
    ).first()
    return None if row is None else ReportRef(row.sop_class_uid, row.sop_instance_uid, row.series_instance_uid)


def write_outcome(
    connection: sa.Connection, job: DeliveryJob, number: int, state: DeliveryState, status: int | None, error: str | None
) -> None:
    """Record what became of one object; `error` is the name of an error's class."""
    connection.execute(
        deliveries.update()
        .where(*_of(job), deliveries.c.number == number)
        .values(state=state.value, status=status, error=error, attempts=deliveries.c.attempts + 1)
    )


def _of(job: DeliveryJob) -> tuple[sa.ColumnElement[bool], ...]:
    return (deliveries.c.result_key == job.result_key, deliveries.c.destination == job.destination)
