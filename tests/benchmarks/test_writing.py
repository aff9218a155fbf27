"""The measurement of writing: everybody writes what the masks and values are, and it sees where not. No time is asserted."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dicom_node import encode
from tests.encode.reference import make_pixels
from tests.encode.results import PROFILE

from .writing import (
    BACK,
    BOTH,
    DCMQI,
    DCMQI_ONE,
    HIGHDICOM,
    LABEL_MAP,
    NODE,
    REPORT,
    SEGMENTATION,
    Source,
    add_ellipsoids,
    as_table,
    find_figures,
    find_wrong_labels,
    find_wrong_measurements,
    measure,
    read_measurements,
)


@pytest.mark.timeout(300)
def test_everybody_writes_the_same_masks_and_values_and_is_measured(tmp_path: Path) -> None:
    writing = measure(tmp_path, rounds=1, segments=(1, 7), groups=(1, 7), slices=12, size=48)
    assert writing.wrong == []
    all_of = (NODE, HIGHDICOM, DCMQI, BOTH, BACK)
    names = {SEGMENTATION: all_of, LABEL_MAP: all_of, REPORT: (NODE, HIGHDICOM, DCMQI, DCMQI_ONE)}
    assert all(writing.seconds.median((kind, count, name)) > 0 for kind in names for name in names[kind] for count in (1, 7))
    assert writing.frames[SEGMENTATION, 1] == 12
    assert writing.frames[SEGMENTATION, 7] == 7 * 4
    assert writing.frames[LABEL_MAP, 7] <= 12
    assert as_table(writing).count("\n") == 1 + 2 * (5 + 5 + 4)
    assert all(value > 0 for value in find_figures(writing).values())


def test_what_is_wrong_in_an_object_is_seen(tmp_path: Path) -> None:
    source = Source.make(tmp_path / "images", 6, 32)
    result = add_ellipsoids(source.empty, 3)
    labels = make_pixels(result)
    files = [tmp_path / "seg.dcm", tmp_path / "sr.dcm"]
    for file, made in zip(files, encode.encode(result, source.headers, PROFILE), strict=True):
        file.write_bytes(made.content)
    assert find_wrong_labels(files[0], labels, result) == []
    assert find_wrong_measurements(read_measurements(files[1]), result) == []
    labels[tuple(np.argwhere(labels == 2)[0])] = 3
    assert find_wrong_labels(files[0], labels, result) == ["1 voxels are wrong"]
    first, *others = result.findings
    other = dataclasses.replace(first, tracking_uid="2.25.1")
    assert find_wrong_measurements(read_measurements(files[1]), dataclasses.replace(result, findings=(other, *others))) == [
        "2 groups are wrong"
    ]
