"""The spool: the same twice is one file, a crash leaves whole or removable files, the files alone tell what was received.

What holds for a folder holds for a bucket of an object store too, here for that of an imitation of S3 (moto).
"""

import hashlib
import io
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.errors import SpoolFailed
from dicom_node.place import folder
from dicom_node.spool import Incoming, Spool
from dicom_node.values import AETitle, InstanceRef
from tests.place.opening import Opening
from tests.receive.receiving import make_data_set

CT_IMAGE, EXPLICIT_LITTLE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"


def put(
    spool: Spool, content: bytes | io.BytesIO, uid: str = "2.25.7", calling: str = "MODALITY", source: str = "dicom://10.0.0.1"
) -> InstanceRef:
    return spool.put(
        content,
        sop_class_uid=CT_IMAGE,
        sop_instance_uid=uid,
        transfer_syntax_uid=EXPLICIT_LITTLE,
        calling=AETitle(calling),
        called=AETitle("NODE"),
        source=source,
    )


# -- a folder and a bucket alike --------------------------------------------------------------------------------------------


def test_the_bytes_come_back_as_they_were_put(opening: Opening) -> None:
    spool, data_set = Spool(opening("spool")), make_data_set()
    instance = put(spool, data_set)
    assert instance.digest == hashlib.sha256(data_set).hexdigest()
    assert instance.length == len(data_set)
    with spool.open(instance) as file:
        assert file.read() == data_set
        file.seek(instance.offset + 7)
        assert file.read(5) == data_set[7:12]
    assert spool.has(instance)
    assert put(spool, io.BytesIO(data_set)) == instance  # from a file, block by block
    assert put(spool, memoryview(data_set)) == instance  # type: ignore[arg-type]


def test_a_file_is_part_10_and_says_who_sent_it(opening: Opening) -> None:
    spool = Spool(opening("spool"))
    file = dcmread(spool.path(put(spool, make_data_set())))
    assert file.file_meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID == "2.25.7"
    assert file.file_meta.SourceApplicationEntityTitle == "MODALITY"
    assert file.file_meta.SendingApplicationEntityTitle == "MODALITY"
    assert file.file_meta.ReceivingApplicationEntityTitle == "NODE"
    assert file.file_meta.SourcePresentationAddress == "dicom://10.0.0.1"


def test_the_same_twice_is_one_file_whoever_sends_it(opening: Opening) -> None:
    spool, data_set = Spool(opening("spool")), make_data_set()
    first = put(spool, data_set)
    second = put(spool, data_set, calling="A", source="dicom://[fd00::1234:5678]")
    assert first == second  # the same place too, although the other title is shorter
    (receipt,) = spool.list()
    assert receipt.calling == AETitle("MODALITY")  # the first one stays


def test_other_bytes_under_the_same_uid_are_another_file(opening: Opening) -> None:
    spool = Spool(opening("spool"))
    first, other = put(spool, make_data_set()), put(spool, make_data_set(pixels=b"\0\0" * 16))
    assert first.file != other.file
    with spool.open(first) as file:
        assert file.read() == make_data_set()


def test_no_name_holds_a_uid_or_a_value(opening: Opening) -> None:
    instance = put(Spool(opening("spool")), make_data_set("1.2.840.99999.12345.67890"), uid="1.2.840.99999.12345.67890")
    assert "99999" not in instance.file
    assert "Phantom" not in instance.file
    assert "P-1" not in instance.file


def test_receipts_are_read_back_from_the_files_alone(opening: Opening) -> None:
    spool = Spool(opening("spool"))
    assert not spool.has_any()
    put_instances = {put(spool, make_data_set(f"2.25.{number}"), uid=f"2.25.{number}") for number in range(20, 70)}
    assert spool.has_any()
    receipts = list(Spool(opening("spool")).list())
    assert {receipt.instance for receipt in receipts} == put_instances
    assert {(one.study_instance_uid, one.series_instance_uid) for one in receipts} == {("2.25.2", "2.25.3")}
    assert {(one.calling.text, one.called.text) for one in receipts} == {("MODALITY", "NODE")}


def test_what_is_removed_is_gone_and_may_be_removed_again(opening: Opening) -> None:
    spool = Spool(opening("spool"))
    instance = put(spool, make_data_set())
    here = spool.path(instance)
    assert here.exists()
    spool.remove(instance)
    spool.remove(instance)
    assert list(spool.list()) == []
    assert not spool.has(instance)
    assert not here.exists()
    with pytest.raises(SpoolFailed) as failed:
        spool.open(instance)
    assert failed.value.errno == 2


def test_an_instance_that_is_dropped_leaves_nothing(opening: Opening, tmp_path: Path) -> None:
    spool = Spool(opening("spool"))
    incoming = begin(spool)
    incoming.write(b"half")
    incoming.drop()
    assert list(spool.list()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_series_is_at_hand_under_one_folder(opening: Opening) -> None:
    spool = Spool(opening("spool"))
    stored = [put(spool, make_data_set(f"2.25.{number}"), uid=f"2.25.{number}") for number in range(20, 30)]
    root = Spool(opening("spool")).local_root(stored)
    for instance in stored:
        content = (root / instance.file).read_bytes()
        assert hashlib.sha256(content[instance.offset :]).hexdigest() == instance.digest
        assert len(content) == instance.offset + instance.length


# -- a folder ---------------------------------------------------------------------------------------------------------------


def test_the_same_twice_is_one_file_on_the_disk(tmp_path: Path) -> None:
    spool, data_set = Spool(tmp_path), make_data_set()
    put(spool, data_set)
    put(spool, data_set, calling="A")
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_damaged_twin_is_replaced(tmp_path: Path) -> None:
    spool, data_set = Spool(tmp_path), make_data_set()
    instance = put(spool, data_set)
    spool.path(instance).write_bytes(b"cut")
    put(spool, data_set)
    with spool.open(instance) as file:
        assert file.read() == data_set


def test_a_file_that_is_none_of_ours_is_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    instance = put(spool, make_data_set())
    (tmp_path / "zz").mkdir()
    (tmp_path / "zz" / "stranger.dcm").write_bytes(b"none of ours")
    assert [receipt.instance for receipt in spool.list()] == [instance]


def test_a_disk_that_refuses_is_an_error_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SpoolFailed):
        put(Spool(tmp_path / "file"), make_data_set())


def test_how_full_the_disk_is_lies_between_nothing_and_all(tmp_path: Path) -> None:
    usage = os.statvfs(tmp_path)
    expected = 100 * (usage.f_blocks - usage.f_bfree) / (usage.f_blocks - usage.f_bfree + usage.f_bavail)
    assert Spool(tmp_path).used_percent() == pytest.approx(expected, abs=1)


def test_a_kill_half_way_leaves_no_half_file_and_the_next_start_removes_the_rest(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    whole = put(spool, make_data_set())
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    writer = context.Process(target=write_half, args=(tmp_path, ready))
    writer.start()
    assert ready.wait(timeout=60)
    assert spool.remove_leftovers() == 0  # somebody still writes it
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert [receipt.instance for receipt in spool.list()] == [whole]
    assert len(list(tmp_path.rglob("*.part"))) == 1
    assert spool.remove_leftovers() == 1
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".dcm"]


@pytest.mark.parametrize(("age_s", "removed"), [(0, 0), (3500, 0), (3700, 1)])
def test_a_part_of_another_machine_is_left_alone_for_an_hour(tmp_path: Path, age_s: int, removed: int) -> None:
    """A lock does not reach over every shared folder: nobody holds this one here."""
    spool = Spool(tmp_path)
    whole = put(spool, make_data_set())
    part = spool.path(whole).parent / f"{'0' * 32}.other-machine.{os.getpid()}.1{folder.PART}"
    part.write_bytes(b"half")
    now = part.stat().st_mtime
    os.utime(part, (now - age_s, now - age_s))
    assert spool.remove_leftovers() == removed
    assert part.exists() is not bool(removed)


def write_half(root: Path, ready: "multiprocessing.synchronize.Event") -> None:
    incoming = begin(Spool(root))
    incoming.write(b"half")
    ready.set()
    signal.pause()


def begin(spool: Spool) -> Incoming:
    return spool.begin(
        sop_class_uid=CT_IMAGE,
        sop_instance_uid="2.25.9",
        transfer_syntax_uid=EXPLICIT_LITTLE,
        calling=AETitle("MODALITY"),
        called=AETitle("NODE"),
        source="dicom://10.0.0.1",
    )
