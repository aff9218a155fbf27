"""Searches for a patient's earlier study at a PACS, and what came of them. Of the patient nothing is here: studies are named by UIDs."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from dicom_node.values import SearchEnd
from dicom_node.values.records import FetchedRecord

from .results import has_open_series
from .store import insert_unless_there
from .tables import fetched, results, searches, series, studies


@dataclass(frozen=True, slots=True)
class Search:
    """The search that began with a series of a study. `began_at` by the clock of `journal.now`; `error` names a class of `errors`."""

    study_instance_uid: str
    series_instance_uid: str
    began_at: float
    ended: SearchEnd | None
    peer: str | None
    prior: str | None
    error: str | None


def read_searches(connection: sa.Connection, study_instance_uid: str) -> tuple[Search, ...]:
    """The searches of a study, those that somebody wanted first."""
    rows = connection.execute(
        sa.select(searches).where(searches.c.study_instance_uid == study_instance_uid).order_by(searches.c.began_at)
    ).all()
    found = [_search(row) for row in rows]
    return tuple(sorted(found, key=lambda one: one.ended is SearchEnd.UNWANTED))


def find_unended(connection: sa.Connection) -> tuple[Search, ...]:
    """Searches that have not ended: those of a worker that died, where none is under way."""
    return tuple(map(_search, connection.execute(sa.select(searches).where(searches.c.ended.is_(None))).all()))


def begin_search(connection: sa.Connection, study_instance_uid: str, series_instance_uid: str, now: float, *, is_wanted: bool) -> bool:
    """Note that a search begins, or that none is wanted for the series; whether it begins here and now: only one does for a study."""
    is_under_way = any(one.ended is not SearchEnd.UNWANTED for one in read_searches(connection, study_instance_uid))
    begins = is_wanted and not is_under_way
    row: dict[str, object] = {"study_instance_uid": study_instance_uid, "series_instance_uid": series_instance_uid, "began_at": now}
    return insert_unless_there(connection, searches, {**row, "ended": None if begins else SearchEnd.UNWANTED.value}) and begins


def note_prior(
    connection: sa.Connection, search: Search, peer: str, study_instance_uid: str, uids: Collection[str]
) -> FetchedRecord | None:
    """Note, before they are asked for, which series of which study a PACS is to send; None where nothing of it is to come. Series that
    are here already came by themselves, and stay what they are; but where the search goes on after a crash, those that it had asked for."""
    connection.execute(searches.update().where(_is(search)).values(peer=peer, prior=study_instance_uid))
    known = sa.select(series.c.series_instance_uid).where(series.c.study_instance_uid == study_instance_uid)
    wanted = set(uids) - set(connection.execute(known).scalars())
    if search.prior == study_instance_uid:  # the search was cut before: what it had asked for may be here in part
        before = find_fetched(connection, study_instance_uid)
        wanted |= set(uids) & set(() if before is None else before.series_instance_uids)
    for uid in sorted(wanted):
        insert_unless_there(connection, fetched, {"study_instance_uid": study_instance_uid, "series_instance_uid": uid})
    return find_fetched(connection, study_instance_uid) if wanted else None


def end_search(connection: sa.Connection, search: Search, ended: SearchEnd, peer: str | None = None, error: str | None = None) -> None:
    """Note how a search ended, and at which PACS; the first word stands."""
    end = {"ended": ended.value, "peer": peer, "error": error}
    connection.execute(searches.update().where(_is(search), searches.c.ended.is_(None)).values(end))


def find_fetched(connection: sa.Connection, study_instance_uid: str) -> FetchedRecord | None:
    """The series of a study that were sent as a prior's; None where there is none."""
    of_study = sa.select(fetched.c.series_instance_uid).where(fetched.c.study_instance_uid == study_instance_uid)
    uids = tuple(sorted(connection.execute(of_study).scalars()))
    return FetchedRecord(study_instance_uid, uids) if uids else None


def is_fetched(connection: sa.Connection, study_instance_uid: str) -> bool:
    """Whether all that is here of a study was sent as a prior's: its results stay here."""
    found = find_fetched(connection, study_instance_uid)
    if found is None:
        return False
    here = sa.select(series.c.series_instance_uid).where(series.c.study_instance_uid == study_instance_uid)
    return set(connection.execute(here).scalars()) <= set(found.series_instance_uids)


def release_fetched(connection: sa.Connection, study_instance_uid: str) -> bool:
    """What is made of a study from now on is sent like that of any other, and its own prior is looked for; whether that is news."""
    unwanted = sa.and_(searches.c.study_instance_uid == study_instance_uid, searches.c.ended == SearchEnd.UNWANTED.value)
    is_news = bool(connection.execute(fetched.delete().where(fetched.c.study_instance_uid == study_instance_uid)).rowcount)
    if is_news:
        connection.execute(searches.delete().where(unwanted))
    return is_news


def find_asked_for(connection: sa.Connection, arrived: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Which of some series (study, series) the node had sent to itself as a prior's."""
    uids = fetched.c.study_instance_uid, fetched.c.series_instance_uid
    rows = connection.execute(sa.select(*uids).where(uids[0].in_({study for study, _ in arrived}))).all()
    return frozenset({(row[0], row[1]) for row in rows} & set(arrived))


def came_by_itself(connection: sa.Connection, study_instance_uid: str, is_asked_for: bool | None) -> bool:
    """Whether images of a study that was fetched as a prior did not come because of that: to be asked under the study's lock.

    Their sender says for whom it sends them (PS3.7 9.1.1.1.11), or does not, as some do not even for a C-MOVE. Those count as asked for
    while the search that asks is under way, and no image of the study has said so; for the others nobody has asked.
    """
    here = fetched.c.study_instance_uid == study_instance_uid
    if is_asked_for is False:
        return True
    said = set(connection.execute(sa.select(fetched.c.is_said).where(here, fetched.c.is_said.is_not(None))).scalars())
    is_said = is_asked_for is True
    asks = sa.select(searches.c.prior).where(searches.c.prior == study_instance_uid, searches.c.ended.is_(None))
    if (not is_said) in said or (not is_said and connection.execute(asks).first() is None):
        return True
    connection.execute(fetched.update().where(here).values(is_said=is_said))
    return False


def is_judged(connection: sa.Connection, study_instance_uid: str) -> bool:
    """Whether a study is here, whole, and everything that was to be made of it is made."""
    asked = sa.select(studies.c.closed, studies.c.generation).where(studies.c.study_instance_uid == study_instance_uid)
    study = connection.execute(asked).first()
    if study is None or study.generation == 0 or study.closed < study.generation:
        return False
    return not has_open_series(connection, study_instance_uid)


def has_result(connection: sa.Connection, study_instance_uid: str, packages: Collection[str]) -> bool:
    """Whether one of some packages has analysed a study."""
    here = sa.and_(results.c.study_instance_uid == study_instance_uid, results.c.package.in_(packages), results.c.findings.is_not(None))
    return connection.execute(sa.select(results.c.key).where(here).limit(1)).first() is not None


def enter_fetched(connection: sa.Connection, record: FetchedRecord) -> None:
    """Enter what a journal does not know any more."""
    for uid in record.series_instance_uids:
        insert_unless_there(connection, fetched, {"study_instance_uid": record.study_instance_uid, "series_instance_uid": uid})


def _search(row: sa.Row[tuple[object, ...]]) -> Search:
    values = dict(row._mapping)
    return Search(**{**values, "ended": None if values["ended"] is None else SearchEnd(values["ended"])})


def _is(search: Search) -> sa.ColumnElement[bool]:
    return sa.and_(searches.c.study_instance_uid == search.study_instance_uid, searches.c.series_instance_uid == search.series_instance_uid)
