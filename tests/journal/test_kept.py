"""Values and bytes in files whose names come from their content: in a folder, and in a bucket of an imitation of S3 (moto) alike."""

from pathlib import Path

import pytest

from dicom_node.journal import Kept
from dicom_node.values import CompletenessRule
from dicom_node.values.records import ResultRecord
from tests.place.opening import Opening

FAR_FUTURE = 1e12


def make_record(number: int, made_at: float = 1.0) -> ResultRecord:
    return ResultRecord(f"{number:064x}", "2.25.2", "2.25.3", 0, "package", "1", None, 1, f"{number:040x}.value", made_at)


def test_what_is_kept_comes_back_by_a_name_of_its_own(opening: Opening) -> None:
    kept = Kept(opening("kept"))
    name = kept.write_value(("a", 1, CompletenessRule.COUNT))
    assert Kept(opening("kept")).read_value(name) == ("a", 1, CompletenessRule.COUNT)
    assert kept.write_value(("a", 1, CompletenessRule.COUNT)) == name
    assert kept.write_value(("a", 2, CompletenessRule.COUNT)) != name
    assert kept.has(name)
    assert not kept.has("")


def test_bytes_lie_at_hand_for_whoever_sends_them(opening: Opening) -> None:
    kept = Kept(opening("kept"))
    name = kept.write_bytes(b"object", suffix="dcm")
    assert Kept(opening("kept")).path(name).read_bytes() == b"object"
    assert Kept(opening("kept")).path(name).read_bytes() == b"object"


def test_what_is_removed_is_gone_and_may_be_removed_again(opening: Opening) -> None:
    kept = Kept(opening("kept"))
    name = kept.write_value("a")
    kept.remove(name)
    kept.remove(name)
    assert not kept.has(name)
    assert kept.find_value(name) is None
    with pytest.raises(FileNotFoundError):
        kept.read_value(name)
    with pytest.raises(FileNotFoundError):
        kept.path(name).read_bytes()


def test_records_are_read_back_from_the_files_alone_the_newest_of_each(opening: Opening) -> None:
    kept = Kept(opening("kept"))
    for number in range(30):
        kept.write_record(make_record(number))
    kept.write_record(make_record(7, made_at=2.0))
    records = {record.key: record for record in Kept(opening("kept")).read_records() if isinstance(record, ResultRecord)}
    assert set(records.values()) == {make_record(number, 2.0 if number == 7 else 1.0) for number in range(30)}
    kept.remove_record(make_record(7).identity)
    assert len(list(kept.read_records())) == 29


def test_a_record_of_a_part_is_found_or_none(opening: Opening) -> None:
    kept = Kept(opening("kept"))
    kept.write_record(make_record(1))
    found = [record for record in (kept.find_record(f"{shard:02x}") for shard in range(256)) if record is not None]
    assert found == [make_record(1)]
    assert kept.has_records()
    kept.remove_record(make_record(1).identity)
    assert not kept.has_records()


def test_values_that_nobody_wanted_since_a_time_are_found_and_nothing_else(opening: Opening) -> None:
    kept = Kept(opening("kept"))
    name = kept.write_value("a")
    kept.write_bytes(b"x", suffix="dcm")
    kept.write_record(make_record(1))
    shards = [f"{shard:02x}" for shard in range(256)]
    assert [found for shard in shards for found in kept.find_values(shard, FAR_FUTURE)] == [name]
    assert [found for shard in shards for found in kept.find_values(shard, 0.0)] == []


# -- a folder ---------------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_written_again_and_counts_as_wanted(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    name = kept.write_value("a")
    before = kept.path(name).stat()
    assert kept.write_value("a") == name
    assert kept.path(name).stat().st_ino == before.st_ino
    assert kept.path(name).stat().st_mtime_ns > before.st_mtime_ns


def test_what_a_crash_left_is_no_value_and_is_found(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    name = kept.write_bytes(b"x", suffix="dcm")
    kept.path(name).unlink()
    half = kept.path(name).parent / f".{name}.other-machine.1.1.part"
    half.write_bytes(b"")
    with pytest.raises(FileNotFoundError):
        kept.read_value(name)
    assert kept.find_values(name[:2], FAR_FUTURE) == (half.name,)
    kept.remove(half.name)
    assert not half.exists()
    assert kept.write_bytes(b"x", suffix="dcm") == name
    assert kept.path(name).read_bytes() == b"x"
