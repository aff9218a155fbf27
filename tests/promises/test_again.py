"""What happens a second time: late images, a replay, a lost journal, a PACS that was away."""

import io
from collections.abc import Callable

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.make.study import make_chest
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc, start_orthanc
from tests.peers.ports import find_free_port
from tests.peers.waiting import wait_until
from tests.promises.studies import orthanc_as_peer, results_in, wait_until_done


@pytest.fixture(scope="module")
def chest() -> list[Dataset]:
    return make_chest()


def send(running: NodeProcess, instances: list[Dataset]) -> None:
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in instances)


def test_late_images_lead_to_a_new_result_that_names_its_predecessor(
    orthanc: Orthanc, node: Callable[..., NodeProcess], chest: list[Dataset]
) -> None:
    """assemble: late images reopen a series; the new report replaces the old one by name."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    study_uid = chest[0].StudyInstanceUID
    send(running, chest[:80])
    wait_until_done(running, study_uid)
    first = results_in(orthanc, study_uid)["SR"]
    send(running, chest[80:])
    wait_until(lambda: len(running.look(study_uid)["studies"][0]["results"]) == 2, limit_s=120, what=running._log_end)
    study = wait_until_done(running, study_uid)
    assert study["series"][0]["reopened"] == 1
    assert study["results"][1]["predecessor"] == study["results"][0]["key"]
    reports = [one for one in orthanc.instances(study_uid) if one.modality == "SR"]
    assert len(reports) == 2
    (second,) = [one for one in reports if one.sop_instance_uid != first.SOPInstanceUID]
    replaced = read(orthanc, second.sop_instance_uid).PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert replaced.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert replaced.SeriesInstanceUID == first.SeriesInstanceUID


def test_the_same_images_again_and_a_replay_change_nothing(
    orthanc: Orthanc, node: Callable[..., NodeProcess], chest: list[Dataset]
) -> None:
    """One instance, one result, whatever comes twice; and a lost journal is made again from the spool, under the same UIDs."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    study_uid = chest[0].StudyInstanceUID
    send(running, chest)
    wait_until_done(running, study_uid)
    first = {modality: found.SOPInstanceUID for modality, found in results_in(orthanc, study_uid).items()}

    send(running, chest)
    assert "entered=0 judged=1 resent=0" in running.run("replay").stdout
    wait_until(lambda: len(running.events("StudyJudged")) == 2, limit_s=60, what=running._log_end)
    study = wait_until_done(running, study_uid)
    assert len(study["results"]) == 1
    assert study["conflicts"] == 0

    running.stop()
    for file in running.data.glob("journal.sqlite*"):
        file.unlink()
    assert f"entered={len(chest)} judged=0" in running.run("replay").stdout
    running.start()
    wait_until_done(running, study_uid)
    assert {modality: found.SOPInstanceUID for modality, found in results_in(orthanc, study_uid).items()} == first


def test_a_pacs_that_is_away_gets_its_results_when_it_is_back(node: Callable[..., NodeProcess], chest: list[Dataset]) -> None:
    """deliver: what is not acknowledged is not delivered; it is shown, and tried again."""
    port = find_free_port()
    peer = {"ae_title": "ORTHANC", "host": "127.0.0.1", "port": port, "may": ["receive"]}
    running = node(peers={"pacs": peer})
    study_uid = chest[0].StudyInstanceUID
    send(running, chest)
    wait_until(lambda: running.events("DeliveryFailed"), limit_s=120, what=running._log_end)
    (study,) = running.status(study_uid)["studies"]
    assert study["state"] == "delivering"
    assert {one["error"] for one in study["results"][0]["deliveries"][0]["objects"]} == {"PeerUnreachable"}
    with start_orthanc(options={"DicomPort": port}) as orthanc:
        wait_until_done(running, study_uid)
        assert set(results_in(orthanc, study_uid)) == {"SEG", "SR"}


def read(orthanc: Orthanc, sop_instance_uid: str) -> Dataset:
    return pydicom.dcmread(io.BytesIO(orthanc.download(sop_instance_uid)))
