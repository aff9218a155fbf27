"""Frames read ahead make the volume that is made without them, and hide nothing that happened to their files since."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from dicom_node import assemble
from dicom_node.assemble import FramesAhead
from dicom_node.errors import SpoolFailed
from dicom_node.values import SeriesHeaders, Volume
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
