"""Scans and single slices, read from the data folder as values in Hounsfield units."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scan:
    """One axial series; index order is slice (towards the head), row (towards posterior), column (towards left)."""

    name: str
    patient: str
    hu: FloatArray                                # (slices, rows, columns)
    spacing_mm: tuple[float, float, float]        # slice, row, column
    origin_lps: tuple[float, float, float]        # centre of voxel (0, 0, 0)

    def index_from_lps(self, point_lps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn points (n, 3) in LPS millimetres into (slice, row, column) indices."""
        x, y, z = (point_lps[:, axis] - self.origin_lps[axis] for axis in range(3))
        return np.stack([z, y, x], axis=1) / np.array(self.spacing_mm)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that readers marked; `is_nodule` means the LUNA16 reference, the rest counts neither way."""

    index: tuple[float, float, float]             # slice, row, column
    diameter_mm: float                            # 3.0 where only a point was set
    is_nodule: bool


@dataclass(frozen=True, slots=True)
class Slice:
    """One axial slice of the LUNA16 slice set, cut to the lungs; findings lie at slice index 0."""

    name: str
    patient: str
    hu: FloatArray                                # (rows, columns)
    spacing_mm: float
    findings: tuple[Finding, ...]


SCANS = {
    "lidc_0001": "LIDC-IDRI-0001",
    "lidc_0002_slab": "LIDC-IDRI-0002",
    "lidc_0003_slab": "LIDC-IDRI-0003",
    "lungx_ct003": "LUNGx-CT003",
}


def read_scan(folder: Path, name: str) -> Scan:
    """Read one DICOM folder; only plain axial series are expected, which the data README promises."""
    instances = [pydicom.dcmread(path) for path in sorted((folder / name).glob("*.dcm"))]
    instances.sort(key=lambda instance: float(instance.ImagePositionPatient[2]))
    for instance in instances:
        assert [round(float(v)) for v in instance.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    z = [float(instance.ImagePositionPatient[2]) for instance in instances]
    hu = np.stack(
        [
            instance.pixel_array.astype(np.float32) * float(instance.RescaleSlope) + float(instance.RescaleIntercept)
            for instance in instances
        ]
    )
    first = instances[0]
    row_mm, column_mm = (float(v) for v in first.PixelSpacing)
    x, y = (float(v) for v in first.ImagePositionPatient[:2])
    return Scan(name, SCANS.get(name, name), hu, ((z[-1] - z[0]) / (len(z) - 1), row_mm, column_mm), (x, y, z[0]))


def read_findings(folder: Path, scan: Scan) -> tuple[Finding, ...]:
    """Read the nodules and the irrelevant findings of a scan, as indices into that scan."""
    marks: dict[str, Any] = json.loads((folder / f"{scan.name}.nodules.json").read_text())
    findings: list[Finding] = []
    for kind, is_nodule in (("nodules", True), ("irrelevant_findings", False)):
        for mark in marks.get(kind, []):
            if "xyz_mm" in mark:
                index = scan.index_from_lps(np.array([mark["xyz_mm"]]))[0]
            else:
                index = np.array([mark["slice"], mark["row"], mark["col"]], dtype=float)
            diameter_mm = mark["diameter_mm"]
            if diameter_mm is None:               # LUNGx states no size: its nodule was looked at, it is over 15 mm
                diameter_mm = 20.0 if is_nodule else 3.0
            findings.append(Finding((float(index[0]), float(index[1]), float(index[2])), float(diameter_mm), is_nodule))
    return tuple(findings)


def read_slices(folder: Path) -> tuple[Slice, ...]:
    """Read the LUNA16 slice set."""
    slices: list[Slice] = []
    with zipfile.ZipFile(folder / "luna16_nodule_slices.zip") as archive:
        for entry in json.loads(archive.read("index.json")):
            grey = np.asarray(Image.open(io.BytesIO(archive.read(entry["file"]))))
            findings = tuple(
                Finding((0.0, mark["row"], mark["col"]), mark["diameter_mm"] or 3.0, mark["kind"] == "nodule")
                for mark in entry["findings_in_slice"]
            )
            slices.append(
                Slice(
                    entry["file"].removesuffix(".png"),
                    entry["patient"],
                    grey.astype(np.float32) - 1024.0,
                    float(entry["spacing_mm"][0]),
                    findings,
                )
            )
    return tuple(slices)
