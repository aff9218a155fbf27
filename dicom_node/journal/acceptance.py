"""Which SOP classes a destination does not accept, as far as it was seen."""

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from .store import insert_unless_there
from .tables import refused_classes

# An association says of each class that was proposed whether it is accepted. That an object of an accepted class is refused all the same
# (0122) is only seen where one is sent: so long it is believed, then it is tried again.
_BELIEVED_S = 86400.0


def read_refused_classes(connection: sa.Connection, destination: str, now: float | None = None) -> frozenset[str]:
    """The classes that a destination is believed not to accept; without a time those that it did not accept, however long ago."""
    here = refused_classes.c.destination == destination
    is_believed = sa.true() if now is None else sa.or_(refused_classes.c.status.is_(None), refused_classes.c.at > now - _BELIEVED_S)
    return frozenset(connection.execute(sa.select(refused_classes.c.sop_class_uid).where(here, is_believed)).scalars())


def write_acceptance(
    connection: sa.Connection,
    destination: str,
    refused: Mapping[str, int | None],
    accepted: Collection[str],
    stored: Collection[str],
    now: float,
) -> None:
    """Note what an association has shown, where that is news. `refused`: by class the status of an object's answer, None where the class
    itself was not accepted; `accepted`: in the association; `stored`: of which an object was taken."""
    here = refused_classes.c.destination == destination
    news = dict(refused)
    for row in connection.execute(sa.select(refused_classes).where(here)).all():
        if row.sop_class_uid in refused:
            is_past = row.status != refused[row.sop_class_uid] or (row.status is not None and row.at <= now - _BELIEVED_S)
        else:
            is_past = row.sop_class_uid in stored or (row.sop_class_uid in accepted and row.status is None)
        if is_past:
            connection.execute(refused_classes.delete().where(here, refused_classes.c.sop_class_uid == row.sop_class_uid))
        else:
            news.pop(row.sop_class_uid, None)
    for sop_class, status in news.items():
        insert_unless_there(
            connection, refused_classes, {"destination": destination, "sop_class_uid": sop_class, "status": status, "at": now}
        )
