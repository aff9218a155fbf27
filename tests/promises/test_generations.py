"""Late images begin another generation of a study while an older one is at work elsewhere: one report is current in the end, whoever
is first. Two workers' nodes on one journal, with real packages, images and inference; only their order is a test's."""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest
import sqlalchemy as sa
from pydicom.dataset import Dataset

from dicom_node import infer, journal, pipeline
from dicom_node.clock import SystemClock
from dicom_node.config import Config, NodeFile, Peer
from dicom_node.journal.tables import answers, deliveries, results, series, studies
from dicom_node.node import Node, load_packages
from dicom_node.roles import inference
from dicom_node.values import AETitle, CompletenessRule, Priority, Receipt, Result
from tests.faults.studies import make_study, write_package
from tests.journal.conftest import Book, url
from tests.journal.test_forgotten import complete_a_study
from tests.journal.test_two_writers import is_waiting, two
from tests.peers.modality import encode
from tests.peers.waiting import wait_until

__all__ = ["two", "url"]  # fixtures: an empty database of each kind, two books on one

LIMIT_S = 120.0


class GatedDevice(infer.Device):
    """The inference process, which begins an analysis when the test says so."""

    def __init__(self) -> None:
        super().__init__(inference.command(1), SystemClock())
        self.started, self.go, self.analyses = threading.Event(), threading.Event(), 0

    def run(self, request: infer.Request, **limits: Any) -> Result:
        self.started.set()
        assert self.go.wait(LIMIT_S)
        self.analyses += 1
        return super().run(request, **limits)


@dataclass
class Worker:
    """A worker's node, and the job that it has under way."""

    node: Node
    device: GatedDevice
    thread: threading.Thread | None = field(default=None)

    def begin(self, generation: int) -> None:
        """Start a study's job; returns when it has identified its result and would begin its analysis."""
        job = journal.StudyJob(STUDY, generation)
        self.thread = threading.Thread(target=pipeline.run, args=(job, self.node, lambda f, *a, **k: f(*a, **k)))
        self.thread.start()
        assert self.device.started.wait(LIMIT_S)

    def finish(self) -> None:
        self.device.go.set()
        assert self.thread is not None
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        self.device.go.clear()
        self.device.started.clear()

    def run(self, generation: int) -> None:
        self.begin(generation)
        self.finish()


IMAGES = make_study("generations", 14)
STUDY, SERIES = str(IMAGES[0].StudyInstanceUID), str(IMAGES[0].SeriesInstanceUID)


@pytest.fixture
def workers(url: str, tmp_path: Path) -> Iterator[list[Worker]]:
    journal.migrate(url)
    package = write_package(tmp_path / "bright", overlap=0.25)
    peers = {"pacs": Peer(ae_title="PACS", host="127.0.0.1", port=104, may=("receive",))}
    file = NodeFile(ae_title="NODE", data=tmp_path, models=(package,))
    config = Config(file=tmp_path / "node.toml", node=file, peers=peers, data=tmp_path, models=(package,), database=url)
    with ExitStack() as stack:
        made = []
        for _ in range(2):
            device, engine = stack.enter_context(GatedDevice()), journal.open_engine(url)
            stack.callback(engine.dispose)
            made.append(Worker(Node(config, load_packages(config), SystemClock(), device, {}, engine), device))
        yield made


def arrive(worker: Worker, images: list[Dataset]) -> None:
    """Images come, and their series is complete: a job of the study's next generation."""
    node = worker.node
    with journal.open_receipts(node.engine, node.client, node.clock, node.images.has) as receipts:
        for image in images:
            one = encode(image)
            reference = node.images.put(
                one.data_set,
                sop_class_uid=image.SOPClassUID,
                sop_instance_uid=image.SOPInstanceUID,
                transfer_syntax_uid=one.transfer_syntax_uid,
                calling=AETitle("CT"),
                called=AETitle("NODE"),
                source="127.0.0.1",
            )
            receipts.commit(Receipt(reference, STUDY, SERIES, AETitle("CT"), AETitle("NODE"), ""))
    with node.engine.begin() as connection:
        generation = connection.execute(sa.select(series.c.generation)).scalar_one()
        found = journal.read_open_series(connection, journal.Look(STUDY, SERIES, generation, number=0))
        assert found is not None
        journal.close_series(connection, node.client, found, CompletenessRule.COUNT, Priority.ROUTINE)


def reports(worker: Worker) -> list[tuple[str, str | None]]:
    """The reports on their way to the PACS, in the order in which they were made, with the one that each says it replaces."""
    of = sa.select(deliveries).join(results, results.c.key == deliveries.c.result_key).where(deliveries.c.role == "report")
    with worker.node.engine.begin() as connection:
        rows = connection.execute(of.order_by(results.c.number)).all()
    found = []
    for row in rows:
        report = pydicom.dcmread(io.BytesIO(worker.node.kept.path(row.file).read_bytes()))
        before = [one for study in report.get("PredecessorDocumentsSequence", ()) for one in study.ReferencedSeriesSequence]
        found.append((row.sop_instance_uid, before[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID if before else None))
    return found


def older_first(older: Worker, newer: Worker) -> None:
    older.begin(1)
    arrive(older, IMAGES[12:])
    newer.begin(2)
    older.finish()
    newer.finish()


def newer_first(older: Worker, newer: Worker) -> None:
    older.begin(1)
    arrive(older, IMAGES[12:])
    newer.run(2)
    older.finish()


def one_after_the_other(older: Worker, newer: Worker) -> None:
    older.run(1)
    arrive(older, IMAGES[12:])
    newer.run(2)


@pytest.mark.parametrize(("order", "count"), [(older_first, 1), (newer_first, 1), (one_after_the_other, 2)])
def test_one_report_is_current_whoever_is_first(workers: list[Worker], order: Callable[[Worker, Worker], None], count: int) -> None:
    arrive(workers[0], IMAGES[:12])
    order(*workers)
    found = reports(workers[0])
    assert len(found) == count
    assert [replaced for _, replaced in found] == [None, *(uid for uid, _ in found)][:count]  # each names the one before it
    with workers[0].node.engine.begin() as connection:
        (study,) = connection.execute(sa.select(studies)).all()
    assert (study.closed, study.failure) == (2, None)


def test_a_late_job_of_an_older_generation_changes_nothing(workers: list[Worker]) -> None:
    """As of a worker that was taken for dead, or one that goes on after a restart."""
    older, newer = workers
    arrive(older, IMAGES[:12])
    arrive(older, IMAGES[12:])
    newer.run(2)
    before = everything(newer)
    pipeline.run(journal.StudyJob(STUDY, 1), older.node, lambda f, *a, **k: f(*a, **k))
    pipeline.run(journal.StudyJob(STUDY, 2), older.node, lambda f, *a, **k: f(*a, **k))  # its end was not recorded
    assert everything(newer) == before
    assert older.device.analyses == 0


def test_a_result_that_has_come_since_is_not_passed_over(workers: list[Worker]) -> None:
    """The same generation; as where a lost journal's records are entered meanwhile. Whoever judges next finds it, and names it."""
    first, second = workers
    arrive(first, IMAGES[:12])
    first.run(1)
    with first.node.engine.begin() as connection:
        assert journal.judge_again(connection, first.node.client, STUDY)
        (known,) = connection.execute(sa.select(results)).all()
        connection.execute(deliveries.delete())
        connection.execute(results.delete())
    second.begin(2)
    with first.node.engine.begin() as connection:
        connection.execute(results.insert().values(**{**known._asdict(), "key": "ab" * 32}))
    second.finish()
    assert reports(first) == []
    with first.node.engine.begin() as connection:
        connection.execute(sa.text(f"delete from {'dbos.' if connection.dialect.name == 'postgresql' else ''}workflow_status"))
        assert journal.take_up_forgotten(connection, first.node.client, 5000.0) == 1
    first.run(3)
    with first.node.engine.begin() as connection:
        keys = connection.execute(sa.select(results.c.key, results.c.predecessor).order_by(results.c.number)).all()
    assert [predecessor for _, predecessor in keys] == [None, "ab" * 32]


def everything(worker: Worker) -> list[Any]:
    with worker.node.engine.begin() as connection:
        return [
            connection.execute(sa.select(table).order_by(*table.primary_key)).all() for table in (answers, results, deliveries, studies)
        ]


def test_what_an_older_job_writes_stands_before_a_newer_one_is_there(two: list[Book]) -> None:
    """Two connections: the newer generation waits for the transaction that has asked whether its own is the newest, and then says no."""
    book, other = two
    if book.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    complete_a_study(book)

    def judge_again() -> bool:
        with other.engine.begin() as connection:
            return journal.judge_again(connection, other.client, "1.2")

    with ThreadPoolExecutor(1) as thread, book.engine.begin() as connection:
        assert not journal.is_closed(connection, "1.2", 1)
        newer = thread.submit(judge_again)
        wait_until(lambda: is_waiting(book), limit_s=60, what="the newer generation does not wait")
        connection.commit()
        assert newer.result(60)
    with book.engine.begin() as connection:
        assert journal.is_closed(connection, "1.2", 1)
        assert not journal.is_closed(connection, "1.2", 2)
