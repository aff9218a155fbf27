"""Two machines on one PostgreSQL and one bucket, with no folder in common. The object store is an imitation of S3 (moto).

The machines are two nodes on this one, each with its own receiver, worker, configuration and data folder.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.faults.studies import make_study, write_package
from tests.peers.archive import Archive
from tests.peers.bucket import ImitatedS3, start_imitated_s3
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess, started, write_node
from tests.peers.postgres import Postgres
from tests.peers.waiting import wait_until
from tests.promises.studies import wait_until_done
from tests.promises.test_two_workers import has_taken, send_by_turns

OUT_OF_RESOURCES = 0xA700


@pytest.fixture
def store() -> Iterator[ImitatedS3]:
    """One that a test may stop."""
    with start_imitated_s3() as running:
        yield running


def make_node(folder: Path, pacs: Archive, store: ImitatedS3, address: str, database: str = "") -> NodeProcess:
    peer = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["receive"]}
    package = folder.parent / "bright"
    if not package.exists():
        write_package(package)
    node = write_node(folder, peers={"pacs": peer}, models=[package], settings={"spool": address})
    node.environment = {**store.environment, **({"DICOM_NODE_DATABASE": database} if database else {})}
    return node


def send(node: NodeProcess, study: list[Dataset]) -> None:
    with Modality(node.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in study)


@pytest.fixture
def machines(postgres: Postgres, pacs: Archive, store: ImitatedS3, tmp_path: Path) -> Iterator[list[NodeProcess]]:
    address, url = store.create(), postgres.create()
    with ExitStack() as stack:
        yield [stack.enter_context(started(make_node(tmp_path / name, pacs, store, address, url))) for name in ("first", "second")]


def test_a_study_that_came_by_two_machines_is_finished_by_the_one_that_is_left(machines: list[NodeProcess], pacs: Archive) -> None:
    first, second = machines
    studies = [make_study(name) for name in ("one", "two")]
    for study in studies:
        send_by_turns(machines, study)
    wait_until(lambda: first.events("StudyJudged") or second.events("StudyJudged"), limit_s=120, every_s=0.005, what=first._log_end)
    first.kill()
    for study in studies:
        found = wait_until_done(second, study[0].StudyInstanceUID)
        assert found["state"] == "done"
        assert sum(series["instances"] for series in found["series"]) == len(study)
    assert len(pacs.files()) == 2 * len(studies)  # a segmentation and a report each
    for node in machines:
        assert not (node.data / "spool").exists()
        assert not (node.data / "kept").exists()
        assert list((node.data / "incoming").rglob("*.dcm")) == []


def test_a_journal_that_is_lost_is_made_again_from_the_bucket(pacs: Archive, store: ImitatedS3, tmp_path: Path) -> None:
    """On one machine with SQLite: under the same key, and nothing is sent twice."""
    study = make_study("lost")
    with started(make_node(tmp_path / "first", pacs, store, store.create())) as node:
        send(node, study)
        before = wait_until_done(node, study[0].StudyInstanceUID)
        node.kill()
        for file in node.data.glob("journal.sqlite*"):
            file.unlink()
        sent = pacs.files()
        node.start()
        after = wait_until_done(node, study[0].StudyInstanceUID)
    assert [one["key"] for one in after["results"]] == [one["key"] for one in before["results"]]
    assert pacs.files() == sent


def test_while_the_store_is_away_images_are_refused_to_be_sent_again(pacs: Archive, store: ImitatedS3, tmp_path: Path) -> None:
    study = make_study("away")
    with started(make_node(tmp_path / "first", pacs, store, store.create("images"))) as node:
        store.stop()
        with Modality(node.port) as modality:
            assert [modality.store(one) for one in study[:2]] == [OUT_OF_RESOURCES] * 2
        store.start()
        store.create("images")
        assert has_taken(node, study)
        assert wait_until_done(node, study[0].StudyInstanceUID)["state"] == "done"
    assert len(pacs.files()) == 2


def test_a_study_whose_images_cannot_be_read_is_analysed_when_they_can(pacs: Archive, store: ImitatedS3, tmp_path: Path) -> None:
    """The store takes connections and answers none (SIGSTOP), from the last receipt until the worker has said so."""
    study = make_study("silent")
    with started(make_node(tmp_path / "first", pacs, store, store.create())) as node:
        send(node, study)
        store.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: [one for one in node.events("Broken") if one["error"] == "StoreFailed"], limit_s=120, what=node._log_end)
        finally:
            store.signal(signal.SIGCONT)
        assert wait_until_done(node, study[0].StudyInstanceUID)["state"] == "done"
    assert len(pacs.files()) == 2


def test_check_says_that_the_store_does_not_answer_or_has_no_such_bucket(pacs: Archive, store: ImitatedS3, tmp_path: Path) -> None:
    node = make_node(tmp_path / "first", pacs, store, store.create("images"))
    assert "object store" not in check(node)
    node.config.write_text(node.config.read_text().replace("s3://images/", "s3://others/"))
    assert "spool = 's3://others/node'" in check(node)
    assert "(NoSuchBucket)" in check(node)
    store.stop()
    assert "(GenericError)" in check(node)


def check(node: NodeProcess) -> str:
    command = [sys.executable, "-m", "dicom_node", "check", "--config", str(node.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **node.environment})
    return done.stdout + done.stderr
