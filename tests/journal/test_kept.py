"""Values and bytes in files whose names come from their content."""

from pathlib import Path

import pytest

from dicom_node.journal import Kept
from dicom_node.values import CompletenessRule


def test_what_is_kept_comes_back_and_is_written_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    name = kept.write_value(("a", 1, CompletenessRule.COUNT))
    assert kept.read_value(name) == ("a", 1, CompletenessRule.COUNT)
    before = kept.path(name).stat().st_mtime_ns
    assert kept.write_value(("a", 1, CompletenessRule.COUNT)) == name
    assert kept.path(name).stat().st_mtime_ns == before


def test_what_a_crash_left_is_no_value(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    name = kept.write_bytes(b"x", suffix="dcm")
    kept.path(name).unlink()
    (kept.path(name).parent / f".{name}.1.part").write_bytes(b"")
    with pytest.raises(FileNotFoundError):
        kept.read_value(name)
    assert kept.write_bytes(b"x", suffix="dcm") == name
    assert kept.path(name).read_bytes() == b"x"
