"""Delivered means held: an acknowledged object is confirmed by the destination, sent again where it was lost, or shown to a person."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, CTImageStorage, MRImageStorage, SecondaryCaptureImageStorage, SegmentationStorage

from dicom_node import infer, journal, pipeline
from dicom_node.clock import SystemClock
from dicom_node.config import Config, DeliverSection, NodeFile, Peer
from dicom_node.journal.tables import deliveries
from dicom_node.node import Node
from dicom_node.values import Role
from dicom_node.values.records import DeliveryRecord
from tests.deliver.odd_peers import full_peer
from tests.make.series import make_series, write_dataset
from tests.make.study import make_chest
from tests.peers.archive import Archive, Destination
from tests.peers.modality import Modality
from tests.peers.node import NODE_TITLE, NodeProcess
from tests.peers.orthanc import Orthanc
from tests.peers.waiting import wait_until
from tests.promises.studies import destination_of, orthanc_as_peer, results_in, wait_until_done

SOON = {"connect_timeout_s": 2.0, "proof_wait_s": 1.0}


@pytest.fixture(scope="module")
def chest() -> list[Dataset]:
    return make_chest()


@pytest.fixture
def archives(tmp_path: Path) -> Iterator[Callable[..., Archive]]:
    """Makes a running archive of an AE title; further arguments as `Archive` takes."""
    with ExitStack() as stack:
        yield lambda title, **options: stack.enter_context(Archive(tmp_path / title, ae_title=title, **options))


def as_peer(archive: Archive, *may: str, **more: object) -> dict[str, Any]:
    """An archive in the node's `peers.toml`."""
    return {"ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.port, "may": ["receive", *may], **more}


def analyse(running: NodeProcess, chest: list[Dataset], *archives: Archive) -> str:
    """Send the study, after the archives got to know the node; gives its UID."""
    for archive in archives:
        archive.peers[NODE_TITLE] = Destination(NODE_TITLE, "127.0.0.1", running.port)
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in chest)
    return str(chest[0].StudyInstanceUID)


def shown(study: dict[str, Any], name: str) -> list[tuple[str, str | None, str | None]]:
    """State, proof and error of a destination's objects, as `status` has them."""
    return [(one["state"], one["proof"], one["error"]) for one in destination_of(study, name)]


def failed(running: NodeProcess) -> set[str]:
    """The destinations that were not reached."""
    return {event["peer"] for event in running.events("DeliveryFailed")}


def proofs(running: NodeProcess, state: str) -> list[str]:
    """The destination of each object that came to a state by what was said of it."""
    return [event["peer"] for event in running.events("ProofGiven") if event["state"] == state]


def wait_for_state(running: NodeProcess, study_uid: str, state: str) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        studies = [one for one in running.look()["studies"] if one["study"] == study_uid and one["state"] == state]
        return studies[0] if studies else None

    return wait_until(reached, limit_s=120, every_s=0.3, what=lambda: f"{running.run('status').stdout}\n{running._log_end()}")


@pytest.mark.timeout(300)
def test_every_way_in_which_a_pacs_confirms_is_understood(
    node: Callable[..., NodeProcess], archives: Callable[..., Archive], chest: list[Dataset]
) -> None:
    """Storage commitment on either association, before or after our response, twice, under another title; else C-FIND; else nothing."""
    commits = {
        "own": archives("OWN"),
        "alias": archives("ALIAS"),  # case D1
        "roleless": archives("ROLELESS"),
        "here": archives("HERE"),
        "before": archives("BEFORE"),
        "twice": archives("TWICE"),
    }
    commits["alias"].answers.commits_as = "ALIAS_SC"
    commits["roleless"].answers.commits_role = False
    commits["here"].answers.commits_here = commits["before"].answers.commits_here = True
    commits["before"].answers.commits_when = "before"
    commits["twice"].answers.commits_times = 2
    find, plain, without = archives("FIND"), archives("PLAIN"), archives("WITHOUT", commits=False)
    peers = {name: as_peer(archive, proof="commitment") for name, archive in commits.items()}
    peers["alias"]["commits_as"] = ["ALIAS_SC"]
    peers |= {"find": as_peer(find, "count"), "plain": as_peer(plain), "without": as_peer(without, "count", proof="commitment")}
    running = node(peers=peers, settings={"deliver": SOON})
    study_uid = analyse(running, chest, *commits.values(), find, plain, without)
    study = wait_until_done(running, study_uid)
    assert study["state"] == "done", running.run("status").stdout
    for name, archive in commits.items():
        assert shown(study, name) == [("confirmed", "commitment", None)] * 2, name
        assert archive.wait_for(lambda here: here.commitment_statuses == [0x0000] * here.answers.commits_times, limit_s=10), name
        assert archive.asked == 1, name
    assert shown(study, "find") == shown(study, "without") == [("confirmed", "find", None)] * 2
    assert shown(study, "plain") == [("sent", "none", None)] * 2
    for archive in (*commits.values(), find, plain, without):
        assert sorted(stored.sop_class_uid for stored in archive.record) == sorted([Comprehensive3DSRStorage, SegmentationStorage])
    assert len(running.events("CommitmentUnavailable")) == 1


@pytest.mark.timeout(300)
def test_a_pacs_that_does_not_confirm_is_asked_again_then_shown_and_believed_when_it_does(
    node: Callable[..., NodeProcess], archives: Callable[..., Archive], chest: list[Dataset]
) -> None:
    """A report may come hours later, or never; a stranger's never confirms anything."""
    late, without, stranger = archives("LATE"), archives("WITHOUT", commits=False), archives("STRANGER")
    late.answers.commits_when = "late"
    stranger.answers.commits_as = "NOBODY"  # case D1: a title that is not configured
    peers = {name: as_peer(archive, proof="commitment") for name, archive in (("late", late), ("without", without), ("stranger", stranger))}
    running = node(peers=peers, settings={"deliver": {**SOON, "proof_tries": 2}})
    study_uid = analyse(running, chest, late, without, stranger)
    wait_for_state(running, study_uid, "confirming")
    study = wait_for_state(running, study_uid, "unconfirmed")
    assert (late.asked, stranger.asked) == (2, 2)
    assert shown(study, "late") == shown(study, "stranger") == [("sent", "missing", "NotConfirmed")] * 2
    assert shown(study, "without") == [("sent", "missing", "NoCommitment")] * 2
    assert [event["calling"] for event in running.events("AssociationRefused")] == ["NOBODY", "NOBODY"]
    for archive in (late, without, stranger):
        assert len(archive.record) == 2

    late.report_late()
    (study,) = running.status(study_uid)["studies"]
    assert shown(study, "late") == [("confirmed", "commitment", None)] * 2
    assert late.commitment_statuses == [0x0000, 0x0000]
    assert (late.asked, stranger.asked, len(late.record)) == (2, 2, 2)


@pytest.mark.timeout(300)
def test_what_was_acknowledged_and_lost_is_sent_again_under_the_same_uid(
    node: Callable[..., NodeProcess], archives: Callable[..., Archive], chest: list[Dataset]
) -> None:
    """An archive that says 0x0000 and keeps nothing is found out: by its commitment, or since it does not list the object."""
    commits, finds, never = archives("COMMITS"), archives("FINDS"), archives("NEVER")
    for archive in (commits, finds, never):
        archive.answers.dropped = {SegmentationStorage}
    peers = {
        "commits": as_peer(commits, proof="commitment"),
        "finds": as_peer(finds, "count"),
        "never": as_peer(never, proof="commitment"),
    }
    running = node(peers=peers, settings={"deliver": SOON})
    study_uid = analyse(running, chest, commits, finds, never)
    for archive in (commits, finds):
        assert archive.wait_for(lambda here: len(here.record) == 2, limit_s=120)
        archive.answers.dropped = set()
    for archive in (commits, finds):
        assert archive.wait_for(lambda here: len(here.record) == 3, limit_s=60)
    wait_until(lambda: len(proofs(running, "confirmed")) == 5 and proofs(running, "given-up"), limit_s=60, what=running._log_end)
    study = wait_for_state(running, study_uid, "undelivered")
    for name, archive, proof in (("commits", commits, "commitment"), ("finds", finds, "find")):
        assert shown(study, name) == [("confirmed", proof, None)] * 2
        (segmentation,) = {stored.sop_instance_uid for stored in archive.record if stored.sop_class_uid == SegmentationStorage}
        assert len(archive.stores_of(segmentation)) == 2
        assert len(archive.files()) == 2
    assert shown(study, "never") == [("given-up", None, "NotHeld"), ("confirmed", "commitment", None)]
    assert sorted(stored.sop_class_uid for stored in never.record) == sorted([Comprehensive3DSRStorage, *[SegmentationStorage] * 3])


@pytest.mark.timeout(300)
def test_destinations_wait_for_nobody(node: Callable[..., NodeProcess], archives: Callable[..., Archive], chest: list[Dataset]) -> None:
    """Case C1: one swallows every packet, one does not know the node: the healthy one is served at once, the others are shown."""
    healthy, strict = archives("HEALTHY"), archives("STRICT")
    strict.answers.reject = (1, 1, 7)
    with full_peer() as port:
        swallows = {"ae_title": "SWALLOWS", "host": "127.0.0.1", "port": port, "may": ["receive"]}
        peers = {"swallows": swallows, "healthy": as_peer(healthy, "count"), "strict": as_peer(strict)}
        running = node(peers=peers, settings={"deliver": SOON})
        study_uid = analyse(running, chest)
        (made,) = wait_until(lambda: running.events("ResultMade"), limit_s=120, what=running._log_end)
        assert healthy.wait_for(lambda here: len(here.record) == 2, limit_s=5), made
        study = wait_for_state(running, study_uid, "undelivered")
        wait_until(lambda: "swallows" in failed(running), limit_s=30, what=running._log_end)
        (study,) = running.status(study_uid)["studies"]
        assert [one["error"] for one in destination_of(study, "swallows")] == ["PeerUnreachable"] * 2
        assert all(one["state"] == "queued" and one["next_try"] for one in destination_of(study, "swallows"))
        assert [one["error"] for one in destination_of(study, "strict")] == ["TitleUnknown"] * 2
        assert shown(study, "healthy") == [("confirmed", "find", None)] * 2
        strict.answers.reject = None  # somebody has entered the node's title there, and nothing here
        assert strict.wait_for(lambda here: len(here.record) == 2, limit_s=30)


@pytest.mark.timeout(300)
def test_orthanc_commits_on_an_association_of_its_own(orthanc: Orthanc, node: Callable[..., NodeProcess], chest: list[Dataset]) -> None:
    """A real PACS: Orthanc reports under its own title, with the roles swapped."""
    running = node(peers={"pacs": {**orthanc_as_peer(orthanc), "proof": "commitment"}}, settings={"deliver": SOON})
    orthanc.add_modality("node", NODE_TITLE, running.port)
    study_uid = analyse(running, chest)
    study = wait_until_done(running, study_uid)
    assert study["state"] == "done"
    assert shown(study, "pacs") == [("confirmed", "commitment", None)] * 2
    assert set(results_in(orthanc, study_uid)) == {"SEG", "SR"}


# -- case D2, step by step: pipeline and node as they are, without an engine ----------------------------------------------------

CLASSES = (CTImageStorage, MRImageStorage, SegmentationStorage, SecondaryCaptureImageStorage, Comprehensive3DSRStorage)
KEY = "d2" * 32


def test_case_d2_of_five_objects_three_are_taken_one_is_tried_again_and_one_goes_to_a_person(
    archives: Callable[..., Archive], tmp_path: Path
) -> None:
    archive = archives("PACS")
    archive.answers.commits_here = True
    archive.answers.stores = {Comprehensive3DSRStorage: [0xA700]}
    archive.answers.commit_failures = {SegmentationStorage: [0x0119]}
    node = make_node(tmp_path, Peer(ae_title="PACS", host="127.0.0.1", port=archive.port, may=("receive",), proof="commitment"))
    start_delivery(node)
    pipeline.send(journal.DeliveryJob(KEY, "pacs", attempt=0), node.sending)
    assert states(node) == ["sent", "sent", "sent", "sent", "queued"]
    pipeline.send(journal.DeliveryJob(KEY, "pacs", attempt=1), node.sending)
    assert states(node) == ["sent"] * 5
    assert [stored.sop_class_uid for stored in archive.record] == [*CLASSES, Comprehensive3DSRStorage]
    pipeline.prove(journal.ProofJob(KEY, "pacs", attempt=0), node.sending)
    assert states(node) == ["confirmed", "confirmed", "refused", "confirmed", "confirmed"]
    with node.engine.begin() as connection:
        (refused,) = connection.execute(deliveries.select().where(deliveries.c.state == "refused")).all()
    assert (refused.sop_class_uid, refused.error, refused.status) == (SegmentationStorage, "CommitmentRefused", 0x0119)
    pipeline.send(journal.DeliveryJob(KEY, "pacs", attempt=2), node.sending)
    assert len(archive.record) == 6
    assert len(archive.files()) == 5


def test_an_archive_that_lists_later_gets_nothing_twice_and_one_that_never_does_gets_it_a_few_times(
    archives: Callable[..., Archive], tmp_path: Path
) -> None:
    """Not listed counts after three questions, six, and nine, the more the later they come."""
    archive = archives("PACS")
    archive.answers.lists = False
    node = make_node(tmp_path, Peer(ae_title="PACS", host="127.0.0.1", port=archive.port, may=("receive", "count")))
    start_delivery(node)
    pipeline.send(journal.DeliveryJob(KEY, "pacs", attempt=0), node.sending)
    for asked in range(2):
        pipeline.prove(journal.ProofJob(KEY, "pacs", attempt=asked), node.sending)
        assert states(node) == ["sent"] * 5
    archive.answers.lists = True
    pipeline.prove(journal.ProofJob(KEY, "pacs", attempt=2), node.sending)
    assert states(node) == ["confirmed"] * 5
    assert len(archive.record) == 5

    with node.engine.begin() as connection:
        connection.execute(deliveries.update().values(state="sent", proof=None))
    archive.answers.lists = False
    for number, questions in enumerate((3, 6, 9)):
        for asked in range(questions):
            assert states(node) == ["sent"] * 5
            pipeline.prove(journal.ProofJob(KEY, "pacs", attempt=asked, round=number + 1), node.sending)
        pipeline.send(journal.DeliveryJob(KEY, "pacs", attempt=0, round=number + 1), node.sending)
    assert states(node) == ["given-up"] * 5
    assert len(archive.record) == 15


def make_node(folder: Path, pacs: Peer) -> Node:
    """A node with a journal of its own and one destination, without packages or processes."""
    limits = DeliverSection(first_retry_s=1.0, response_timeout_s=5.0, proof_wait_s=5.0)
    database = f"sqlite:///{folder / 'journal.sqlite'}"
    journal.migrate(database)
    file = NodeFile(ae_title=NODE_TITLE, data=folder, models=(), deliver=limits)
    config = Config(file=folder / "node.toml", node=file, peers={"pacs": pacs}, data=folder, models=(), database=database)
    return Node(config, (), SystemClock(), cast("infer.Device", None), {}, journal.open_engine(database))


def start_delivery(node: Node) -> None:
    """Five objects of five classes, in this order."""
    waiting = []
    for number, sop_class in enumerate(CLASSES):
        (made,) = make_series(lambda lps: np.zeros(lps.shape[:-1]), shape=(1, 8, 8), name=f"object{number}", sop_class=sop_class)
        file = node.kept.write_bytes(write_dataset(made), suffix="dcm")
        waiting.append(journal.Waiting(number, Role.REPORT, sop_class, made.SOPInstanceUID, made.SeriesInstanceUID, file))
    with node.engine.begin() as connection:
        journal.start_delivery(connection, node.client, DeliveryRecord(KEY, "pacs", tuple(waiting)))


def states(node: Node) -> list[str]:
    with node.engine.begin() as connection:
        return [row.state for row in connection.execute(deliveries.select().order_by(deliveries.c.number))]
