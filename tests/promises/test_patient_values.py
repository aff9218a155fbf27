"""No value of a patient leaves the spool and the objects: not in a log line, file name, journal row or status output."""

import sqlite3
from collections.abc import Callable
from typing import Any

from pydicom.dataset import Dataset

from tests.make.study import make_chest
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc
from tests.promises.studies import orthanc_as_peer, results_in, wait_until_done

MARK = "ZZPHI"
MARKED = {
    "PatientName": "ZZPHI^Anne^Marie",
    "PatientID": "ZZPHI-4711",
    "OtherPatientNames": "ZZPHI^Other",
    "PatientBirthDate": "19530317",
    "PatientComments": "ZZPHI comment",
    "PatientAddress": "ZZPHI street",
    "AccessionNumber": "ZZPHI-ACC",
    "ReferringPhysicianName": "ZZPHI^Doctor",
    "InstitutionName": "ZZPHI hospital",
    "StudyDescription": "ZZPHI study",
    "SeriesDescription": "ZZPHI series",
    "StudyID": "ZZPHI1",
    "ProtocolName": "ZZPHI protocol",
    "StationName": "ZZPHISTATION",
    "OperatorsName": "ZZPHI^Operator",
}


def test_marked_values_appear_nowhere_but_in_the_spool_and_the_objects(orthanc: Orthanc, node: Callable[..., NodeProcess]) -> None:
    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    good = make_chest(patient=MARKED)
    broken = [break_header(data_set, index) for index, data_set in enumerate(make_chest(patient=MARKED, name="broken")[:12])]
    with Modality(running.port) as sender:
        statuses = [sender.store(data_set) for data_set in [*good, *broken]]
    assert statuses.count(0x0000) >= len(good)
    study_uid = good[0].StudyInstanceUID
    wait_until_done(running, study_uid)
    wait_until_done(running, broken[0].StudyInstanceUID)
    report = results_in(orthanc, study_uid)["SR"]
    assert str(report.PatientName) == MARKED["PatientName"]  # the identity did travel, or nothing would be proven

    seen = {
        "log": running.log.read_text(),
        "status": running.run("status").stdout + running.run("status", "--json").stdout + running.run("status", study_uid).stdout,
        "replay": running.run("replay").stdout,
        "file names": "\n".join(str(path) for path in running.data.rglob("*")),
        "journal": "\n".join(rows_of(running)),
        "kept values": "\n".join(path.read_text(errors="replace") for path in running.data.glob("kept/*/*.value")),
    }
    for where, text in seen.items():
        assert text.strip(), where
        assert MARK not in text.upper(), where
        assert MARKED["PatientBirthDate"] not in text, where


def break_header(data_set: Dataset, index: int) -> Dataset:
    """A header that a model cannot use, a different one for each image: what is complained about may carry what is said."""
    data_set.Rows = 3 if index % 2 else data_set.Rows
    if index % 3 == 0:
        data_set.ImagePositionPatient = None
    if index % 4 == 0:
        data_set.PatientID = f"ZZPHI-{index}"
    return data_set


def rows_of(running: NodeProcess) -> list[str]:
    """Every row of every table of the journal, the engine's own too."""
    connection = sqlite3.connect(running.data / "journal.sqlite")
    try:
        tables: list[Any] = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
        return [f"{name}: {row}" for (name,) in tables for row in connection.execute(f'select * from "{name}"')]
    finally:
        connection.close()
