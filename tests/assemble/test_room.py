"""The memory of a volume is used again when nobody uses it any more, and not before."""

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicom_node import assemble
from dicom_node.assemble import Room
from dicom_node.values import Volume
from tests.make.assembled import one_geometry, series_headers
from tests.make.series import make_series

SHAPE = (40, 64, 64)
SIZE = 2 * 40 * 64 * 64


def address(array: np.ndarray) -> int:  # type: ignore[type-arg]
    return int(array.__array_interface__["data"][0])


def test_the_next_volume_lies_where_the_last_one_lay() -> None:
    room = Room()
    first = room.take(SHAPE, np.int16)
    first[:] = 7
    where = address(first)
    del first
    second = room.take(SHAPE, np.int16)
    assert address(second) == where
    assert (second == 7).all()  # the pages are those that were there: nothing was handed out anew


@pytest.mark.parametrize("used", ["whole", "view", "reversed", "readonly"])
def test_what_is_still_used_is_not_written_over(used: str) -> None:
    """Whatever a job leaves behind of its volume: a result, a traceback, a cache."""
    room = Room()
    first = room.take(SHAPE, np.int16)
    first[:] = 7
    first.flags.writeable = used != "readonly"
    kept = {"whole": first, "view": first[3, 5:9, 2:4], "reversed": first[::-1], "readonly": first}[used]
    del first
    for _ in range(3):
        room.take(SHAPE, np.int16)[:] = 9
    assert (kept == 7).all()
    assert not np.shares_memory(kept, room.take(SHAPE, np.int16))


def test_two_arrays_at_once_have_memory_of_their_own() -> None:
    room = Room()
    first, second = room.take(SHAPE, np.int16), room.take(SHAPE, np.int16)
    first[:], second[:] = 1, 2
    assert (first == 1).all()
    assert (second == 2).all()


def test_as_much_is_kept_as_the_last_volume_took_and_never_more_than_the_limit() -> None:
    room = Room(limit_bytes=SIZE)
    for shape, dtype, kept in (
        (SHAPE, np.int16, SIZE),
        ((4, 64, 64), np.int16, SIZE // 10),
        (SHAPE, np.int16, SIZE),
        (SHAPE, np.float32, 0),  # twice the limit
        ((0, 64, 64), np.int16, 0),
    ):
        array = room.take(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        array[:] = 1
        del array
        assert (0 if room._held is None else len(room._held)) == kept


def test_of_two_patients_each_has_a_volume_without_a_voxel_of_the_other(tmp_path: Path) -> None:
    room, found = Room(), list[Volume]()
    for number, slices in enumerate((5, 3, 6)):
        made = make_series(lambda lps, level=number: np.full(lps.shape[:-1], 100.0 * level), shape=(slices, 16, 16), name=f"{number}")
        headers = series_headers(made, tmp_path / str(number))
        volume = assemble.read_volume(tmp_path / str(number), headers, one_geometry(headers), take=room.take)
        assert isinstance(volume, Volume)
        found.append(volume)
        if number == 1:
            del found[0], volume  # the first patient's memory is free again; the second's is in use
            gc.collect()
    assert [set(np.unique(volume.voxels)) for volume in found] == [{100}, {200}]
    assert not any(volume.voxels.flags.writeable for volume in found)


def test_a_slice_whose_headers_are_missing_is_no_slice_of_an_earlier_patient(tmp_path: Path) -> None:
    headers = series_headers(make_series(lambda lps: lps[..., 0], shape=(4, 16, 16)), tmp_path)
    fewer = replace(headers, instances=headers.instances[:-1])
    with pytest.raises(AssertionError, match="a slice without a frame"):
        assemble.read_volume(tmp_path, fewer, one_geometry(headers), take=Room().take)
