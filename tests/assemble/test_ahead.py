"""Frames read ahead make the volume that is made without them, and hide nothing that happened to their files since."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from dicom_node import assemble
from dicom_node.assemble import FramesAhead, VolumeAhead
from dicom_node.errors import SpoolFailed
from dicom_node.values import CompletenessRule, Geometry, Reason, SeriesHeaders, Volume
from tests.make.assembled import one_geometry, series_headers
from tests.make.compressed import transcode
from tests.make.series import make_series

SLICES, SIDE = 5, 16
SLICE_BYTES = 2 * SIDE * SIDE


def make(change: object = None) -> list[Dataset]:
    def sample(lps: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return 10.0 * lps[..., 0] + lps[..., 1] - 3.0 * lps[..., 2]

    return make_series(sample, shape=(SLICES, SIDE, SIDE), spacing_mm=(2.0, 1.0, 1.0), change=change)  # type: ignore[arg-type]


def pad(dataset: Dataset, _: int) -> None:
    dataset.PixelPaddingValue = 1000


def read(root: Path, headers: SeriesHeaders, ahead: FramesAhead) -> Volume:
    volume = assemble.read_volume(root, headers, one_geometry(headers), ahead.read_frames)
    assert isinstance(volume, Volume)
    return volume


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLSLossless])
def test_the_volume_is_the_same_with_frames_that_were_read_ahead(tmp_path: Path, syntax: str) -> None:
    datasets = make(pad)
    headers = series_headers(datasets if syntax == uid.ExplicitVRLittleEndian else [transcode(one, syntax) for one in datasets], tmp_path)
    expected = assemble.read_volume(tmp_path, headers, one_geometry(headers))
    assert isinstance(expected, Volume)
    ahead = FramesAhead()
    for one in headers.instances[1:]:
        ahead.read_ahead(tmp_path, one)
        ahead.read_ahead(tmp_path, one)
    assert len(ahead._held) == SLICES - 1
    for _ in range(2):  # the second time nothing is held any more
        found = read(tmp_path, headers, ahead)
        assert np.array_equal(found.voxels, expected.voxels)
        assert (found.is_padding is None) == (expected.is_padding is None)
        assert ahead._size_bytes == 0


def test_a_file_that_is_gone_is_missed_though_its_frames_are_known(tmp_path: Path) -> None:
    headers, ahead = series_headers(make(), tmp_path), FramesAhead()
    for one in headers.instances:
        ahead.read_ahead(tmp_path, one)
    (tmp_path / headers.instances[2].instance.file).unlink()
    with pytest.raises(SpoolFailed):
        read(tmp_path, headers, ahead)


def test_no_more_is_held_than_a_limit_and_nothing_that_cannot_be_decoded(tmp_path: Path) -> None:
    headers, ahead = series_headers(make(), tmp_path), FramesAhead(limit_bytes=2 * SLICE_BYTES)
    for one in headers.instances:
        ahead.read_ahead(tmp_path, one)
    assert list(ahead._held) == [one.instance.file for one in headers.instances[-2:]]
    assert ahead._size_bytes == 2 * SLICE_BYTES
    other = FramesAhead()
    file = tmp_path / headers.instances[0].instance.file
    file.write_bytes(file.read_bytes()[:-100])
    other.read_ahead(tmp_path, headers.instances[0])
    other.read_ahead(tmp_path / "not mounted", headers.instances[1])
    assert not other._held


def whole(root: Path, headers: SeriesHeaders) -> tuple[VolumeAhead, list[SeriesHeaders]]:
    """A volume that was read ahead; and what was read since."""
    reads: list[SeriesHeaders] = []

    def read(root: Path, headers: SeriesHeaders, geometry: Geometry) -> Volume | Reason:
        reads.append(headers)
        return assemble.read_volume(root, headers, geometry)

    ahead = VolumeAhead(read)
    ahead.read_ahead(root, headers, one_geometry(headers))
    reads.clear()
    return ahead, reads


def find(ahead: VolumeAhead, root: Path, headers: SeriesHeaders) -> SeriesHeaders | None:
    return ahead.find_headers(root, [one.instance for one in headers.instances], CompletenessRule.COUNT)


def test_a_whole_volume_that_was_read_ahead_is_given_out_once(tmp_path: Path) -> None:
    headers = series_headers(make(), tmp_path)
    expected = assemble.read_volume(tmp_path, headers, one_geometry(headers))
    assert isinstance(expected, Volume)
    ahead, reads = whole(tmp_path, headers)
    found = find(ahead, tmp_path, headers)
    assert found == replace(headers, rule=CompletenessRule.COUNT)
    for number in range(2):
        volume = ahead.read_volume(tmp_path, found, one_geometry(headers))
        assert isinstance(volume, Volume)
        assert np.array_equal(volume.voxels, expected.voxels)
        assert len(reads) == number


@pytest.mark.parametrize("change", ["an image more", "an image less", "other bytes", "a file is gone", "another grid"])
def test_what_is_not_exactly_the_same_is_read_anew(tmp_path: Path, change: str) -> None:
    headers = series_headers(make(), tmp_path)
    first, highest = headers.instances[0].instance, one_geometry(headers).frames[-1].sop_instance_uid
    shorter = replace(headers, instances=tuple(one for one in headers.instances if one.instance.sop_instance_uid != highest))
    before, wanted = headers, headers
    match change:
        case "an image more":
            before = shorter
        case "an image less":
            wanted = shorter
        case "other bytes":
            other = replace(headers.instances[0], instance=replace(first, digest="0" * 64))
            wanted = replace(headers, instances=(other, *headers.instances[1:]))
    ahead, reads = whole(tmp_path, before)
    if change == "a file is gone":
        (tmp_path / first.file).unlink()
    found = find(ahead, tmp_path, wanted)
    assert (found is None) == (change != "another grid")
    geometry = one_geometry(headers if change != "an image less" else wanted)
    if change == "another grid":
        assert found is not None
        assert isinstance(ahead.read_volume(tmp_path, found, replace(geometry, tolerated=("tilt",))), Volume)
    elif change == "a file is gone":
        with pytest.raises(SpoolFailed):
            ahead.read_volume(tmp_path, wanted, geometry)
    else:
        volume = ahead.read_volume(tmp_path, wanted, geometry)
        assert isinstance(volume, Volume)
        assert volume.voxels.shape[0] == len(wanted.instances)
    assert len(reads) == 1
    assert ahead._held is None
