"""Volumes whose truth is known, built directly, and small packages with networks that a person can compute by hand."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from dicom_node.package import Package, load_package
from dicom_node.values import Form, FrameRef, Geometry, Volume
from tests.make.example import write_ball_example

Array = npt.NDArray[np.float64]

# Directions (slices, rows, columns) in LPS; the last two are turned away from every axis.
ORIENTATIONS: Mapping[str, Array] = {
    "axial": np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]).T * 1.0,
    "axial feet last": np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]]).T * 1.0,
    "prone": np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0]]).T * 1.0,
    "coronal": np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]).T * 1.0,
    "sagittal": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]).T * 1.0,
    "oblique": np.linalg.qr(np.array([[0.1, 0.2, 1.0], [-0.15, 1.0, -0.2], [1.0, 0.1, 0.05]]).T)[0] * np.array([-1, -1, -1]),
}


def make_volume(
    sample: Callable[[Array], npt.ArrayLike],
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    orientation: str = "axial",
    centre_lps: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Volume:
    """A volume of `sample` (LPS millimetres (..., 3) to values) whose field is centred on a place."""
    matrix = np.eye(4)
    matrix[:3, :3] = ORIENTATIONS[orientation] * spacing_mm
    matrix[:3, 3] = np.array(centre_lps) - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    values = np.asarray(sample(index @ matrix[:3, :3].T + matrix[:3, 3]))
    geometry = Geometry(
        form=Form.CLASSIC,
        frames=tuple(FrameRef(f"1.2.{number}", 1) for number in range(shape[0])),
        shape=shape,
        spacing_mm=spacing_mm,
        slice_thickness_mm=None,
        lps_from_index=tuple(tuple(float(value) for value in row) for row in matrix),  # type: ignore[arg-type]
        frame_of_reference_uid="1.2",
    )
    whole = np.rint(values)
    return Volume(geometry, whole.astype(np.int16) if np.abs(whole).max() < 32000 else values.astype(np.float32))


def inside_ball(lps: Array, centre_lps: tuple[float, float, float], radius_mm: float, edge_mm: float = 0.0) -> Array:
    """How much of a place lies in a ball, 0 to 1; the edge, `edge_mm` wide on either side, stands for partial volume."""
    depth_mm = radius_mm - np.linalg.norm(lps - centre_lps, axis=-1)
    return np.clip(depth_mm / (2 * edge_mm) + 0.5, 0, 1) if edge_mm else (depth_mm >= 0) * 1.0


def chest(lps: Array, *, touching: bool = False, table: bool = True, one_lung: bool = False, outside_hu: float = -1000.0) -> Array:
    """A thorax: body, right lung larger than the left, airway, a table with light foam, and gas under the left lung."""
    x, y, z = np.moveaxis(lps, -1, 0)
    hu = np.full(x.shape, outside_hu)
    if table:
        hu = np.where((y > 125) & (y < 150), -880.0, hu)
        hu = np.where((np.abs(y - 125) < 3) | (np.abs(y - 150) < 3), 100.0, hu)
    hu = np.where((x / 165) ** 2 + (y / 115) ** 2 < 1, 40.0, hu)
    gap = -2.0 if touching else 8.0
    right = ((x + 72) / (72 - gap)) ** 2 + (y / 85) ** 2 + (z / 130) ** 2 < 1
    left = ((x - 70) / (70 - gap)) ** 2 + (y / 80) ** 2 + (z / 120) ** 2 < 1
    hu = np.where(right, -850.0, hu)
    hu = hu if one_lung else np.where(left, -850.0, hu)
    hu = np.where(((x - 60) / 40) ** 2 + (y / 40) ** 2 + ((z + 170) / 30) ** 2 < 1, -1000.0, hu)
    return np.where((x**2 + (y - 60) ** 2 < 64) & (z > 60), -1000.0, hu)


def write_network(file: Path, nodes: list[Any], weights: dict[str, npt.ArrayLike], ins: list[Any], outs: list[Any]) -> None:
    """An ONNX file of nodes from `x` to `y`."""
    graph = helper.make_graph(
        nodes,
        "example",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ins)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outs)],
        [numpy_helper.from_array(np.asarray(weight, dtype=np.float32), name) for name, weight in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, file)


def write_spot_classifier(file: Path, size: int = 24) -> None:
    """Logit = 20 (mean of the middle - mean of the border) - 6, for a patch of 0 to 1."""
    away = np.hypot(*(np.mgrid[:size, :size] - (size - 1) / 2))
    kernel = (away < 3) / (away < 3).sum() - (away > size / 3) / (away > size / 3).sum()
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["contrast"]),
        helper.make_node("Flatten", ["contrast"], ["flat"], axis=1),
        helper.make_node("Mul", ["flat", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["y"]),
    ]
    write_network(file, nodes, {"kernel": kernel[None, None], "gain": [20.0], "bias": [-6.0]}, ["n", 1, size, size], ["n", 1])


def write_threshold_segmenter(file: Path, level: float, *, power: float = 1.0, fixed_batch: bool = False) -> None:
    """Two channels, background 0 and (value - level) ** power, for volumes; a fractional power of a negative value is NaN."""
    nodes = [
        helper.make_node("Sub", ["x", "level"], ["above"]),
        helper.make_node("Pow", ["above", "power"], ["found"]),
        helper.make_node("Mul", ["x", "nothing"], ["background"]),
        helper.make_node("Concat", ["background", "found"], ["y"], axis=1),
    ]
    weights = {"level": [level], "power": [power], "nothing": [0.0]}
    batch = 1 if fixed_batch else "n"
    write_network(file, nodes, weights, [batch, 1, "d", "h", "w"], [batch, 2, "d", "h", "w"])


_HEAD = """
[package]
name = "example"
version = "1"
title = "Example"
manufacturer = "dicom-node tests"
intended_use = "tests"
licence = "MIT"

[accept]
conditions = []
"""

_CODES = """
category = { value = "49755003", scheme = "SCT", meaning = "Morphologically Abnormal Structure" }
type = { value = "27925004", scheme = "SCT", meaning = "Nodule" }
"""

NODULES = (
    """
[[stages]]
kind = "segment"
by = "threshold"
name = "lungs"
below = -400.0
spacing_mm = 3.0
limits = { lowest_ml = 1500.0, highest_ml = 9000.0 }

[[stages]]
kind = "detect"
by = "blobs"
name = "places"
inside = "lungs"
spacing_mm = 2.5
intensity = { clip = [-1000.0, 200.0] }
sigmas_mm = [2.0, 3.0, 4.5, 7.0]
least_response = 100.0
regions_above = -500.0
at_most = 500

[[stages]]
kind = "classify"
by = "network"
name = "scored"
model = "spot.onnx"
of = "places"
size = [24, 24]
spacing_mm = [1.0, 1.0]
rotations = 4
intensity = { clip = [-1000.0, 400.0], scale = "to-unit" }
threshold = 0.5

[[stages]]
kind = "segment"
by = "growth"
name = "outlines"
of = "scored"
inside = "lungs"

[[stages]]
kind = "measure"
name = "sizes"
of = "outlines"
measurements = ["volume", "long-axis", "short-axis", "mean"]

[[outputs]]
stage = "outlines"
label = "nodule"
laterality_from = "lungs"
"""
    + _CODES
)

BRIGHT = (
    """
[[stages]]
kind = "segment"
by = "network"
name = "bright"
model = "bright.onnx"
input = { orientation = "SPL", spacing_mm = [3.0, 3.0, 3.0] }
window = { size = [16, 16, 16], overlap = 0.25, batch = 2 }

[[stages]]
kind = "measure"
name = "sizes"
of = "bright"
measurements = ["volume"]

[[outputs]]
stage = "bright"
value = 1
label = "bright"
"""
    + _CODES
)


def nodule_package(folder: Path, stages: str = NODULES) -> Package:
    """Lungs, blobs, a spot classifier, outlines, measurements."""
    folder.mkdir(parents=True, exist_ok=True)
    write_spot_classifier(folder / "spot.onnx")
    write_ball_example(folder, 50)
    (folder / "package.toml").write_text(_HEAD + stages, encoding="utf-8")
    return load_package(folder)


def bright_package(folder: Path, level: float, *, power: float = 1.0, stages: str = BRIGHT) -> Package:
    """Everything above a value, by a network in windows."""
    folder.mkdir(parents=True, exist_ok=True)
    write_threshold_segmenter(folder / "bright.onnx", level, power=power)
    write_ball_example(folder, round(2 * level))
    (folder / "package.toml").write_text(_HEAD + stages, encoding="utf-8")
    return load_package(folder)
