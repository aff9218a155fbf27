"""A journal made again from what is kept beside results: which there were, and what of them was made for whom."""

from collections.abc import Callable, Iterable, Sequence

import sqlalchemy as sa

from dicom_node.values import DeliveryState, Proof, derive_key
from dicom_node.values.records import DeliveryRecord, FetchedRecord, Record, ResultRecord

from .deliveries import insert_object
from .priors import enter_fetched, find_fetched
from .results import insert_result, is_withdrawal, settle_study
from .store import insert_unless_there
from .tables import deliveries, results, studies
from .withdrawals import stop_what_was_withdrawn


def enter_records(connection: sa.Connection, records: Iterable[Record], proof_of: Callable[[str], Proof], now: float) -> int:
    """Enter what the journal does not know; gives the number of results.

    Of an object that was made nobody knows any more whether it was sent. A destination that is asked for a proof counts as having
    acknowledged it, so that it is asked and only what it lacks is sent again; to another one everything is sent again, under the same
    UIDs. Of a result that the journal knows, it knows the deliveries too. What a person has withdrawn is sent nowhere.
    """
    known = tuple(records)
    made = _in_order([record for record in known if isinstance(record, ResultRecord)])
    entered = {record.key for record in made if insert_result(connection, record)}
    for sent in (record for record in known if isinstance(record, DeliveryRecord) and record.result_key in entered):
        state = DeliveryState.QUEUED if proof_of(sent.destination) is Proof.NONE else DeliveryState.SENT
        for one in sent.objects:
            insert_object(connection, sent.result_key, sent.destination, one, state)
    keys = {record.result_key for record in known if isinstance(record, DeliveryRecord)}
    sent_of = {record.study_instance_uid for record in made if record.key in keys}  # it came by itself too, or a person asked for it
    for fetched in (record for record in known if isinstance(record, FetchedRecord)):
        if fetched.study_instance_uid not in sent_of:
            enter_fetched(connection, fetched)
    stop_what_was_withdrawn(connection, [record.key for record in made if record.key in entered], now)
    return len(entered)


def _in_order(records: Sequence[ResultRecord]) -> list[ResultRecord]:
    """As they were made; a withdrawal behind what it withdraws, whatever the clock said then."""
    times = {record.key: record.made_at for record in records}

    def place(record: ResultRecord) -> tuple[float, bool, str]:
        is_behind = is_withdrawal(record.key, record.predecessor)
        return max(record.made_at, times.get(record.predecessor or "", 0.0) if is_behind else 0.0), is_behind, record.key

    return sorted(records, key=place)


def enter_studies_without_images(connection: sa.Connection, is_kept: Callable[[str], bool], now: float) -> int:
    """A row for each study of which there are results and no images any more: retention had removed them; gives how many.

    Where the files of a result's objects are gone too, nothing of it is left to do. To be called when all images are entered.
    """
    alone = sa.select(results.c.study_instance_uid, sa.func.min(results.c.made_at)).where(
        sa.not_(sa.exists().where(studies.c.study_instance_uid == results.c.study_instance_uid))
    )
    found = connection.execute(alone.group_by(results.c.study_instance_uid)).all()
    for uid, made_at in found:
        row = {"study_instance_uid": uid, "key": derive_key(uid).text, "generation": 1, "closed": 1, "first_seen": made_at}
        insert_unless_there(connection, studies, {**row, "images_removed_at": now})
        of_study = sa.select(deliveries.c.file).join(results, results.c.key == deliveries.c.result_key)
        files = connection.execute(of_study.where(results.c.study_instance_uid == uid)).scalars().all()
        gone = [file for file in files if not is_kept(file)]
        settled = {"state": DeliveryState.SENT.value, "proof": Proof.NONE.value}
        connection.execute(deliveries.update().where(deliveries.c.file.in_(gone)).values(settled))
        settle_study(connection, uid, now)
    return len(found)


def find_identities(connection: sa.Connection, study_instance_uid: str) -> tuple[tuple[str, ...], ...]:
    """What the records of a study's results, of what was made of them, and of its coming are about."""
    of_study = sa.select(results.c.key).where(results.c.study_instance_uid == study_instance_uid)
    keys = connection.execute(of_study).scalars().all()
    pairs = sa.select(deliveries.c.result_key, deliveries.c.destination).where(deliveries.c.result_key.in_(of_study)).distinct()
    fetched = find_fetched(connection, study_instance_uid)
    found = *(("result", str(key)) for key in keys), *(("delivery", *row) for row in connection.execute(pairs))
    return found if fetched is None else (*found, fetched.identity)


def is_known(connection: sa.Connection, record: Record) -> bool:
    """Whether the journal knows what a record is about: a result, or a study that was sent as a prior."""
    if isinstance(record, FetchedRecord):  # of a study that is here and not fetched any more it was not lost: it has no meaning now
        here = sa.select(studies.c.key).where(studies.c.study_instance_uid == record.study_instance_uid)
        return find_fetched(connection, record.study_instance_uid) is not None or connection.execute(here).first() is not None
    key = record.key if isinstance(record, ResultRecord) else record.result_key
    return connection.execute(sa.select(results.c.key).where(results.c.key == key)).first() is not None
