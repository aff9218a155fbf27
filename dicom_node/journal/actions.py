"""What people and rules did, for good: it is shown by `dicom-node jobs show` and stays when what it was done to is gone."""

from dataclasses import dataclass

import sqlalchemy as sa

from .tables import actions


@dataclass(frozen=True, slots=True)
class Action:
    """`actor` is `retention`, or `cli:` and a user of this machine; `subject` a Study Instance UID, or a job."""

    at: float
    actor: str
    action: str
    subject: str
    amount: int | None


def write_action(connection: sa.Connection, actor: str, action: str, subject: str, at: float, amount: int | None = None) -> None:
    """Record an action in the transaction that it is done in."""
    connection.execute(actions.insert().values(at=at, actor=actor, action=action, subject=subject, amount=amount))


def read_actions(connection: sa.Connection, subject: str) -> tuple[Action, ...]:
    """What was done to a subject, the oldest first."""
    rows = connection.execute(sa.select(actions).where(actions.c.subject == subject).order_by(actions.c.number))
    return tuple(Action(row.at, row.actor, row.action, row.subject, row.amount) for row in rows)
