"""Whose study goes first: while a long one runs, what waits is taken STAT first, then routine, then research, and so it is delivered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydicom.dataset import Dataset

from dicom_node.values import derive_key
from tests.faults.studies import make_study, write_package
from tests.peers.archive import Archive
from tests.peers.modality import encode
from tests.peers.node import NodeProcess, started, stopped_inference, write_node
from tests.peers.sender import RawAssociation
from tests.peers.waiting import wait_until
from tests.promises.studies import wait_until_done

MEDIUM, HIGH, LOW = 0, 1, 2
RULES = """
[[priority]]
level = "research"
calling = ["WORKSTATION"]
[[priority]]
level = "stat"
store_priority = "high"
[[priority]]
level = "stat"
attributes = { RequestedProcedurePriority = ["STAT", "HIGH"] }
"""
# Sent in this order: who sends it, with which Priority (0000,0700), and the header's Requested Procedure Priority (0040,1003).
STUDIES = {
    "research": ("WORKSTATION", HIGH, "STAT"),  # the first rule that fits decides
    "low": ("MODALITY", LOW, "ROUTINE"),
    "routine": ("MODALITY", MEDIUM, None),
    "high": ("MODALITY", HIGH, None),
    "stat": ("MODALITY", MEDIUM, "Stat"),
}
LEVELS = {"research": 30, "low": 20, "routine": 20, "high": 10, "stat": 10}


@pytest.fixture
def node(tmp_path: Path, pacs: Archive) -> Iterator[NodeProcess]:
    here = {"host": "127.0.0.1", "port": 104, "may": ["send"]}
    peers = {
        "pacs": {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["count", "receive"]},
        "workstation": {"ae_title": "WORKSTATION", **here},
    }
    made = write_node(tmp_path / "node", peers=peers, models=[write_package(tmp_path / "package", overlap=0.5)])
    made.config.write_text(made.config.read_text(encoding="utf-8") + RULES, encoding="utf-8")
    with started(made):
        yield made


def test_stat_before_routine_before_research(node: NodeProcess, pacs: Archive) -> None:
    wait_until(lambda: node.events("PackageInService"), limit_s=60, what=node._log_end)
    with stopped_inference(node):
        first = make_study("first")
        send(node, first, "MODALITY", MEDIUM)
        wait_until(lambda: node.events("StudyJudged"), limit_s=60, what=node._log_end)
        studies = {name: make_study(name) for name in STUDIES}
        for name, (calling, priority, requested) in STUDIES.items():
            for instance in studies[name]:
                if requested is not None:
                    instance.RequestedProcedurePriority = requested
            send(node, studies[name], calling, priority)
            uid = derive_key(studies[name][0].SeriesInstanceUID).text
            wait_until(lambda uid=uid: uid in completed(node), limit_s=60, what=node._log_end)  # type: ignore[misc]
        assert len(node.events("StudyJudged")) == 1  # the long one still runs
    for study in studies.values():
        assert wait_until_done(node, study[0].StudyInstanceUID)["state"] == "done"

    names = {derive_key(study[0].StudyInstanceUID).text: name for name, study in {"first": first, **studies}.items()}
    assert [names[event["study"]] for event in node.events("ResultMade")] == ["first", "high", "stat", "low", "routine", "research"]
    assert jobs_levels(node, names) == {name: {LEVELS[name]} for name in STUDIES} | {"first": {20}}
    assert len(pacs.files()) == 2 * (1 + len(STUDIES))


def completed(node: NodeProcess) -> set[str]:
    return {event["series"] for event in node.events("SeriesComplete")}


def send(node: NodeProcess, study: list[Dataset], calling: str, priority: int) -> None:
    encoded = [encode(instance) for instance in study]
    context = [(encoded[0].sop_class_uid, [encoded[0].transfer_syntax_uid])]
    with RawAssociation(node.port, context, calling=calling) as association:
        for one in encoded:
            assert association.store(one.data_set, one.sop_class_uid, one.sop_instance_uid, priority=priority).status == 0
        association.release()


def jobs_levels(node: NodeProcess, names: dict[str, str]) -> dict[str, set[int]]:
    """The priorities under which each study's own job, its deliveries and its proofs waited."""
    engine = sa.create_engine(f"sqlite:///{node.folder / 'data' / 'journal.sqlite'}")
    found: dict[str, set[int]] = {name: set() for name in names.values()}
    kinds: set[str] = set()
    with engine.connect() as connection:
        studies = {row.key: row.study_instance_uid for row in connection.execute(sa.text("select * from node_results"))}
        for job in connection.execute(sa.text("select workflow_uuid as id, name, priority from workflow_status where name != 'look'")):
            parts = job.id.split("-")
            study = studies[parts[1]] if parts[1] in studies else parts[1]
            found[names[derive_key(study).text]].add(job.priority)
            kinds.add(job.name)
    engine.dispose()
    assert kinds == {"work", "deliver", "prove"}
    return found
