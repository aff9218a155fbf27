"""Late images make a gap, and later ones fill it: the notice names the result that was there, and the next result names both."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.encode.results import named
from tests.faults.studies import make_study, write_package
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc
from tests.peers.waiting import wait_until
from tests.promises.studies import orthanc_as_peer, wait_until_done
from tests.promises.test_withdrawal import held, predecessors, send


@pytest.mark.timeout(400)
def test_what_is_not_analysed_any_more_names_the_result_that_was(
    orthanc: Orthanc, node: Callable[..., NodeProcess], tmp_path: Path
) -> None:
    peer = {**orthanc_as_peer(orthanc), "says_not_analysed": True}
    running = node(peers={"pacs": peer}, models=[write_package(tmp_path / "bright")])
    images = make_study("gap", 18)
    known: set[str] = set()

    def report_after(some: slice, count: int) -> tuple[str, set[str], str]:
        study = send(running, images[some])
        wait_until(lambda: len(running.status(study)["studies"][0]["results"]) == count, limit_s=150, what=running._log_end)
        wait_until_done(running, study)
        (report,) = [one for uid, one in held(orthanc, study).items() if one.Modality == "SR" and uid not in known]
        known.add(str(report.SOPInstanceUID))
        comment = named(list(report.ContentSequence), "121106")[0].TextValue
        return str(report.SOPInstanceUID), predecessors(report), comment

    first, none, _ = report_after(slice(0, 12), 1)
    refused, of_refusal, comment = report_after(slice(14, 18), 2)
    latest, of_latest, _ = report_after(slice(12, 14), 3)
    assert none == set()
    assert of_refusal == {first}
    assert "Not analysed: slices are missing" in comment
    assert "An earlier result of the algorithm, made on 20" in comment
    assert of_latest == {first, refused}
    assert latest not in (first, refused)
