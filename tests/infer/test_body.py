"""The body map lies where the labels lie, and is small."""

import numpy as np
import pytest

from dicom_node.infer.body import find_body_map
from dicom_node.infer.inputs import grid_of
from dicom_node.values import codec

from .examples import chest, make_volume


@pytest.mark.parametrize("orientation", ["axial", "coronal", "oblique"])
def test_every_label_is_that_of_the_source_at_its_place(orientation: str) -> None:
    grid = grid_of(make_volume(chest, (40, 110, 120), (2.5, 0.9, 0.8), orientation).geometry)  # type: ignore[arg-type]
    sides = np.random.default_rng(1).integers(0, 3, grid.shape).astype(np.uint8)
    body = find_body_map(sides, grid)
    matrix = np.array(body.lps_from_index)
    np.testing.assert_allclose(np.linalg.norm(matrix[:3, :3], axis=0), [5.0, 6.3, 6.4])
    index = np.argwhere(np.ones(body.labels.shape, dtype=bool))
    source = grid.index_at(index @ matrix[:3, :3].T + matrix[:3, 3])
    np.testing.assert_allclose(source, np.rint(source), atol=1e-6)
    assert (sides[tuple(np.rint(source).astype(int).T)] == body.labels.ravel()).all()


def test_it_takes_kilobytes_and_cannot_be_written_to() -> None:
    grid = grid_of(make_volume(chest, (160, 200, 200), (2.0, 1.6, 1.6)).geometry)
    z, y, x = np.indices(grid.shape)
    sides = np.where(np.hypot(y - 100, (z - 80) * 1.2) < 60, np.where(x < 100, 1, 2), 0).astype(np.uint8)
    body = find_body_map(sides, grid)
    assert not body.labels.flags.writeable
    assert len(codec.dump(body)) < 8000
