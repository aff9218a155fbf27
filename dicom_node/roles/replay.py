"""The spool put through again, into whatever journal there is, also an empty one."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_node import journal, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.values import Proof, Receipt, derive_key
from dicom_node.values.records import DeliveryRecord, FetchedRecord, ResultRecord


@dataclass(frozen=True, slots=True)
class Replayed:
    """Instances that the journal did not know, studies that are judged anew, objects that are sent again."""

    entered: int
    judged: int
    resent: int


def replay_spool(config: Config, study: str, clock: Clock) -> Replayed | None:
    """Enter what the journal does not know, judge every complete study (or the one given) anew, send what was refused or given up.

    A series that is new to the journal becomes complete as if it had just arrived, and its study is judged then. None where the
    study that is asked for is in neither journal nor spool.
    """
    config.data.mkdir(parents=True, exist_ok=True)
    journal.migrate(config.database)
    engine = journal.open_engine(config.database)
    client = journal.Client(engine, look_delay_s=config.first_look_s)
    with engine.begin() as connection:
        wanted = journal.find_study(connection, study) if study else None
    kept = journal.open_kept(config)
    if wanted is None:  # a journal that knows the study that is asked for knows its results
        _enter_results(config, engine, kept, clock.now())
    studies: set[str] = set()

    def receipts_of() -> Iterator[Receipt]:
        for receipt in spool.open_spool(config).list():
            if study and study not in (uid := receipt.study_instance_uid, derive_key(uid).text) and wanted != uid:
                continue
            studies.add(receipt.study_instance_uid)
            yield receipt

    with journal.open_receipts(engine, client, clock) as receipts:
        entered = receipts.enter(receipts_of())
    if not study:
        with engine.begin() as connection:
            journal.enter_studies_without_images(connection, kept.has, clock.now())
    judged = resent = 0
    for uid in sorted(studies):
        with engine.begin() as connection:
            journal.begin_writing(connection)
            judged += journal.has_all_images(connection, uid) and journal.judge_again(connection, client, uid)
            resent += journal.send_again(connection, client, uid, clock.now())
    engine.dispose()
    return Replayed(entered, judged, resent) if studies or not study else None


def rebuild_journal(config: Config, clock: Clock) -> int:
    """Make SQLite's journal again from what lies on the disk; the old file is set aside. Gives the number of instances.

    It is made in a file beside it, which takes its place when it is whole: a crash on the way leaves the old one, for another try.
    """
    made = journal.make_beside(config.database)
    done = replay_spool(config.model_copy(update={"database": made}), "", clock)
    journal.set_aside(config.database, f"damaged-{clock.now():.0f}")
    journal.put_in_place(config.database, made)
    return 0 if done is None else done.entered


def _enter_results(config: Config, engine: journal.SqlEngine, kept: journal.Kept, now: float) -> None:
    """Before the images, so that each study finds the results that it has led to, and what was made of them for whom."""

    def records() -> Iterator[ResultRecord | DeliveryRecord | FetchedRecord]:
        for record in kept.read_records():
            match record:
                case ResultRecord() if not kept.has(record.kept):
                    yield dataclasses.replace(record, kept="")  # removed after its time: which one it was still counts
                case ResultRecord() | DeliveryRecord() | FetchedRecord():
                    yield record

    with engine.begin() as connection:
        proofs = {name: peer.proof_asked for name, peer in config.peers.items()}
        journal.enter_records(connection, records(), lambda name: proofs.get(name, Proof.NONE), now)
