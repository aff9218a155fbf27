"""Headers read ahead are those that would be read later, and hide nothing that happened to their files since."""

from pathlib import Path

import numpy as np
import pytest

from dicom_node import spool
from dicom_node.errors import SpoolFailed
from dicom_node.spool import HeadersAhead
from dicom_node.values import CompletenessRule, InstanceRef, SeriesHeaders
from tests.make.series import make_series, to_refs


@pytest.fixture
def refs(tmp_path: Path) -> tuple[InstanceRef, ...]:
    return tuple(to_refs(make_series(lambda lps: np.zeros(lps.shape[:-1]), shape=(6, 8, 8)), tmp_path))


def read(ahead: HeadersAhead, root: Path, refs: tuple[InstanceRef, ...]) -> SeriesHeaders:
    return ahead.read_headers(root, refs, series_instance_uid="1", study_instance_uid="2", rule=CompletenessRule.COUNT)


def test_what_was_read_ahead_is_what_is_read_later(tmp_path: Path, refs: tuple[InstanceRef, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = spool.read_headers(tmp_path, refs, "1", "2", CompletenessRule.COUNT)
    ahead, opened = HeadersAhead(), list[str]()

    def note(root: Path, instance: InstanceRef) -> object:
        opened.append(instance.file)
        return original(root, instance)

    original = spool.ahead.read_instance
    monkeypatch.setattr(spool.ahead, "read_instance", note)
    ahead.read_ahead(tmp_path, refs[:4])
    ahead.read_ahead(tmp_path, refs[2:4])
    assert opened == [ref.file for ref in refs[:4]]
    assert read(ahead, tmp_path, refs) == expected
    assert sorted(opened) == sorted(ref.file for ref in refs)
    assert read(ahead, tmp_path, refs) == expected  # and forgotten: read again
    assert len(opened) == 12


def test_a_file_that_is_gone_is_missed_though_its_header_is_known(tmp_path: Path, refs: tuple[InstanceRef, ...]) -> None:
    ahead = HeadersAhead()
    ahead.read_ahead(tmp_path, refs)
    (tmp_path / refs[3].file).unlink()
    with pytest.raises(SpoolFailed):
        read(ahead, tmp_path, refs)


def test_what_cannot_be_read_ahead_is_left_to_whoever_wants_it(tmp_path: Path, refs: tuple[InstanceRef, ...]) -> None:
    ahead = HeadersAhead()
    ahead.read_ahead(tmp_path / "not mounted yet", refs)
    assert read(ahead, tmp_path, refs) == spool.read_headers(tmp_path, refs, "1", "2", CompletenessRule.COUNT)


def test_no_more_is_remembered_than_a_limit(tmp_path: Path, refs: tuple[InstanceRef, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool.ahead, "_HEADERS", 4)
    ahead = HeadersAhead()
    ahead.read_ahead(tmp_path, refs)
    assert list(ahead._found) == [ref.file for ref in refs[2:]]
    monkeypatch.setattr(spool.ahead, "_LONGEST_BYTES", 16)
    other = HeadersAhead()
    other.read_ahead(tmp_path, refs)
    assert not other._found
