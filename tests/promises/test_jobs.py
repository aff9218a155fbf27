"""What could not be done is shown, and done when a person says so: under the same UIDs, and nothing appears twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dicom_node.cli import app
from tests.faults.studies import make_study, write_package
from tests.peers.archive import Archive
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess, write_node
from tests.peers.waiting import wait_until
from tests.promises.studies import wait_until_done


@pytest.fixture
def running(pacs: Archive, node: Callable[..., NodeProcess], tmp_path: Path, request: pytest.FixtureRequest) -> NodeProcess:
    """A node whose retries are hours apart, and whose images leave as many hours after their study is done as the parameter says."""
    peer = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["count", "receive"]}
    settings = {"deliver": {"first_retry_s": 3600.0, "longest_retry_s": 3600.0}, "retention": {"images_after_h": request.param}}
    return node(peers={"pacs": peer}, models=[write_package(tmp_path / "bright")], settings=settings)


def jobs(running: NodeProcess, *options: str) -> list[dict[str, Any]]:
    return list(json.loads(running.run("jobs", "list", "--json", *options).stdout))


def wait_for_job(running: NodeProcess, state: str, *options: str) -> dict[str, Any]:
    """The one delivery, once it stands so, and was tried: one that has just been queued is waiting as well."""

    def found() -> dict[str, Any] | None:
        sent = (job for job in jobs(running, *options) if job["job"].startswith("send/") and job["tries"] > 0)
        return next((job for job in sent if job["state"] == state), None)

    return wait_until(found, limit_s=120, every_s=0.3, what=running._log_end)


def send_study(running: NodeProcess, name: str) -> str:
    study = make_study(name)
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in study)
    return str(study[0].StudyInstanceUID)


def stored(pacs: Archive) -> dict[str, int]:
    """How often each object was acknowledged."""
    counted: dict[str, int] = {}
    for one in pacs.record:
        if one.status == 0x0000:
            counted[one.sop_instance_uid] = counted.get(one.sop_instance_uid, 0) + 1
    return counted


@pytest.mark.timeout(300)
@pytest.mark.parametrize("running", [1 / 3600], indirect=True, ids=["images leave"])
def test_what_a_pacs_refused_is_listed_and_sent_when_a_person_says_so_and_its_images_stay_until_then(
    running: NodeProcess, pacs: Archive
) -> None:
    pacs.answers.stores = {"1.2.840.10008.5.1.4.1.1.66.4": [0xC000]}  # the segmentation, once
    study = send_study(running, "refused")
    job = wait_for_job(running, "refused", "--dead")
    assert (job["status"], job["study"]) == ("C000", study)
    assert "cannot understand" in job["why"]
    assert job["job"] in running.run("jobs", "list").stdout
    assert list((running.data / "spool").glob("*/*.dcm"))  # nothing leaves before it is confirmed
    refused_uid = {one.sop_instance_uid for one in pacs.record if one.status == 0xC000}
    assert "is tried again" in running.run("jobs", "retry", job["job"]).stdout
    assert wait_until_done(running, study)["state"] == "done"
    assert set(stored(pacs).values()) == {1}
    assert len(stored(pacs)) == 2
    assert refused_uid < set(stored(pacs))
    shown = running.run("jobs", "show", job["job"]).stdout
    assert "cli:" in shown
    assert ": retry" in shown

    # Everything is confirmed: the images leave at the next turn, and the study cannot be analysed again.
    wait_until(lambda: running.events("ImagesRemoved"), limit_s=90, what=running._log_end)
    assert not list((running.data / "spool").glob("*/*.dcm"))
    assert "images-removed" in running.run("jobs", "show", f"study/{study}").stdout
    (known,) = running.status(study)["studies"]
    assert known["state"] == "done"
    with pytest.raises(AssertionError, match="have left the node"):
        running.run("jobs", "rerun", study)

    # Sent again, they are the same study with the same result, which is not sent twice.
    assert send_study(running, "refused") == study
    wait_until(lambda: len(running.events("StudyJudged")) == 2, limit_s=90, what=running._log_end)
    wait_until_done(running, study)
    assert set(stored(pacs).values()) == {1}
    assert len(pacs.files()) == 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("running", [100.0], indirect=True, ids=["images stay"])
def test_a_delivery_that_waits_for_hours_is_hastened_or_ended_by_a_person_and_a_study_run_again(
    running: NodeProcess, pacs: Archive
) -> None:
    pacs.answers.reject = (2, 3, 2)  # for the moment
    study = send_study(running, "waiting")
    job = wait_for_job(running, "waiting")
    assert job["next_try_s"] > 3000
    pacs.answers.reject = None
    running.run("jobs", "retry", job["job"])
    assert wait_until_done(running, study)["state"] == "done"
    first = stored(pacs)
    assert set(first.values()) == {1}

    running.run("jobs", "rerun", study)
    wait_until(lambda: len(running.events("StudyJudged")) == 2, limit_s=90, what=running._log_end)
    wait_until_done(running, study)
    assert stored(pacs) == first

    pacs.answers.reject = (2, 3, 2)
    other = send_study(running, "other")
    job = wait_for_job(running, "waiting")
    running.run("jobs", "cancel", job["job"])
    assert jobs(running) == []
    assert wait_until_done(running, other)["state"] == "done"
    pacs.answers.reject = None
    assert "0 of 0 dead" in running.run("jobs", "retry", "--all-dead").stdout
    assert stored(pacs) == first


@pytest.mark.parametrize("arguments", [("show", "x"), ("retry", "send/ab/pacs"), ("cancel", "study/none"), ("rerun", "none")])
def test_a_job_that_is_not_there_is_said_and_is_no_success(arguments: tuple[str, ...], tmp_path: Path) -> None:
    peer = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "may": ["receive"]}
    file = write_node(tmp_path, peers={"pacs": peer}, models=()).config
    done = CliRunner().invoke(app, ["jobs", *arguments, "--config", str(file)])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("dicom-node jobs: no ")
