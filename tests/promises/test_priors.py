"""An earlier study of the same patient: the report says what has become of each finding since, and nothing is said of another's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.encode.results import named, walk
from tests.faults.studies import write_package
from tests.make import make_series
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc
from tests.peers.waiting import wait_until
from tests.promises.studies import orthanc_as_peer, results_in, wait_until_done
from tests.promises.test_again import read
from tests.promises.test_patient_values import rows_of

WHO = {
    "PatientID": "ZZPHI-4711",
    "IssuerOfPatientID": "ZZPHI-SITE",
    "PatientName": "ZZPHI^Anne",
    "PatientBirthDate": "19530317",
    "FrameOfReferenceUID": "2.25.77",  # without lungs, and with one finding, nothing else says where the scans lie to each other
}
DIFFERENCE, COMMENT, GROUP, TRACKING = "111049", "121106", "125007", "112040"
GROWN = "15454001"


def scan(name: str, date: str, radius_mm: float, **patient: str) -> list[Dataset]:
    """A bright ball on a day."""

    def sample(lps: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.linalg.norm(lps - np.array([3.0, -6.0, 4.0]), axis=-1) < radius_mm, 600.0, -50.0)

    who = {**WHO, "StudyDate": date, **patient}
    return make_series(sample, shape=(12, 40, 40), spacing_mm=(3.0, 3.0, 3.0), name=name, patient=who)


def analysed(running: NodeProcess, images: list[Dataset]) -> dict[str, Any]:
    """Send a study; gives its only result when it is done."""
    with Modality(running.port) as modality:
        assert all(modality.store(one) == 0x0000 for one in images)
    (result,) = wait_until_done(running, images[0].StudyInstanceUID)["results"]
    return dict(result)


def changes_in(report: Dataset) -> list[str]:
    groups = named(walk(report), GROUP)
    assert groups
    return [item.ConceptCodeSequence[0].CodeValue for group in groups for item in named(list(group.ContentSequence), DIFFERENCE)]


def test_the_report_of_a_later_study_says_what_has_become_of_each_finding(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """follow: the earlier result of the same patient; its report at the destination is evidence; no value of the patient is kept."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)}, models=[write_package(tmp_path / "bright")])
    then, now = scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
    another = scan("other", "20240801", 12.0, PatientBirthDate="19640101")
    for images in (then, now, another):
        analysed(running, images)
    before, after, others = (results_in(orthanc, images[0].StudyInstanceUID)["SR"] for images in (then, now, another))

    assert changes_in(before) == changes_in(others) == []
    assert changes_in(after) == [GROWN]
    (comment,) = named(list(after.ContentSequence), COMMENT)
    assert "2024-01-10, 181 days earlier" in comment.TextValue
    reference = after.PertinentOtherEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert "PertinentOtherEvidenceSequence" not in others
    first, second, third = ([str(item.UID) for item in named(walk(report), TRACKING)] for report in (before, after, others))
    assert first == second != third

    rows = "\n".join(rows_of(running))
    assert "ZZPHI" not in rows.upper()
    assert WHO["PatientBirthDate"] not in rows
    assert (running.data / "site.key").stat().st_mode & 0o777 == 0o600


def test_a_prior_that_comes_later_changes_nothing_until_the_study_is_judged_again(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    """Then there is another result, which names the first. Judged once more, also when the prior has left, it stays that."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)}, models=[write_package(tmp_path / "bright")])
    then, now = scan("then", "20240110", 9.0), scan("now", "20240709", 12.0)
    study_uid = str(now[0].StudyInstanceUID)
    first = analysed(running, now)
    report = results_in(orthanc, study_uid)["SR"]
    known = {file.name for file in running.data.glob("kept/*/*.value")}
    analysed(running, then)
    prior = [file for file in running.data.glob("kept/*/*.value") if file.name not in known]
    assert results_in(orthanc, study_uid)["SR"] == report

    results = judge_again(running, study_uid, judged=3)
    assert [one["predecessor"] for one in results] == [None, first["key"]]
    (again,) = [
        read(orthanc, one.sop_instance_uid)
        for one in orthanc.instances(study_uid)
        if one.modality == "SR" and one.sop_instance_uid != report.SOPInstanceUID
    ]
    assert changes_in(again) == [GROWN]
    replaced = again.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert replaced.ReferencedSOPInstanceUID == report.SOPInstanceUID

    assert judge_again(running, study_uid, judged=4) == results
    assert prior
    for file in prior:  # as a retention rule does, sooner or later
        file.unlink()
    assert judge_again(running, study_uid, judged=5) == results


def judge_again(running: NodeProcess, study_uid: str, *, judged: int) -> list[dict[str, Any]]:
    """Judge a study anew, and wait until so many were judged in all; gives its results."""
    running.run("jobs", "rerun", study_uid)
    wait_until(lambda: len(running.events("StudyJudged")) == judged, limit_s=120, what=running._log_end)
    return [dict(one) for one in wait_until_done(running, study_uid)["results"]]
