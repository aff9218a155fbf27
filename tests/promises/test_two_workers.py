"""Two machines on one PostgreSQL and one shared folder: one of them is killed for good, and the other finishes what it had begun.

The machines are two nodes on this one, each with its own receiver, worker and configuration. (Network namespaces: tests/faults.)
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.faults.studies import make_study, write_package
from tests.peers.archive import Archive
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess, stopped_inference, write_node
from tests.peers.postgres import Postgres
from tests.peers.waiting import wait_until
from tests.promises.studies import wait_until_done


@pytest.fixture
def machines(postgres: Postgres, pacs: Archive, tmp_path: Path) -> Iterator[list[NodeProcess]]:
    """Two started nodes that share database and data folder."""
    peer = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["receive"]}
    url, package = postgres.create(), write_package(tmp_path / "bright")
    made = []
    try:
        for name in ("first", "second"):
            node = write_node(tmp_path / name, peers={"pacs": peer}, models=[package], settings={"data": str(tmp_path / "data")})
            node.environment = {"DICOM_NODE_DATABASE": url}
            made.append(node)
            node.start()
        yield made
    finally:
        for node in made:
            if node.process is not None:
                node.kill()


def send_by_turns(machines: list[NodeProcess], study: list[Dataset]) -> None:
    """As a balancer would, each machine takes a part of the study."""
    for turn, node in enumerate(machines):
        with Modality(node.port) as modality:
            assert all(modality.store(one) == 0x0000 for one in study[turn :: len(machines)])


def test_what_a_machine_that_died_had_begun_is_finished_by_the_other(machines: list[NodeProcess], pacs: Archive) -> None:
    """Nobody touches anything: the killed one stays away."""
    first, second = machines
    studies = [make_study(name) for name in ("one", "two", "three")]
    works = "its worker does not work"
    wait_until(lambda: any(one["role"] == "worker" for one in first.events("RoleStarted")), limit_s=120, what=works)
    with stopped_inference(first):  # so that what it has begun is not finished when it dies
        for study in studies:
            send_by_turns(machines, study)
        wait_until(lambda: first.events("StudyJudged"), limit_s=120, what=first._log_end)
        first.kill()
    for study in studies:
        found = wait_until_done(second, study[0].StudyInstanceUID)
        assert found["state"] == "done"
        assert sum(series["instances"] for series in found["series"]) == len(study)
        assert len(found["results"]) == 1
    assert second.events("WorkerTakenOver")
    assert len(pacs.files()) == 2 * len(studies)  # a segmentation and a report each, whatever was sent twice


def test_a_receiver_that_died_holds_up_no_series(machines: list[NodeProcess], pacs: Archive) -> None:
    """Its association broke off with it: the series waits for the sender, who comes back by the other machine."""
    first, second = machines
    study = make_study("broken off")
    with Modality(first.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in study[:5])
        first.kill()
        modality.hang_up()
    with Modality(second.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in study[5:])
    found = wait_until_done(second, study[0].StudyInstanceUID)
    assert second.events("ReceiverLost")
    assert [series["instances"] for series in found["series"]] == [len(study)]
    assert len(pacs.files()) == 2


def test_the_database_dies_and_comes_back(machines: list[NodeProcess], pacs: Archive, postgres: Postgres) -> None:
    """What was acknowledged is there; what was not is not acknowledged; the processes wait, and go on by themselves."""
    study = make_study("database")
    node = machines[0]
    with Modality(node.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in study[:5])
    postgres.kill()
    wait_until(lambda: node.events("JournalAway"), limit_s=60, what=node._log_end)
    postgres.start()
    wait_until(lambda: has_taken(node, study[5:]), limit_s=60, every_s=0.5, what=node._log_end)
    found = wait_until_done(node, study[0].StudyInstanceUID)
    assert [series["instances"] for series in found["series"]] == [len(study)]
    assert len(pacs.files()) == 2


def has_taken(node: NodeProcess, instances: list[Dataset]) -> bool:
    """Send as a modality that tries again: whether all were acknowledged."""
    try:
        with Modality(node.port) as modality:
            return all(modality.store(one) == 0x0000 for one in instances)
    except (OSError, AssertionError):  # nobody listens, or the association was refused
        return False
