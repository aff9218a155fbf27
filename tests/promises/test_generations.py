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
from dicom_node.config import Config, InferSection, NodeFile, Peer
from dicom_node.errors import ChildDied, ChildRaised, ChildTooSlow, is_for_now
from dicom_node.journal.tables import answers, deliveries, results, series, studies
from dicom_node.node import Node, load_packages
from dicom_node.roles.device import command
from dicom_node.values import AETitle, CompletenessRule, Priority, Receipt, Result, derive_uid
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
        super().__init__(command(InferSection(threads=1), Path("untuned")), SystemClock())
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


def make_better() -> list[Dataset]:
    """Another series of the same study, with more slices: the one that the package would choose."""
    found = make_study("generations", 18)
    for image in found:
        image.SeriesInstanceUID = derive_uid("test", "better", SERIES)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = derive_uid("test", "better", str(image.SOPInstanceUID))
    return found


BETTER = make_better()


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
    begin_to_arrive(worker, images)
    complete(worker, str(images[0].SeriesInstanceUID))


def begin_to_arrive(worker: Worker, images: list[Dataset]) -> None:
    node, uid = worker.node, str(images[0].SeriesInstanceUID)
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
            receipts.commit(Receipt(reference, STUDY, uid, AETitle("CT"), AETitle("NODE"), ""))


def complete(worker: Worker, uid: str) -> None:
    node = worker.node
    with node.engine.begin() as connection:
        generation = connection.execute(sa.select(series.c.generation).where(series.c.series_instance_uid == uid)).scalar_one()
        found = journal.read_open_series(connection, journal.Look(STUDY, uid, generation, number=0))
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


def test_a_job_makes_nothing_of_a_study_of_which_another_series_arrives(workers: list[Worker]) -> None:
    """Decision 0003: which series is best is asked when all are here. The job may have waited long, or have been at work."""
    older, newer = workers
    arrive(older, IMAGES)
    older.begin(1)
    begin_to_arrive(older, BETTER)
    older.finish()
    pipeline.run(journal.StudyJob(STUDY, 1), newer.node, lambda f, *a, **k: f(*a, **k))  # as one that had waited until now
    assert (reports(older), newer.device.analyses) == ([], 0)
    with older.node.engine.begin() as connection:
        assert journal.take_up_forgotten(connection, older.node.client, 5000.0) == 0  # its turn comes when the series is complete
    complete(older, str(BETTER[0].SeriesInstanceUID))
    newer.run(2)
    assert len(reports(newer)) == 1
    with newer.node.engine.begin() as connection:
        assert connection.execute(sa.select(results.c.series_instance_uid)).scalars().all() == [str(BETTER[0].SeriesInstanceUID)]
        assert connection.execute(sa.select(studies.c.closed)).scalar_one() == 2


def test_a_better_series_that_comes_later_takes_the_place_of_the_first(workers: list[Worker]) -> None:
    older, newer = workers
    arrive(older, IMAGES)
    older.run(1)
    arrive(older, BETTER)
    newer.run(2)
    found = reports(newer)
    assert [replaced for _, replaced in found] == [None, found[0][0]]
    before = everything(newer)
    with newer.node.engine.begin() as connection:
        assert journal.judge_again(connection, newer.node.client, STUDY)
    pipeline.run(journal.StudyJob(STUDY, 3), newer.node, lambda f, *a, **k: f(*a, **k))  # by hand: the same once more
    assert everything(newer)[1:3] == before[1:3]


def test_a_disk_that_is_away_is_not_the_models_fault(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """The job ends without a word, and is started again; the study is not said to be analysed, nor failed."""
    worker = workers[0]
    arrive(worker, IMAGES)
    monkeypatch.setattr(worker.device, "run", failing(ChildRaised("SpoolFailed", for_now=True)))
    with pytest.raises(ChildRaised) as caught:
        pipeline.run(journal.StudyJob(STUDY, 1), worker.node, lambda f, *a, **k: f(*a, **k))
    assert is_for_now(caught.value)
    with worker.node.engine.begin() as connection:
        assert connection.execute(sa.select(studies.c.closed)).scalar_one() == 0
        assert connection.execute(sa.select(results)).all() == []


@pytest.mark.parametrize("error", [ChildDied(-11), ChildRaised("ValueError"), ChildTooSlow(60.0)])
def test_a_study_on_which_the_model_fails_waits_for_a_person(
    workers: list[Worker], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Its images stay, it is among the dead, and another try analyses it."""
    worker = workers[0]
    arrive(worker, IMAGES)
    monkeypatch.setattr(worker.device, "run", failing(error))
    pipeline.run(journal.StudyJob(STUDY, 1), worker.node, lambda f, *a, **k: f(*a, **k))
    with worker.node.engine.begin() as connection:
        (study,) = connection.execute(sa.select(studies)).all()
    assert (study.closed, study.failure, study.done_at) == (1, "AnalysisFailed", None)
    monkeypatch.undo()
    with worker.node.engine.begin() as connection:
        assert journal.judge_again(connection, worker.node.client, STUDY)
    worker.run(2)
    assert len(reports(worker)) == 1
    with worker.node.engine.begin() as connection:
        assert connection.execute(sa.select(studies.c.failure)).scalar_one() is None


def failing(error: Exception) -> Callable[..., Result]:
    def run(*_: object, **__: object) -> Result:
        raise error

    return run


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
