"""The spool put through again, into whatever journal there is, also an empty one."""

from dataclasses import dataclass

from dicom_node import journal, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.values import derive_key
from dicom_node.values.receipts import Known


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
    entered, studies = 0, set()
    with journal.open_receipts(engine, client, clock) as receipts:
        for receipt in spool.Spool(config.spool).list():
            if study and study not in (uid := receipt.study_instance_uid, derive_key(uid).text) and wanted != uid:
                continue
            entered += receipts.commit(receipt) is Known.NEW
            studies.add(receipt.study_instance_uid)
    judged = resent = 0
    for uid in sorted(studies):
        with engine.begin() as connection:
            judged += journal.judge_again(connection, client, uid)
            resent += journal.send_again(connection, client, uid, clock.now())
    engine.dispose()
    return Replayed(entered, judged, resent) if studies or not study else None
