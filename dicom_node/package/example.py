"""The example of a package: a small volume, and what the package must find in it before it is put into service.

A folder `example/` of data only: `volume.npz` holds one array `voxels`, int16, (slices, rows, columns), in modality units;
`example.toml` says where the voxels lie and which findings must be there. Tolerances belong to it: another machine or another
version of ONNX Runtime rounds differently.
"""

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dicom_node.document import parse_file
from dicom_node.errors import Problem, SettingsError
from dicom_node.values import Analysed, Finding, Form, FrameRef, Geometry, NotAnalysed, Reason, Result, Volume
from dicom_node.values.reasons import ExampleNotMet

from .stages import AXIS_OF, ORIENTATIONS, Orientation, Part, Positive, spans_the_patient

_LARGEST_BYTES = 64 * 1024 * 1024  # of the voxels, unpacked


class ExpectedFinding(Part):
    """A finding that must be there: its centroid within `within_mm` of `centre_lps`, and what else is given.

    `volume_mm3` and `score` are (least, most); `label` is an output's, `laterality` the patient's side.
    """

    centre_lps: tuple[float, float, float]
    within_mm: Positive
    volume_mm3: tuple[float, float] | None = None
    score: tuple[float, float] | None = None
    label: str | None = None
    laterality: Literal["L", "R"] | None = None


class Placement(Part):
    """Where the voxels lie: the patient's axes that (slice, row, column) grow to, their spacing, and the centre of the first."""

    orientation: Orientation = "SPL"
    spacing_mm: tuple[Positive, Positive, Positive]
    first_voxel_lps: tuple[float, float, float]


class ExampleFile(Part):
    """The whole of `example.toml`. At least one finding: a network that gives nothing must not pass."""

    findings_at_most: Annotated[int, Field(ge=1)]
    volume: Placement
    findings: Annotated[tuple[ExpectedFinding, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A volume of no patient, the findings that must be in its result, and how many there may be in all."""

    volume: Volume
    findings: tuple[ExpectedFinding, ...]
    findings_at_most: int


def load_example(folder: Path) -> Example:
    """Read the example in a package's folder `example`; raises SettingsError with every problem of its first wrong file."""
    file = folder / "example.toml"
    declared = parse_file(file, ExampleFile)
    orientation = declared.volume.orientation
    if not spans_the_patient(orientation):
        raise SettingsError((Problem(file, "volume.orientation", orientation, ORIENTATIONS),))
    voxels = _read_voxels(folder / "volume.npz")
    return Example(Volume(_geometry(declared.volume, voxels), voxels), declared.findings, declared.findings_at_most)


def find_failure(example: Example, result: Result) -> Reason | None:
    """Why the result of running a package on its example is not what it must be; None where it is."""
    if isinstance(result, NotAnalysed):
        return result.reason
    met = sum(any(_meets(expected, finding, result) for finding in result.findings) for expected in example.findings)
    if met == len(example.findings) and len(result.findings) <= example.findings_at_most:
        return None
    return ExampleNotMet(len(example.findings), met, len(result.findings), example.findings_at_most)


def _meets(expected: ExpectedFinding, finding: Finding, result: Analysed) -> bool:
    voxel_mm3 = math.prod(result.geometry.spacing_mm)  # the axes of an example are at right angles
    return (
        math.dist(expected.centre_lps, finding.centre_lps) <= expected.within_mm
        and _is_within(expected.volume_mm3, np.count_nonzero(finding.mask.voxels) * voxel_mm3)
        and _is_within(expected.score, finding.score)
        and expected.label in (None, finding.label)
        and expected.laterality in (None, finding.laterality)
    )


def _is_within(limits: tuple[float, float] | None, value: float | None) -> bool:
    return limits is None or (value is not None and limits[0] <= value <= limits[1])


def _read_voxels(file: Path) -> npt.NDArray[np.int16]:
    """The one array of the file, read-only; nothing is unpickled."""
    allowed = "one array 'voxels', int16, (slices, rows, columns), at most 64 MiB, as numpy.savez_compressed writes it"
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
        if list(sizes) != ["voxels.npy"] or sizes["voxels.npy"] > _LARGEST_BYTES:
            raise SettingsError((Problem(file, "", ", ".join(sizes), allowed),))
        with np.load(file, allow_pickle=False) as arrays:
            voxels: npt.NDArray[np.int16] = arrays["voxels"]
    except OSError as cause:
        raise SettingsError((Problem(file, "", "", f"a file that can be read ({cause.strerror})"),)) from cause
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, MemoryError, NotImplementedError) as cause:
        raise SettingsError((Problem(file, "", "", allowed),)) from cause
    if voxels.dtype != np.int16 or voxels.ndim != 3 or voxels.size == 0:
        raise SettingsError((Problem(file, "voxels", f"{voxels.dtype} {voxels.shape}", allowed),))
    voxels.setflags(write=False)
    return voxels


def _geometry(place: Placement, voxels: npt.NDArray[np.int16]) -> Geometry:
    slices, rows, columns = voxels.shape
    matrix = np.eye(4)
    for index, (letter, mm) in enumerate(zip(place.orientation, place.spacing_mm, strict=True)):
        matrix[:, index] = 0.0
        matrix[AXIS_OF[letter], index] = mm if letter in "LPS" else -mm
    matrix[:3, 3] = place.first_voxel_lps
    return Geometry(
        form=Form.CLASSIC,
        frames=tuple(FrameRef(f"2.25.{number}", 1) for number in range(1, slices + 1)),
        shape=(slices, rows, columns),
        spacing_mm=place.spacing_mm,
        slice_thickness_mm=None,
        lps_from_index=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix),
        frame_of_reference_uid=None,
    )
