"""192 real files that are odd, sent to the running node: each is answered, nothing is lost, nobody waits."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.make.study import make_chest
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc, start_orthanc
from tests.peers.part10 import read_encoded, split_file
from tests.peers.waiting import wait_until
from tests.promises.studies import orthanc_as_peer, read_masks, read_values, results_in, wait_until_done


@pytest.mark.timeout(600)
def test_odd_files_are_answered_and_a_good_series_among_them_is_analysed_as_if_alone(
    orthanc: Orthanc, node: Callable[..., NodeProcess], shared_data: Path
) -> None:
    """It holds when, line 9."""
    chest = make_chest()
    study_uid = chest[0].StudyInstanceUID
    with start_orthanc() as other:
        alone = node(peers={"pacs": orthanc_as_peer(other)})
        with Modality(alone.port) as sender:
            assert all(sender.store(one) == 0x0000 for one in chest)
        wait_until_done(alone, study_uid)
        expected = results_in(other, study_uid)
        alone.stop()

    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    odd = sorted(path for path in (shared_data / "odd").rglob("*") if path.is_file() and path.name != "README.md")
    assert len(odd) == 192
    acknowledged: list[str] = []
    refused = unsendable = 0
    for index, path in enumerate(odd):
        encoded = read_encoded(path)
        with Modality(running.port) as sender:
            status = None if encoded is None else sender.store(encoded)
            if index < len(chest):
                assert sender.store(chest[index]) == 0x0000, path
        if encoded is None or status is None:
            unsendable += 1
        elif status == 0x0000:
            acknowledged.append(hashlib.sha256(encoded.data_set).hexdigest())
        else:
            refused += 1
    with Modality(running.port) as sender:
        assert all(sender.store(one) == 0x0000 for one in chest[len(odd) :])
    print(f"odd: acknowledged={len(acknowledged)} refused={refused} unsendable={unsendable}")
    assert len(acknowledged) > 100

    in_spool = digests_in_spool(running)
    assert in_spool >= set(acknowledged)

    study = wait_until_done(running, study_uid)
    wait_until(
        lambda: all(one["state"] in ("done", "failed", "undelivered") for one in running.look()["studies"]),
        limit_s=240,
        every_s=0.5,
        what=lambda: running.run("status", "--limit", "1000").stdout,
    )
    everything = running.status("--limit", "1000")["studies"]
    assert [one["study"] for one in everything if one["state"] == "failed"] == []
    for one in everything:
        for series in one["series"]:
            assert series["answers"], series  # each series says why it was analysed or not
    assert len(study["results"]) == 1
    found = results_in(orthanc, study_uid)
    assert read_values(found["SR"]) == read_values(expected["SR"])
    masks, expected_masks = read_masks(found["SEG"]), read_masks(expected["SEG"])
    assert masks.keys() == expected_masks.keys()
    assert all((masks[number] == expected_masks[number]).all() for number in masks)
    assert not [event for event in running.events() if event["event"] in ("RoleDied", "Broken")]


def digests_in_spool(running: NodeProcess) -> set[str]:
    """SHA-256 of every data set in the spool, cut out of its file by the place that the journal names."""
    connection = sqlite3.connect(running.data / "journal.sqlite")
    try:
        rows = connection.execute('select file, "offset", length from node_instances').fetchall()
        aside = connection.execute("select file from node_conflicts").fetchall()
    finally:
        connection.close()
    root = running.data / "spool"
    found = {hashlib.sha256((root / file).read_bytes()[offset : offset + length]).hexdigest() for file, offset, length in rows}
    return found | {hashlib.sha256(split_file(root / file)[1]).hexdigest() for (file,) in aside}
