"""From made or real files to what assembly is asked about."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node import assemble, spool
from dicom_node.values import AssembledSeries, CompletenessRule, Form, FrameRef, Geometry, InstanceHeaders, InstanceRef, SeriesHeaders

from .series import ref_of_file, to_refs


def series_headers(datasets: Iterable[Dataset], root: Path) -> SeriesHeaders:
    """File the instances under `root` and read their headers as the node does."""
    return headers_of(to_refs(datasets, root), root)


def headers_of_files(paths: Iterable[Path], root: Path, *, sop_class_uid: str | None = None) -> SeriesHeaders:
    """The same for Part 10 files; `sop_class_uid` passes the files off as another class, to have pixels of any class read."""
    refs = [ref_of_file(path.read_bytes(), root) for path in paths]
    return headers_of([ref if sop_class_uid is None else replace(ref, sop_class_uid=sop_class_uid) for ref in refs], root)


def headers_of(refs: Sequence[InstanceRef], root: Path) -> SeriesHeaders:
    """Series and study as the first readable instance has them."""
    read = spool.read_headers(root, refs, "", "", CompletenessRule.OPERATOR)
    first = next(iter(read.instances), None)
    if first is None:
        return read
    return replace(read, series_instance_uid=first.series_instance_uid, study_instance_uid=first.study_instance_uid)


def assembled(datasets: Iterable[Dataset], root: Path) -> AssembledSeries:
    """A complete series with what assembly makes of it."""
    headers = series_headers(datasets, root)
    return AssembledSeries(headers, assemble.find_volumes(headers))


def one_geometry(headers: SeriesHeaders) -> Geometry:
    """The only volume of a series, which there must be."""
    (geometry,) = assemble.find_volumes(headers)
    assert isinstance(geometry, Geometry), geometry
    return geometry


def image_geometry(headers: InstanceHeaders) -> Geometry:
    """All frames of one image as if they were a stack: enough to have its pixels read, whatever its place."""
    return Geometry(
        form=Form.CLASSIC,
        frames=tuple(FrameRef(headers.instance.sop_instance_uid, frame.frame_number) for frame in headers.frames),
        shape=(len(headers.frames), headers.rows, headers.columns),
        spacing_mm=(1.0, 1.0, 1.0),
        slice_thickness_mm=None,
        lps_from_index=None,
        frame_of_reference_uid=None,
    )
