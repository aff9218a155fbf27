"""An earlier study that only the PACS holds: the node fetches it, compares with it, and sends nothing of it."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.faults.studies import write_package
from tests.make import write_dataset
from tests.peers.modality import Modality
from tests.peers.node import NODE_TITLE, NodeProcess
from tests.peers.orthanc import Orthanc
from tests.peers.waiting import wait_until
from tests.promises.studies import orthanc_as_peer, results_in, wait_until_done
from tests.promises.test_priors import GROWN, analysed, changes_in, scan


def start(node: Callable[..., NodeProcess], orthanc: Orthanc, tmp_path: Path, *, title: str = NODE_TITLE, **settings: Any) -> NodeProcess:
    """A node that looks for priors at an Orthanc, which knows it by a title."""
    peer = orthanc_as_peer(orthanc) | {"may": ["send", "count", "receive", "priors"]}
    running = node(peers={"pacs": peer}, models=[write_package(tmp_path / "bright")], **settings)
    orthanc.add_modality("node", title, running.port)
    return running


def in_archive(orthanc: Orthanc, images: list[Dataset]) -> str:
    for image in images:
        orthanc.upload(write_dataset(image))
    return str(images[0].StudyInstanceUID)


def test_a_prior_that_only_the_pacs_has_is_fetched_and_compared_with(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """Of what it leads to by itself nothing is sent; nor is its own prior looked for, or another person's study under the same ID."""
    running = start(node, orthanc, tmp_path)
    older, then, now = scan("older", "20230110", 8.0), scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
    another = scan("other", "20240601", 12.0, PatientBirthDate="19640101")
    for images in (older, then, another):
        in_archive(orthanc, images)
    analysed(running, now)

    report = results_in(orthanc, now[0].StudyInstanceUID)["SR"]
    assert changes_in(report) == [GROWN]
    studies = {study["study"]: study for study in running.status()["studies"]}
    assert set(studies) == {now[0].StudyInstanceUID, then[0].StudyInstanceUID}
    prior = studies[then[0].StudyInstanceUID]
    assert prior["is_prior"] is True
    (result,) = prior["results"]
    assert (result["kind"], result["deliveries"]) == ("analysed", [])
    assert set(orthanc.counts(then[0].StudyInstanceUID)) == {"CT"}
    evidence = [
        item.ReferencedSOPInstanceUID
        for study in report.PertinentOtherEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert sorted(evidence) == sorted(image.SOPInstanceUID for image in then)
    (event,) = running.events("PriorFetched")
    assert event["peer"] == "pacs"
    assert studies[now[0].StudyInstanceUID]["prior"]["end"] == "fetched"


def test_a_pacs_that_does_not_know_the_node_holds_up_nobody(orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    running = start(node, orthanc, tmp_path, title="ANOTHER")
    then, now = scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
    in_archive(orthanc, then)
    analysed(running, now)
    assert changes_in(results_in(orthanc, now[0].StudyInstanceUID)["SR"]) == []
    (event,) = running.events("PriorNotFetched")
    assert event["end"] == "failed"
    (study,) = running.status()["studies"]
    assert study["prior"]["end"] == "failed"
    assert event["error"] in study["prior"]["why"]


def test_a_study_waits_no_longer_than_its_limit(orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    """The archive sends to a port where nobody answers for long: the report goes out without a comparison."""
    running = start(node, orthanc, tmp_path, settings={"priors": {"wait_s": 0.001}})
    then, now = scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
    in_archive(orthanc, then)
    analysed(running, now)
    assert changes_in(results_in(orthanc, now[0].StudyInstanceUID)["SR"]) == []
    wait_until(lambda: running.status(str(now[0].StudyInstanceUID))["studies"][0]["prior"]["end"], limit_s=60, what=running._log_end)
    assert running.status(str(now[0].StudyInstanceUID))["studies"][0]["prior"]["end"] == "late"


def test_what_was_fetched_is_sent_when_more_of_it_comes_by_itself_or_a_person_asks(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    running = start(node, orthanc, tmp_path)
    then, now = scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
    uid = in_archive(orthanc, then)
    analysed(running, now)
    assert set(orthanc.counts(uid)) == {"CT"}
    running.run("jobs", "rerun", uid)
    wait_until(lambda: set(orthanc.counts(uid)) == {"CT", "SEG", "SR"}, limit_s=120, what=running._log_end)
    assert wait_until_done(running, uid)["is_prior"] is False


@pytest.mark.parametrize("title", [NODE_TITLE, "ANOTHER"])
def test_a_study_that_is_sent_by_itself_after_it_was_asked_for_is_reported(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path, title: str
) -> None:
    """Whether it was fetched and analysed already, so that nothing of it is new, or the PACS did not know where to send it."""
    running = start(node, orthanc, tmp_path, title=title)
    then, now = scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
    uid = in_archive(orthanc, then)
    analysed(running, now)
    assert set(orthanc.counts(uid)) == {"CT"}
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in then)
    wait_until(lambda: set(orthanc.counts(uid)) == {"CT", "SEG", "SR"}, limit_s=120, what=running._log_end)
    assert wait_until_done(running, uid)["is_prior"] is False


@pytest.mark.parametrize("most", [3])
def test_a_series_with_too_many_images_is_left_where_it_is(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path, most: int
) -> None:
    running = start(node, orthanc, tmp_path, settings={"priors": {"most_images": most}})
    then, now = scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
    in_archive(orthanc, then)
    analysed(running, now)
    (study,) = running.status()["studies"]
    assert study["prior"]["end"] == "unsuitable"


def test_a_search_that_was_cut_is_begun_again(orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path) -> None:
    """The archive sends to a port where nobody takes the images, and the node is killed while it waits; then the port is right."""
    running = start(node, orthanc, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        orthanc.add_modality("node", NODE_TITLE, deaf.getsockname()[1])
        then, now = scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
        in_archive(orthanc, then)
        with Modality(running.port) as modality:
            assert all(modality.store(one) == 0x0000 for one in now)
        deaf.settimeout(60.0)
        held, _ = deaf.accept()  # the archive is about to send
        running.kill()
        held.close()
    orthanc.add_modality("node", NODE_TITLE, running.port)
    running.start()
    wait_until_done(running, str(now[0].StudyInstanceUID))
    assert changes_in(results_in(orthanc, now[0].StudyInstanceUID)["SR"]) == [GROWN]
