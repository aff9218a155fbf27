"""A result that must not stand is withdrawn by a person: where it was, that is said, and why; and it goes nowhere else."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.encode.results import named, walk
from tests.faults.studies import make_study, write_package
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc
from tests.peers.waiting import wait_until
from tests.promises.studies import destination_of, orthanc_as_peer, wait_until_done

NOTE = "1.2.840.10008.5.1.4.1.1.88.59"


def send(running: NodeProcess, images: list[Dataset]) -> str:
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in images)
    return str(images[0].StudyInstanceUID)


def held(orthanc: Orthanc, study: str) -> dict[str, Dataset]:
    """What the node has sent there, by SOP Instance UID."""
    found = [one for one in orthanc.instances(study) if one.modality != "CT"]
    return {one.sop_instance_uid: pydicom.dcmread(io.BytesIO(orthanc.download(one.sop_instance_uid))) for one in found}


def predecessors(report: Dataset) -> set[str]:
    return {
        str(one.ReferencedSOPInstanceUID)
        for study in report.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }


def of_class(found: dict[str, Dataset], sop_class: str) -> list[Dataset]:
    return [one for one in found.values() if one.SOPClassUID == sop_class]


def the(results: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (one,) = [result for result in results if result["kind"] == kind]
    return one


@pytest.mark.timeout(400)
def test_what_is_withdrawn_is_rejected_and_said_and_a_later_result_names_that(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """deliver: also when the journal is lost afterwards, and when somebody asks twice."""
    peer = {**orthanc_as_peer(orthanc), "rejection_notes": True, "language": "fr"}
    running = node(peers={"pacs": peer}, models=[write_package(tmp_path / "bright")])
    images = make_study("withdrawn", 14)
    study = send(running, images[:12])
    wait_until_done(running, study)
    first = held(orthanc, study)
    (report,) = [uid for uid, one in first.items() if one.Modality == "SR"]

    said = running.run("jobs", "withdraw", study, "--reason", "wrong-images", "--by", "Dr. Who").stdout
    assert "withdrawn" in said
    with pytest.raises(AssertionError, match="nothing to do"):
        running.run("jobs", "withdraw", study, "--reason", "result-wrong")
    done = wait_until_done(running, study)
    withdrawn, withdrawal = the(done["results"], "analysed"), the(done["results"], "withdrawal")
    assert withdrawn["withdrawn"]["reason"]["name"] == "wrong-images"
    assert withdrawn["withdrawn"]["at"].startswith("20")
    assert withdrawal["predecessor"] == withdrawn["key"]
    assert "withdrawn" in running.run("status", study).stdout
    assert "withdraw wrong-images" in running.run("jobs", "show", f"study/{done['key']}").stdout

    second = held(orthanc, study)
    new = {uid: one for uid, one in second.items() if uid not in first}
    (note,) = of_class(new, NOTE)
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    rejected = {
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in note.ContentSequence if "ReferencedSOPSequence" in item
    }
    assert rejected == set(first)
    (notice,) = [one for one in new.values() if one.SOPClassUID != NOTE]
    assert predecessors(notice) == {report}
    assert notice.SeriesDescription.endswith("withdrawn")
    assert any("Retiré" in item.TextValue for item in named(walk(notice), "121106"))

    # Judged again from the same, it stays withdrawn; so it does when the journal is made again from what lies on the disk.
    running.run("jobs", "rerun", study)
    wait_until(lambda: len(running.events("StudyJudged")) == 2, limit_s=90, what=running._log_end)
    wait_until_done(running, study)
    running.stop()
    for file in running.data.glob("journal.sqlite*"):
        file.unlink()
    running.run("replay")
    running.start()
    done = wait_until_done(running, study)
    assert the(done["results"], "analysed")["withdrawn"]["reason"]["name"] == "wrong-images"
    assert set(held(orthanc, study)) == set(second)
    assert {one["error"] for one in destination_of({"results": [the(done["results"], "analysed")]}, "pacs")} == {"WithdrawnByOperator"}

    # More images: another result, which names the withdrawal.
    send(running, images[12:])
    wait_until(lambda: len(running.status(study)["studies"][0]["results"]) == 3, limit_s=120, what=running._log_end)
    done = wait_until_done(running, study)
    assert done["results"][2]["predecessor"] == withdrawal["key"]
    latest = {uid: one for uid, one in held(orthanc, study).items() if uid not in second}
    (current,) = [one for one in latest.values() if one.Modality == "SR"]
    assert predecessors(current) == {str(notice.SOPInstanceUID)}
