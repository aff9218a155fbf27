"""The archive answers as a PACS does, to pynetdicom and to DCMTK: what the other tests count with must be right itself."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_node.deliver.checkpoint import guard
from dicom_node.values import derive_uid
from tests.make.series import make_series, write_series
from tests.peers.archive import Archive, Destination, digest_of_data_set, read_record

COUNT = 5


@pytest.fixture
def series(tmp_path: Path) -> list[Path]:
    return write_series(make_series(_air, shape=(COUNT, 8, 8), name="archive"), tmp_path / "series")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "archive") as running:
        yield running


def _air(lps: Any) -> Any:
    return lps[..., 0] * 0.0 - 1000.0


def _associate(archive: Archive, *classes: str, roles: bool = False, **options: Any) -> Association:
    requestor = AE(ae_title="TESTER")
    for sop_class in classes:
        requestor.add_requested_context(sop_class)
    if roles:
        options["ext_neg"] = [build_role(sop_class, scp_role=True) for sop_class in classes]
    return guard(requestor.associate("127.0.0.1", archive.port, ae_title=archive.ae_title, **options))


def _store(archive: Archive, files: list[Path]) -> list[int]:
    association = _associate(archive, CTImageStorage)
    assert association.is_established
    statuses = [association.send_c_store(dcmread(file)).Status for file in files]
    association.release()
    return statuses


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_keeps_the_bytes_and_counts_every_store(archive: Archive, series: list[Path]) -> None:
    assert _store(archive, series) == [0] * COUNT
    assert _store(archive, series[:1]) == [0]
    kept = {dcmread(file).SOPInstanceUID: digest_of_data_set(file) for file in archive.files()}
    sent = {dcmread(file).SOPInstanceUID: digest_of_data_set(file) for file in series}
    assert kept == sent
    assert sorted(read_record(archive.folder).values()) == [1] * (COUNT - 1) + [2]


def test_it_knows_its_folder_again(archive: Archive, series: list[Path]) -> None:
    _store(archive, series)
    with Archive(archive.folder) as again:
        assert _find_count(again, series) == COUNT


def test_programmed_statuses_come_in_order_and_a_failure_is_not_kept(archive: Archive, series: list[Path]) -> None:
    archive.answers.stores[CTImageStorage] = [0xA700, 0xB000]
    assert _store(archive, series[:3]) == [0xA700, 0xB000, 0]
    assert len(archive.files()) == 2
    assert [stored.status for stored in archive.record] == [0xA700, 0xB000, 0]


def test_it_rejects_as_told(archive: Archive) -> None:
    archive.answers.reject = (1, 1, 7)
    association = _associate(archive, CTImageStorage)
    assert association.is_rejected
    assert association.acceptor.primitive.diagnostic == 7


def _find_count(archive: Archive, series: list[Path]) -> int | None:
    first = dcmread(series[0])
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID, query.SeriesInstanceUID = first.StudyInstanceUID, first.SeriesInstanceUID
    query.NumberOfSeriesRelatedInstances = ""
    association = _associate(archive, StudyRootQueryRetrieveInformationModelFind)
    answers = list(association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
    association.release()
    (found,) = [identifier for status, identifier in answers if status.Status == 0xFF00]
    return found.get("NumberOfSeriesRelatedInstances")


def test_the_number_of_instances_is_told_unless_it_may_not(archive: Archive, series: list[Path]) -> None:
    _store(archive, series)
    assert _find_count(archive, series) == COUNT
    archive.answers.counts = False
    assert _find_count(archive, series) is None


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_findscu_finds_on_every_level(archive: Archive, series: list[Path], dcmtk: Callable[[str], str], level: str) -> None:
    _store(archive, series)
    first = dcmread(series[0])
    keys = {
        "STUDY": ["PatientID=" + str(first.PatientID)[:3] + "*", "StudyDate=20250101-20250131", "StudyInstanceUID", "ModalitiesInStudy"],
        "SERIES": [f"StudyInstanceUID={first.StudyInstanceUID}", "SeriesInstanceUID", "Modality=CT"],
        "IMAGE": [f"StudyInstanceUID={first.StudyInstanceUID}", f"SeriesInstanceUID={first.SeriesInstanceUID}", "SOPInstanceUID"],
    }[level]
    arguments = ["-S", "-aec", archive.ae_title, "-k", f"QueryRetrieveLevel={level}"]
    for key in keys:
        arguments += ["-k", key]
    told = _run(dcmtk("findscu"), "-v", *arguments, "127.0.0.1", str(archive.port))
    assert told.count("(Pending)") == (COUNT if level == "IMAGE" else 1)


def test_a_key_that_does_not_fit_finds_nothing(archive: Archive, series: list[Path], dcmtk: Callable[[str], str]) -> None:
    _store(archive, series)
    arguments = ["-S", "-aec", archive.ae_title, "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=NOBODY"]
    assert "(Pending)" not in _run(dcmtk("findscu"), "-v", *arguments, "127.0.0.1", str(archive.port))


def test_echoscu_is_answered(archive: Archive, dcmtk: Callable[[str], str]) -> None:
    _run(dcmtk("echoscu"), "-aec", archive.ae_title, "127.0.0.1", str(archive.port))


@pytest.mark.parametrize("program", ["storescu"])
def test_storescu_stores(archive: Archive, series: list[Path], dcmtk: Callable[[str], str], program: str) -> None:
    _run(dcmtk(program), "-R", "-aec", archive.ae_title, "127.0.0.1", str(archive.port), *map(str, series))
    assert len(archive.files()) == COUNT


def test_getscu_fetches_a_study(archive: Archive, series: list[Path], dcmtk: Callable[[str], str], tmp_path: Path) -> None:
    _store(archive, series)
    (tmp_path / "got").mkdir()
    study = f"StudyInstanceUID={dcmread(series[0]).StudyInstanceUID}"
    arguments = ["-S", "-aec", archive.ae_title, "-od", str(tmp_path / "got"), "-k", "QueryRetrieveLevel=STUDY", "-k", study]
    _run(dcmtk("getscu"), *arguments, "127.0.0.1", str(archive.port))
    assert len(list((tmp_path / "got").iterdir())) == COUNT


def test_movescu_sends_a_study_to_another_archive_with_the_same_bytes(
    archive: Archive, series: list[Path], dcmtk: Callable[[str], str], tmp_path: Path
) -> None:
    _store(archive, series)
    study = f"StudyInstanceUID={dcmread(series[0]).StudyInstanceUID}"
    with Archive(tmp_path / "other", ae_title="OTHER") as other:
        archive.peers["OTHER"] = Destination("OTHER", "127.0.0.1", other.port)
        arguments = ["-S", "-aec", archive.ae_title, "-aem", "OTHER", "-k", "QueryRetrieveLevel=STUDY", "-k", study]
        _run(dcmtk("movescu"), *arguments, "127.0.0.1", str(archive.port))
        assert sorted(map(digest_of_data_set, other.files())) == sorted(map(digest_of_data_set, series))
        assert {stored.calling for stored in other.record} == {archive.ae_title}


def test_a_move_to_a_stranger_is_refused(archive: Archive, series: list[Path], dcmtk: Callable[[str], str]) -> None:
    _store(archive, series)
    arguments = ["-v", "-S", "-aec", archive.ae_title, "-aem", "STRANGER", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=*"]
    done = subprocess.run([dcmtk("movescu"), *arguments, "127.0.0.1", str(archive.port)], capture_output=True, text=True, timeout=60)
    assert "MoveDestinationUnknown" in done.stdout + done.stderr


@pytest.mark.parametrize("commits_here", [True, False])
def test_storage_commitment_tells_what_is_held_and_what_is_not(archive: Archive, series: list[Path], commits_here: bool) -> None:
    _store(archive, series)
    archive.answers.commits_here = commits_here
    reports: list[Dataset] = []

    def on_report(event: evt.Event) -> tuple[int, Dataset | None]:
        reports.append(event.event_information)
        return 0, None

    listener = AE(ae_title="TESTER")
    listener.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = listener.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)])
    archive.peers["TESTER"] = Destination("TESTER", "127.0.0.1", server.socket.getsockname()[1])

    association = _associate(archive, StorageCommitmentPushModel, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)])
    request = Dataset()
    request.TransactionUID = derive_uid("test", "transaction")
    request.ReferencedSOPSequence = []
    for uid in [dcmread(series[0]).SOPInstanceUID, derive_uid("test", "unknown")]:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
        request.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assert status.Status == 0
    assert archive.wait_for(lambda here: len(here.commitments) == 1, limit_s=10)
    association.release()
    listener.shutdown()

    (report,) = reports
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [dcmread(series[0]).SOPInstanceUID]
    assert [item.FailureReason for item in report.FailedSOPSequence] == [0x0112]


def test_it_converts_for_a_peer_that_takes_only_implicit(
    archive: Archive, series: list[Path], tmp_path: Path, dcmtk: Callable[[str], str]
) -> None:
    _store(archive, series)
    with Archive(tmp_path / "other", ae_title="OTHER", transfer_syntaxes=[ImplicitVRLittleEndian]) as other:
        archive.peers["OTHER"] = Destination("OTHER", "127.0.0.1", other.port)
        arguments = ["-S", "-aec", archive.ae_title, "-aem", "OTHER", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=*"]
        _run(dcmtk("movescu"), *arguments, "127.0.0.1", str(archive.port))
        assert [stored.transfer_syntax_uid for stored in other.record] == [ImplicitVRLittleEndian] * COUNT
