"""Power cuts at the worst moments: the study is finished, nothing is lost, nothing appears twice.

SIGKILL to every process of the node shows the order of writing and answering; the order of fsync is tested in spool/.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests.make.study import make_chest
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc
from tests.peers.waiting import wait_until
from tests.promises.studies import orthanc_as_peer, results_in, wait_until_done


@pytest.fixture(scope="module")
def chest() -> list[Dataset]:
    """A small chest with nodules, as a modality makes it."""
    return make_chest()


def test_killed_while_receiving_every_acknowledged_instance_is_there(
    orthanc: Orthanc, node: Callable[..., NodeProcess], chest: list[Dataset]
) -> None:
    """receive to spool: 0x0000 is answered only when the bytes would survive."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    half = len(chest) // 2
    with Modality(running.port) as sender:
        acknowledged = [one for one in chest[:half] if sender.store(one) == 0x0000]
        running.kill()  # the association is still open
        sender.hang_up()
    assert len(acknowledged) == half  # a test that sent nothing would pass
    running.start()
    with Modality(running.port) as sender:
        assert all(sender.store(one) == 0x0000 for one in chest)  # the modality sends everything again
    study = wait_until_done(running, chest[0].StudyInstanceUID)
    assert sum(series["instances"] for series in study["series"]) == len(chest)
    assert set(results_in(orthanc, chest[0].StudyInstanceUID)) == {"SEG", "SR"}
    assert study["conflicts"] == 0


@pytest.mark.parametrize("moment", ["inferring", "encoding", "delivering"])
def test_killed_while_it_works_the_study_is_finished_once(
    moment: str, orthanc: Orthanc, node: Callable[..., NodeProcess], chest: list[Dataset]
) -> None:
    """Each border: what was begun is finished after a restart, under the same UIDs, and appears once."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    study_uid = chest[0].StudyInstanceUID
    with Modality(running.port) as sender:
        assert all(sender.store(one) == 0x0000 for one in chest)
    wait_until(lambda: has_come(moment, running, orthanc, study_uid), limit_s=120, every_s=0.002, what=running._log_end)
    running.kill()
    before = results_in(orthanc, study_uid)
    running.start()
    study = wait_until_done(running, study_uid)
    after = results_in(orthanc, study_uid)
    assert set(after) == {"SEG", "SR"}
    assert len(study["results"]) == 1
    for modality, first in before.items():
        assert first.SOPInstanceUID == after[modality].SOPInstanceUID


def has_come(moment: str, running: NodeProcess, orthanc: Orthanc, study_uid: str) -> bool:
    """Whether the node is in the middle of something, seen from outside."""
    if moment == "inferring":
        return bool(running.events("StudyJudged"))
    if moment == "encoding":
        # the result of the inference is kept; the next thing is its encoding
        return bool(list(running.data.glob("kept/*/*.value"))) and bool(running.events("InferenceDone"))
    return bool(list(running.data.glob("kept/*/*.dcm")))


def test_killed_again_and_again_it_still_ends(orthanc: Orthanc, node: Callable[..., NodeProcess], chest: list[Dataset]) -> None:
    """Five power cuts at moments that the length of the log decides."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    with Modality(running.port) as sender:
        assert all(sender.store(one) == 0x0000 for one in chest)
    for lines in (6, 9, 11, 14, 17):
        wait_until(lambda wanted=lines: len(running.events()) >= wanted, limit_s=60, what=running._log_end)
        running.kill()
        running.start()
    wait_until_done(running, chest[0].StudyInstanceUID)
    assert set(results_in(orthanc, chest[0].StudyInstanceUID)) == {"SEG", "SR"}
    stored = {hashlib.sha256(file.read_bytes()).hexdigest() for file in Path(running.data / "spool").rglob("*.dcm")}
    assert len(stored) == len(chest)


@pytest.mark.parametrize("moment", ["inferring", "delivering"])
def test_stopped_in_order_while_it_works_the_study_is_finished_at_the_next_start(
    moment: str, orthanc: Orthanc, node: Callable[..., NodeProcess], chest: list[Dataset]
) -> None:
    """Case U2: SIGTERM is obeyed within the grace time, and loses nothing."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    with Modality(running.port) as sender:
        assert all(sender.store(one) == 0x0000 for one in chest)
    wait_until(lambda: has_come(moment, running, orthanc, chest[0].StudyInstanceUID), limit_s=120, every_s=0.002, what=running._log_end)
    assert running.stop() == 0
    running.start()
    study = wait_until_done(running, chest[0].StudyInstanceUID)
    assert study["state"] == "done"
    assert set(results_in(orthanc, chest[0].StudyInstanceUID)) == {"SEG", "SR"}
