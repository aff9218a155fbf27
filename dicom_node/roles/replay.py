"""The spool put through again, into whatever journal there is, also an empty one."""

from dicom_node import journal, spool
from dicom_node.clock import Clock
from dicom_node.config import Config
from dicom_node.values.receipts import Known


def replay_spool(config: Config, study: str, clock: Clock) -> tuple[int, int]:
    """Enter what the journal does not know, judge every complete study (or the one given) anew; gives both counts.

    A series that is new to the journal becomes complete as if it had just arrived, and its study is judged then.
    """
    config.data.mkdir(parents=True, exist_ok=True)
    journal.migrate(config.database)
    engine = journal.open_engine(config.database)
    client = journal.Client(engine, look_delay_s=config.first_look_s)
    with engine.begin() as connection:
        wanted = journal.find_study(connection, study) if study else None
    entered, known_studies = 0, set()
    with journal.open_receipts(engine, client, clock) as receipts:
        for receipt in spool.Spool(config.spool).list():
            if study and receipt.study_instance_uid not in (study, wanted):
                continue
            if receipts.commit(receipt) is Known.NEW:
                entered += 1
            known_studies.add(receipt.study_instance_uid)
    judged = 0
    for uid in sorted(known_studies):
        with engine.begin() as connection:
            judged += journal.judge_again(connection, client, uid)
    engine.dispose()
    return entered, judged
