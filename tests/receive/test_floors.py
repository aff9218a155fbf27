"""Images are refused early where there is no room, for a reason of its own each, and taken again as soon as there is."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from dicom_node import journal
from dicom_node.clock import SystemClock
from dicom_node.config import ReceiverSection
from dicom_node.errors import DataDiskFull, MemoryShort, SpoolFailed, SpoolFull, TooManyOpenStudies
from dicom_node.receive import Floors
from dicom_node.receive.floors import memory_used_percent
from dicom_node.receive.receipt import status_of
from dicom_node.spool import Incoming, Spool
from dicom_node.values import AETitle, InstanceRef, Receipt
from dicom_node.values.receipts import Known
from tests.peers.sender import CT_IMAGE
from tests.receive.receiving import make_data_set, receiving

pytestmark = pytest.mark.usefixtures("way")

# -- memory ---------------------------------------------------------------------------------------------------------------


def make_machine(folder: Path, files: dict[str, str]) -> Path:
    """A folder with files as Linux shows them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


MEMINFO = {"proc/meminfo": "MemTotal:       1000 kB\nMemFree:          10 kB\nMemAvailable:    400 kB\nHugePages_Total:       0\n"}
GROUP = {
    "proc/self/cgroup": "0::/system.slice/node.service\n",
    "sys/fs/cgroup/system.slice/node.service/memory.max": "max\n",
    "sys/fs/cgroup/system.slice/node.service/memory.current": "900\n",
    "sys/fs/cgroup/system.slice/memory.max": "1000\n",
    "sys/fs/cgroup/system.slice/memory.current": "960\n",
    "sys/fs/cgroup/system.slice/memory.stat": "anon 700\nfile 200\nactive_file 40\ninactive_file 120\n",
}
CONTAINER = {
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/memory.max": "2000\n",
    "sys/fs/cgroup/memory.current": "1900\n",
    "sys/fs/cgroup/memory.stat": "anon 1800\ninactive_file 0\nactive_file 0\n",
}


@pytest.mark.parametrize(
    ("files", "percent"),
    [
        ({}, None),  # not Linux
        (MEMINFO, 60.0),
        (MEMINFO | GROUP, 80.0),  # the group above ours has the limit; contents of files can be dropped
        (MEMINFO | CONTAINER, 95.0),
        (MEMINFO | CONTAINER | {"sys/fs/cgroup/memory.max": "max\n"}, 60.0),
        (MEMINFO | CONTAINER | {"sys/fs/cgroup/memory.current": "200\n"}, 60.0),  # the machine is nearer to its limit
        ({"proc/self/cgroup": "4:memory:/x\n0::/\n"}, None),  # the version before: no limit is known
    ],
)
def test_memory_is_that_of_whatever_is_nearest_to_its_limit(tmp_path: Path, files: dict[str, str], percent: float | None) -> None:
    assert memory_used_percent(make_machine(tmp_path, files)) == pytest.approx(percent) if percent else True
    assert (memory_used_percent(tmp_path) is None) == (percent is None)


def test_this_machine_says_how_full_its_memory_is() -> None:
    percent = memory_used_percent()
    assert percent is not None
    assert 0.0 < percent < 100.0


# -- each floor has its own reason, and is left by itself ---------------------------------------------------------------------


def test_each_floor_is_reached_and_left_by_itself(tmp_path: Path) -> None:
    waiting = [0]
    make_machine(tmp_path, MEMINFO)
    spool = Spool(tmp_path)
    section = ReceiverSection(most_open_studies=7, disk_high_water_percent=100.0)
    floors = Floors(section, spool, (tmp_path,), lambda limit: min(waiting[0], limit), tmp_path)
    floors.look()
    assert floors.reached is None
    waiting[0] = 900
    floors.look()
    assert floors.reached == TooManyOpenStudies(7)
    waiting[0] = 6
    floors.look()
    assert floors.reached is None
    make_machine(tmp_path, {"proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 40 kB\n"})
    floors.look()
    assert floors.reached == MemoryShort(96.0, 95.0)
    make_machine(tmp_path, MEMINFO)
    floors.look()
    assert floors.reached is None


@pytest.mark.parametrize(("spool", "folder", "kind"), [("", "", SpoolFull), ("gone", "", SpoolFailed), ("/proc", "", DataDiskFull)])
def test_disks(tmp_path: Path, spool: str, folder: str, kind: type[Exception]) -> None:
    """Of the spool and of the rest; /proc is a disk of no bytes at all, which counts as an empty one."""
    floors = Floors(ReceiverSection(disk_high_water_percent=0.000001), Spool(tmp_path / spool), (tmp_path / folder,), lambda _: 0)
    floors.look()
    assert isinstance(floors.reached, kind)


def test_a_journal_that_does_not_answer_is_no_reason_of_its_own(tmp_path: Path) -> None:
    """Its receipts say so themselves."""
    floors = Floors(ReceiverSection(disk_high_water_percent=100.0), Spool(tmp_path), (tmp_path,), lambda _: None)
    floors.look()
    assert floors.reached is None


@pytest.mark.parametrize("error", [SpoolFull(1.0, 1.0), DataDiskFull(1.0, 1.0), MemoryShort(1.0, 1.0), TooManyOpenStudies(5)])
def test_every_floor_is_answered_with_a700_and_a_comment_of_its_own(error: SpoolFull) -> None:
    status, comment = status_of(error)
    assert status == 0xA700
    assert 10 < len(comment) <= 64
    assert "cannot be stored now" not in comment


def test_images_are_refused_before_a_byte_is_written_and_taken_again(tmp_path: Path) -> None:
    """The association lives on; the log says once when it begins and once when it ends."""
    with receiving(tmp_path, waiting=3, most_open_studies=3) as running:
        with running.associate() as association:
            for number in range(5):
                assert association.store(make_data_set(f"2.25.{number}"), CT_IMAGE, f"2.25.{number}").status == 0xA700
            assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []
            assert running.receipts.refusals[0] == ("MODALITY", 0xA700, "too many studies wait for their analysis")
            running.floors._count_open = lambda _: 2
            running.floors.look()
            assert association.store(make_data_set("2.25.9"), CT_IMAGE, "2.25.9").status == 0
            association.release()
        assert list(running.stored()) == ["2.25.9"]
        assert (running.events.names.count("FloorReached"), running.events.names.count("FloorLeft")) == (1, 1)
        assert "InstanceRefused" not in running.events.names  # a hospital's worth of lines


# -- what the journal counts --------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    url = f"sqlite:///{tmp_path / 'journal.sqlite'}"
    journal.migrate(url)
    opened = journal.open_engine(url)
    yield opened
    opened.dispose()


def receipt(number: int, study: int) -> Receipt:
    instance = InstanceRef(f"1.2.{study}.{number}", CT_IMAGE, "1.2.840.10008.1.2.1", f"d{number}", "f", 0, 1)
    return Receipt(instance, f"1.2.{study}", f"1.2.{study}.0", AETitle("PACS"), AETitle("NODE"), "a:1")


def test_studies_that_wait_are_counted_up_to_the_limit(engine: sa.Engine) -> None:
    """Receiving, then being worked on; not any more when the job is finished, whatever its deliveries do."""
    client = journal.Client(engine, look_delay_s=5.0)
    with journal.open_receipts(engine, client, SystemClock()) as receipts:
        for study in range(4):
            assert [receipts.commit(receipt(number, study)) for number in range(3)] == [Known.NEW] * 3
    assert [journal.count_open_studies(engine, limit) for limit in (3, 4, 100)] == [3, 4, 4]
    with engine.begin() as connection:
        connection.execute(sa.text("update node_series set is_complete = 1 where study_instance_uid in ('1.2.0', '1.2.1')"))
        connection.execute(sa.text("update node_studies set generation = 1, closed = 0 where study_instance_uid in ('1.2.0', '1.2.1')"))
        connection.execute(sa.text("update node_studies set closed = 1 where study_instance_uid = '1.2.1'"))
    assert journal.count_open_studies(engine, 100) == 3
    engine.dispose()


def test_a_journal_that_is_gone_counts_nothing(tmp_path: Path) -> None:
    assert journal.count_open_studies(journal.open_engine(f"sqlite:///{tmp_path / 'none' / 'journal.sqlite'}"), 5) is None


# -- a full disk hangs nothing ------------------------------------------------------------------------------------------------


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that: every write behind it fails (EFBIG), as on a disk that is full there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_in_the_middle_of_an_object_leaves_nothing_behind(tmp_path: Path) -> None:
    """What the file's buffer still holds cannot be written either when it is thrown away: the association lives on all the same."""
    with receiving(tmp_path) as running:
        with running.associate() as association:
            with largest_file(200_001):
                assert association.store(make_data_set("2.25.1", pixels=b"\1" * 300_000), CT_IMAGE, "2.25.1").status == 0xA700
            assert association.store(make_data_set("2.25.2"), CT_IMAGE, "2.25.2").status == 0
            association.release()
        assert running.parts() == []
        assert list(running.stored()) == ["2.25.2"]
        assert running.receipts.refusals == [("MODALITY", 0xA700, "disk does not take the instance")]


def write_on(incoming: Incoming) -> None:
    while True:
        incoming.write(b"\1" * 1000)


def test_what_the_buffer_still_holds_does_not_keep_a_part_that_is_thrown_away(tmp_path: Path) -> None:
    """Small writes gather in the file's buffer, which closing the file writes, or tries to."""
    spool = Spool(tmp_path)
    names = {"calling": AETitle("A"), "called": AETitle("B"), "source": "dicom://1"}
    incoming = spool.begin(sop_class_uid=CT_IMAGE, sop_instance_uid="1.2", transfer_syntax_uid="1.2.840.10008.1.2.1", **names)  # type: ignore[arg-type]
    with largest_file(100_001):
        with pytest.raises(SpoolFailed):
            write_on(incoming)
        incoming.drop()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def commit_on(receipts: journal.Receipts) -> None:
    """As long as there is room in pages that are half full."""
    for number in range(1, 2000):
        receipts.commit(receipt(number, 1))


def test_a_journal_that_is_full_refuses_and_goes_on_when_there_is_room(engine: sa.Engine) -> None:
    """SQLite's own word for a full disk; the thread that commits lives, and every sender gets its answer."""
    client = journal.Client(engine, look_delay_s=5.0)
    pages = [0]

    @sa.event.listens_for(engine, "begin")
    def limit(connection: sa.Connection) -> None:
        if pages[0]:
            connection.exec_driver_sql(f"pragma max_page_count = {pages[0]}")

    with journal.open_receipts(engine, client, SystemClock()) as receipts:
        assert receipts.commit(receipt(0, 0)) is Known.NEW
        pages[0] = 1  # SQLite takes the size that the file has
        with pytest.raises(sa.exc.OperationalError, match="database or disk is full"):
            commit_on(receipts)
        pages[0] = 1 << 30
        assert receipts.commit(receipt(9999, 1)) is Known.NEW
