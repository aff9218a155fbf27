"""From the database and spool of the first version, with jobs open, to this one: everything that was begun is finished."""

import subprocess
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.faults.studies import make_study, write_package
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess, stopped_inference, write_node
from tests.peers.orthanc import start_orthanc
from tests.peers.ports import find_free_port
from tests.peers.waiting import wait_until
from tests.places import REPOSITORY
from tests.promises.studies import results_in, wait_until_done

FIRST_VERSION = "223deaa"  # the last commit of issue 12: schema 0001


@pytest.fixture(scope="module")
def first_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first version's code, from the repository's own history."""
    packed = subprocess.run(["git", "archive", FIRST_VERSION, "dicom_node"], cwd=REPOSITORY, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"the repository's history does not hold {FIRST_VERSION} (a shallow clone)")
    folder = tmp_path_factory.mktemp("first-version")
    subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    return folder


def test_what_the_first_version_left_open_is_finished_by_this_one(first_version: Path, tmp_path: Path) -> None:
    """One study is waiting for its destination, one is being analysed, one is still arriving, when the old node is killed."""
    port = find_free_port()
    node = write_node(tmp_path / "node", peers={"pacs": {**PACS, "port": port}}, models=[write_package(tmp_path / "bright")])
    node.environment = {"PYTHONPATH": str(first_version)}
    waiting, working, arriving = (make_study(name) for name in ("waiting", "working", "arriving"))
    try:
        node.start()
        send(node, waiting)
        wait_until(lambda: node.events("DeliveryFailed"), limit_s=120, what=node._log_end)
        with stopped_inference(node):
            send(node, working)
            wait_until(lambda: len(node.events("StudyJudged")) == 2, limit_s=60, what=node._log_end)
            send(node, arriving[:5])
            assert len(node.events("InferenceDone")) == 1
            node.kill()

        node.environment = {}
        with start_orthanc(options={"DicomPort": port}) as orthanc:
            node.start()
            send(node, arriving[5:])
            for study in (waiting, working, arriving):
                uid = study[0].StudyInstanceUID
                assert wait_until_done(node, uid)["state"] == "done", node.run("status").stdout
                assert set(results_in(orthanc, uid)) == {"SEG", "SR"}
            assert len(node.status()["studies"]) == 3
    finally:
        if node.process is not None:
            node.kill()


PACS = {"ae_title": "ORTHANC", "host": "127.0.0.1", "may": ["receive"]}


def send(node: NodeProcess, instances: list[Dataset]) -> None:
    with Modality(node.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in instances)
