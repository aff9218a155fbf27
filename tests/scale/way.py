"""The real code of the journal, as the roles call it, for one study at a time: receipt, look, analysis, delivery, proof."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from dicom_node import journal
from dicom_node.clock import SystemClock
from dicom_node.journal import jobs, retention
from dicom_node.journal.engine import status_table
from dicom_node.journal.tables import results, series, studies
from dicom_node.values import (
    Accepted,
    AETitle,
    CompletenessRule,
    DeliveryState,
    InstanceRef,
    NotAnalysed,
    PackageRef,
    Priority,
    Proof,
    Receipt,
    Refused,
    Role,
)
from dicom_node.values.reasons import ModelFailed, TooFew
from dicom_node.values.receipts import Known
from dicom_node.values.records import DeliveryRecord, ResultRecord

from .names import INSTANCE_COLUMNS, Named, instance_row

DESTINATION = "pacs"
PACKAGE = PackageRef("ct-lung-nodule", "1.0.0", "0" * 64, "2.25.1", "Lung nodules", "dicom-node", product=False)
SENDERS = 16  # associations that send at once


@dataclass
class Way:
    """An open journal and what the roles do with it."""

    url: str
    engine: sa.Engine
    client: journal.Client
    receipts: journal.Receipts
    kept: journal.Kept
    clock: SystemClock
    pool: ThreadPoolExecutor

    # -- receive -----------------------------------------------------------------------------------------------------------

    def receipt(self, named: Named, index: int) -> Receipt:
        row = dict(zip(INSTANCE_COLUMNS, instance_row(named, index, 0.0, None), strict=True))
        reference = InstanceRef(**{name: row[name] for name in InstanceRef.__slots__})  # type: ignore[arg-type]
        association = f"receiver:1.{named.number % SENDERS}"
        return Receipt(reference, named.study, str(row["series_instance_uid"]), AETitle("CT1"), AETitle("DICOM-NODE"), association)

    def receive(self, named: Named, indices: range, expected: Known = Known.NEW) -> None:
        """One after the other, as from one association."""
        for index in indices:
            assert self.receipts.commit(self.receipt(named, index)) is expected

    def receive_at_once(self, named: Named, indices: range) -> None:
        """As from many associations: all that wait share a transaction."""
        assert set(self.pool.map(lambda index: self.receipts.commit(self.receipt(named, index)), indices)) == {Known.NEW}

    # -- assemble ----------------------------------------------------------------------------------------------------------

    def complete(self, named: Named) -> None:
        """The looks of all its series: asked, sampled, closed."""
        for uid in named.series:
            look = journal.Look(named.study, uid, generation=0, number=0)
            with self.engine.begin() as connection:
                assert journal.read_open_series(connection, look) is not None
            with self.engine.begin() as connection:
                assert journal.read_sample(connection, look) is not None
            with self.engine.begin() as connection:
                found = journal.read_open_series(connection, look)
                assert found is not None
                journal.now(connection, self.clock)
                journal.close_series(connection, self.client, found, CompletenessRule.COUNT, Priority.ROUTINE)

    # -- analyse -----------------------------------------------------------------------------------------------------------

    def read(self, named: Named) -> int:
        """The instances of the study, as its job begins with; gives how many."""
        with self.engine.begin() as connection:
            return sum(len(one.instances) for one in journal.read_complete_series(connection, named.study))

    def analyse(self, named: Named) -> None:
        """What the job of a study writes, beside the model's own time."""
        choice = Accepted(PACKAGE.name, named.series[0], 0, (1.25,), chosen=True, because=(("slice_thickness_mm", "1.25"),))
        other = Refused(PACKAGE.name, named.series[1], 0, (), TooFew(1, 3))
        result = NotAnalysed(named.result_key, named.study, named.series[0], PACKAGE, ModelFailed(3))
        with self.engine.begin() as connection:
            journal.write_answers(connection, named.study, (choice, other))
        with self.engine.begin() as connection:
            journal.find_latest(connection, named.study, choice, of_study=True)
        record = ResultRecord.of(choice, result, self.kept.write_value(result), self.clock.now())
        with self.engine.begin() as connection:
            assert journal.find_result(connection, choice, named.result_key) is None
        with self.engine.begin() as connection:
            journal.write_result(connection, record)
        with self.engine.begin() as connection:
            journal.start_delivery(connection, self.client, DeliveryRecord(named.result_key, DESTINATION, self.objects(named)))
        with self.engine.begin() as connection:
            journal.close_study(connection, named.study, 1, self.clock.now())

    def objects(self, named: Named) -> tuple[journal.Waiting, ...]:
        segmentation, report, series = named.made
        return (
            journal.Waiting(0, Role.SEGMENTATION, "1.2.840.10008.5.1.4.1.1.66.4", segmentation, series, f"{named.result_key[:40]}.dcm"),
            journal.Waiting(1, Role.REPORT, "1.2.840.10008.5.1.4.1.1.88.34", report, f"{series[:60]}.1", f"{named.result_key[24:]}.dcm"),
        )

    # -- deliver -----------------------------------------------------------------------------------------------------------

    def deliver(self, named: Named) -> None:
        """Both objects acknowledged, then proven."""
        job = journal.DeliveryJob(named.result_key, DESTINATION, attempt=0)
        with self.engine.begin() as connection:
            waiting = journal.find_waiting(connection, job)
        with self.engine.begin() as connection:
            for one in waiting:
                journal.write_outcome(connection, job, one.number, DeliveryState.SENT, 0, None, now=self.clock.now(), proof=None)
            priority = journal.find_priority(connection, named.result_key)
            self.client.enqueue_proof(connection, journal.ProofJob(named.result_key, DESTINATION, attempt=0), priority)

    def prove(self, named: Named) -> None:
        asked = journal.ProofJob(named.result_key, DESTINATION, attempt=0)
        with self.engine.begin() as connection:
            unproven = journal.find_unproven(connection, asked)
            assert len(unproven) == 2
        with self.engine.begin() as connection:
            for one in unproven:
                now = self.clock.now()
                journal.write_proof(connection, asked, one.number, DeliveryState.CONFIRMED, None, now=now, proof=Proof.FIND)

    def close_again(self, named: Named, uid: str) -> None:
        """After a late image: its series is complete again, and its study finished anew."""
        with self.engine.begin() as connection:
            here = sa.and_(series.c.study_instance_uid == named.study, series.c.series_instance_uid == uid)
            generation = connection.execute(sa.select(series.c.generation).where(here)).scalar_one()
            found = journal.read_open_series(connection, journal.Look(named.study, uid, generation, number=0))
            assert found is not None
            journal.close_series(connection, self.client, found, CompletenessRule.COUNT, Priority.ROUTINE)
            judged = sa.select(studies.c.generation).where(studies.c.study_instance_uid == named.study)
            journal.close_study(connection, named.study, connection.execute(judged).scalar_one(), self.clock.now())

    # -- besides -----------------------------------------------------------------------------------------------------------

    def show(self, named: Named) -> None:
        """`dicom-node status STUDY`, by the key that log lines have."""
        with self.engine.begin() as connection:
            uid = journal.find_study(connection, named.key)
            (row,) = journal.read_studies(connection, self.kept, uid, 1)
            assert row.study_instance_uid == named.study

    def list_newest(self) -> None:
        """`dicom-node status`."""
        with self.engine.begin() as connection:
            assert journal.read_studies(connection, self.kept, None, 20)
            journal.read_refusals(connection)

    def list_jobs(self) -> None:
        """`dicom-node jobs list`."""
        with self.engine.begin() as connection:
            assert jobs.read_jobs(connection, 20)

    def sweep(self) -> None:
        """What the worker does twice a minute; everything has its job."""
        with self.engine.begin() as connection:
            assert journal.take_up_forgotten(connection, self.client, self.clock.now()) == 0

    def count_open(self) -> None:
        assert journal.count_open_studies(self.engine, 5000) is not None

    def remove_oldest_images(self, now: float) -> None:
        """What retention does with the next study in turn, the files themselves left out."""
        with self.engine.begin() as connection:
            (study,) = retention.find_done(connection, now, 1)
            assert retention.mark_images(connection, study, now, must_be_done=True)
        gone = 1
        while gone:
            with self.engine.begin() as connection:
                gone = retention.remove_images(connection, study, lambda _: None, now)
        with self.engine.begin() as connection:
            assert retention.finish_images(connection, study, lambda _: None, now)

    def find_garbage(self, named: Named) -> None:
        """Whether kept files are named by anything: some of a study's, and some that nobody names."""
        names = [one.file for one in self.objects(named)] + [f"{number:040x}.value" for number in range(50)]
        with self.engine.begin() as connection:
            assert retention.find_named(connection, names)

    def is_done(self, named: Named) -> bool:
        with self.engine.begin() as connection:
            asked = sa.select(studies.c.done_at).where(studies.c.study_instance_uid == named.study)
            return connection.execute(asked).scalar_one() is not None

    def finish_jobs(self, named: Named) -> None:
        """What the engine notes when the jobs of a study have ended."""
        with self.engine.begin() as connection:
            table = status_table(connection)
            mine = sa.or_(*(table.c.workflow_uuid.between(prefix, f"{prefix}~") for prefix in _prefixes(named)))
            ended = {"status": "SUCCESS", "completed_at": int(1000 * self.clock.now())}
            connection.execute(table.update().where(mine).values(ended))

    def known_results(self) -> int:
        with self.engine.begin() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(results)).scalar_one())


def _prefixes(named: Named) -> tuple[str, ...]:
    looks = (f"look-{named.study}-{uid}-" for uid in named.series)
    return (*looks, f"study-{named.study}-", f"deliver-{named.result_key}-", f"prove-{named.result_key}-")


@contextmanager
def open_way(url: str, folder: Path) -> Iterator[Way]:
    """The journal of a URL in the newest schema, and its kept values in `folder`."""
    journal.migrate(url)
    engine, clock = journal.open_engine(url), SystemClock()
    client = journal.Client(engine, look_delay_s=10.0)
    with journal.open_receipts(engine, client, clock) as receipts, ThreadPoolExecutor(SENDERS) as pool:
        yield Way(url, engine, client, receipts, journal.Kept(folder), clock, pool)
    engine.dispose()


def run_study(way: Way, named: Named, instances: int) -> None:
    """Everything of one study, in its order."""
    way.receive_at_once(named, range(instances))
    way.complete(named)
    way.analyse(named)
    way.deliver(named)
    way.prove(named)
    way.finish_jobs(named)
