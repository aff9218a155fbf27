"""What the maker promises: headers that a validator has nothing to say of, UIDs that are the same each time, the anatomy in its place."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.make import AXIAL, BALL_CENTRE_LPS, OBLIQUE, base_anatomy, make_series, true_lps_from_index, write_dataset, write_series

DCIODVFY = Path(sys.executable).parent / "dciodvfy"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"orientation": OBLIQUE}, id="CT"),
        pytest.param({"modality": "MR", "rescale": (1.0, 0.0), "signed": True, "bits_stored": 12}, id="MR"),
        pytest.param({"enhanced": True}, id="Enhanced CT"),
        pytest.param({"enhanced": True, "modality": "MR"}, id="Enhanced MR"),
    ],
)
def test_a_validator_has_nothing_to_say(kind: dict[str, object], tmp_path: Path) -> None:
    if not DCIODVFY.is_file():
        pytest.skip("dicom3tools is not installed")
    path = write_series(make_series(base_anatomy, shape=(3, 32, 48), spacing_mm=(20.0, 3.0, 2.5), **kind), tmp_path)[
        1 - bool(kind.get("enhanced"))
    ]  # type: ignore[arg-type]
    said = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False).stderr
    assert len(said.splitlines()) == 1, said  # the name of the object's kind


def test_the_same_words_make_the_same_bytes() -> None:
    first, second = (make_series(base_anatomy, shape=(2, 16, 16), name="same") for _ in range(2))
    assert [write_dataset(one) for one in first] == [write_dataset(one) for one in second]
    assert len({one.SOPInstanceUID for one in first}) == 2


def test_the_ball_lies_in_the_pixels_where_it_was_put() -> None:
    shape, spacing_mm = (20, 64, 64), (4.0, 1.5, 1.5)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=spacing_mm)
    stored = np.array([np.frombuffer(one.PixelData, "<u2").reshape(one.Rows, one.Columns) for one in datasets])
    centre = np.argwhere(stored == 300 + 1024).mean(axis=0)
    lps = true_lps_from_index(shape, spacing_mm, AXIAL) @ (*centre, 1.0)
    np.testing.assert_allclose(lps[:3], BALL_CENTRE_LPS, atol=1.0)
