"""A bucket of an object store (here an imitation of S3, moto): what only it has, and what happens when it does not answer."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.errors import SpoolFailed, StoreFailed
from dicom_node.place import bucket
from dicom_node.place.bucket import Bucket
from dicom_node.place.cache import Cache
from dicom_node.spool import Spool
from tests.peers.bucket import ImitatedS3
from tests.peers.ports import find_free_port
from tests.receive.receiving import make_data_set
from tests.spool.test_spool import put

HOUR_S, DAY_S = 3600, 86_400


@pytest.fixture
def store(imitated_s3: ImitatedS3, monkeypatch: pytest.MonkeyPatch) -> ImitatedS3:
    for name, value in imitated_s3.environment.items():
        monkeypatch.setenv(name, value)
    return imitated_s3


def test_a_large_object_is_sent_in_parts_and_comes_back(store: ImitatedS3, tmp_path: Path) -> None:
    spool, content = Spool(Bucket(store.create(), "spool", tmp_path, 10**9)), os.urandom(3 * bucket._PART_BYTES + 5)
    instance = put(spool, content)
    assert put(spool, content, calling="A") == instance
    with spool.open(instance) as file:
        assert hashlib.sha256(file.read()).hexdigest() == instance.digest
    assert spool.path(instance).stat().st_size == instance.offset + instance.length
    assert list((tmp_path / "incoming" / "spool").iterdir()) == []


SEND = """
import resource, sys
from pathlib import Path
from dicom_node.spool import Spool
from dicom_node.place.bucket import Bucket
from dicom_node.values import AETitle
spool = Spool(Bucket(sys.argv[1], "spool", Path(sys.argv[2]), 10**9))
names = dict(sop_class_uid="1.2", transfer_syntax_uid="1.2.840.10008.1.2.1", calling=AETitle("A"), called=AETitle("N"), source="")
spool.put(b"small", sop_instance_uid="2.25.1", **names)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[3], "rb") as file:
    instance = spool.put(file, sop_instance_uid="2.25.2", **names)
spool.path(instance)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_object(store: ImitatedS3, tmp_path: Path) -> None:
    """Written, sent and fetched: 200 MB go through far less memory."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(200_000_000)
    command = [sys.executable, "-c", SEND, store.create(), str(tmp_path / "machine"), str(tmp_path / "large")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout
    assert int(said) < 100


@pytest.mark.parametrize("state", ["nobody listens", "no such bucket"])
def test_a_store_that_fails_is_an_error_to_try_again(
    state: str, store: ImitatedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for reading: a wrong address must not look like images that have left."""
    if state == "nobody listens":
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{find_free_port()}")
    spool = Spool(Bucket("s3://there-is-none", "spool", tmp_path, 10**9))
    with pytest.raises(StoreFailed):
        put(spool, make_data_set())
    with pytest.raises(StoreFailed):
        list(spool.list())
    with pytest.raises(StoreFailed):
        Bucket("s3://there-is-none", "kept", tmp_path, 10**9).read("ab/abcd.value")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []  # nothing of it stays here either


def test_what_the_store_has_said_it_holds_is_there_for_another_machine(store: ImitatedS3, tmp_path: Path) -> None:
    address = store.create()
    instance = put(Spool(Bucket(address, "spool", tmp_path / "one", 10**9)), make_data_set())
    other = Spool(Bucket(address, "spool", tmp_path / "other", 10**9))
    assert (other.local_root((instance,)) / instance.file).is_relative_to(tmp_path / "other")
    assert [receipt.instance for receipt in other.list()] == [instance]


def test_an_object_that_left_is_missing_although_its_neighbours_are_there(store: ImitatedS3, tmp_path: Path) -> None:
    """A series is at hand whole or not at all."""
    spool = Spool(Bucket(store.create(), "spool", tmp_path, 10**9))
    kept, gone = (put(spool, make_data_set(f"2.25.{number}"), uid=f"2.25.{number}") for number in (20, 21))
    spool.remove(gone)
    with pytest.raises(SpoolFailed) as failed:
        spool.local_root((kept, gone))
    assert failed.value.errno == 2
    assert spool.misses_any((kept, gone))
    assert not spool.misses_any((kept,))


def test_a_copy_that_is_not_whole_is_fetched_again(store: ImitatedS3, tmp_path: Path) -> None:
    spool = Spool(Bucket(store.create(), "spool", tmp_path, 10**9))
    instance = put(spool, make_data_set())
    spool.path(instance).write_bytes(b"cut")
    assert spool.path(instance).read_bytes()[instance.offset :] == make_data_set()


def test_two_parts_of_one_bucket_do_not_see_each_other(store: ImitatedS3, tmp_path: Path) -> None:
    address = store.create()
    put(Spool(Bucket(address, "spool", tmp_path, 10**9)), make_data_set())
    kept = Bucket(address, "kept", tmp_path, 10**9)
    assert not kept.has_any()
    kept.write("ab/abcd.value", b"value")
    assert kept.read("ab/abcd.value") == b"value"
    assert len(list(Spool(Bucket(address, "spool", tmp_path, 10**9)).list())) == 1


# -- copies on this machine --------------------------------------------------------------------------------------------------


def fill(cache: Cache, count: int, *, idle_s: float, step_s: float = 1.0) -> None:
    """So many copies of a thousand bytes, the first idle for longest."""
    for number in range(count):
        path = cache.put(f"spool/ab/{number}", [b"x" * 1000])
        used_at = path.stat().st_mtime - idle_s + number * step_s
        os.utime(path, (used_at, used_at))


def left(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.root.rglob("*") if path.is_file())


def test_what_was_used_longest_ago_leaves_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 3000)
    fill(cache, 5, idle_s=2 * HOUR_S)
    assert cache.find("spool/ab/0") is not None  # used now
    cache.tidy()
    assert left(cache) == ["0", "3", "4"]


def test_what_may_be_in_use_stays_beyond_the_limit(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 3000)
    fill(cache, 5, idle_s=HOUR_S / 2)
    cache.tidy()
    assert left(cache) == ["0", "1", "2", "3", "4"]


def test_what_nobody_wanted_for_a_day_leaves_and_so_do_halves(tmp_path: Path) -> None:
    """A copy must not outlive for long what retention removed by way of another machine."""
    cache = Cache(tmp_path / "cache", 10**6)
    fill(cache, 3, idle_s=DAY_S + HOUR_S, step_s=HOUR_S)
    half = cache.root / "spool" / "ab" / "5.other.1.1.part"
    half.write_bytes(b"")
    os.utime(half, (0, 0))
    cache.tidy()
    assert left(cache) == ["2"]


def test_a_copy_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 3000)

    def blocks() -> Iterator[bytes]:
        yield b"half"
        raise StoreFailed("GenericError")

    with pytest.raises(StoreFailed):
        cache.put("spool/ab/1", blocks())
    assert left(cache) == []
    assert cache.find("spool/ab/1") is None
