"""Segmentations and reports of the node beside highdicom's own and dcmqi's: from values in memory to a closed file, in turns, in one run.

A first pass, of which no time is taken, writes everything once and reads it back. highdicom gets the masks as it takes them soonest, one
volume of labels, and headers that are read already; dcmqi gets its inputs as files, and that they are written is not counted. Our objects
must hold what highdicom makes of the same result, element by element and bit by bit (tests/encode/reference.py).
"""

import dataclasses
import functools
import gc
import math
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.encode import seg
from dicom_node.encode.inputs import Inputs, read_inputs
from dicom_node.encode.objects import encode_kind
from dicom_node.values import Analysed, ObjectKind, SeriesHeaders
from tests.encode.reference import find_differences, make_pixels, make_report_with_highdicom, make_with_highdicom
from tests.encode.results import PROFILE, finding, geometry_of, named, read_headers, result_of, walk
from tests.make import base_anatomy, make_series
from tests.peers import dcmqi

from .figures import Figures

NODE, HIGHDICOM, DCMQI = "node", "highdicom", "dcmqi"
BOTH, BACK = "node, its report too", "node, both read back"
DCMQI_ONE = "dcmqi, one image in its library"
SEGMENTATION, LABEL_MAP, REPORT = "segmentation", "label map", "report"
_TYPES = {ObjectKind.SEGMENTATION: hd.seg.SegmentationTypeValues.BINARY, ObjectKind.LABEL_MAP: hd.seg.SegmentationTypeValues.LABELMAP}
_PROFILES = {SEGMENTATION: PROFILE, LABEL_MAP: dataclasses.replace(PROFILE, objects=(ObjectKind.LABEL_MAP, ObjectKind.REPORT_3D))}
_SPACING_MM = (1.0, 0.7, 0.7)

Labels = npt.NDArray[np.integer]
Writer = Callable[[Path], object]


@dataclass
class Writing:
    """What was measured: seconds and bytes, by kind of object, number of segments or groups, and who wrote it."""

    seconds: Figures = field(default_factory=Figures)
    size_bytes: dict[tuple[str, int, str], int] = field(default_factory=dict)
    frames: dict[tuple[str, int], int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """A series: its files, their headers as the node has them and as pydicom reads them."""

    folder: Path
    files: tuple[str, ...]
    headers: SeriesHeaders
    datasets: Sequence[Dataset]
    empty: Analysed

    @classmethod
    def make(cls, folder: Path, slices: int, size: int) -> "Source":
        pixels = bytes(2 * size * size)  # nobody looks at them here

        def enlarge(dataset: Dataset, _: int) -> None:
            dataset.Rows = dataset.Columns = size
            dataset.PixelData = pixels

        made = make_series(base_anatomy, shape=(slices, 4, 4), spacing_mm=_SPACING_MM, change=enlarge)
        headers = read_headers(made, folder)
        by_uid = {one.instance.sop_instance_uid: one.instance.file for one in headers.instances}
        files = tuple(by_uid[str(one.SOPInstanceUID)] for one in made)
        geometry = dataclasses.replace(geometry_of(made, (slices, 4, 4), _SPACING_MM), shape=(slices, size, size))
        datasets = [pydicom.dcmread(folder / file, stop_before_pixels=True) for file in files]
        return cls(folder, files, headers, datasets, result_of(headers, geometry))


@dataclass(frozen=True)
class Case:
    """Who can write one kind of object of a result with so many findings."""

    kind: str
    count: int
    writers: Mapping[str, Writer]
    check: Callable[[Path, str], list[str]]  # of what was written, and by whom


def measure(folder: Path, *, rounds: int, segments: Sequence[int], groups: Sequence[int], slices: int = 300, size: int = 512) -> Writing:
    """In each round everybody has a turn with every number of segments and groups; who comes first changes from round to round."""
    source, writing = Source.make(folder / "images", slices, size), Writing()
    cases = [_segmentation_case(folder / f"{kind}-{count}", source, kind, count, writing) for kind in _PROFILES for count in segments]
    cases += [_report_case(folder / f"groups-{count}", source, count) for count in groups]
    first: dict[tuple[str, int], bytes] = {}
    for case in cases:
        for name, write in case.writers.items():
            made = folder / "made.dcm"
            write(made)
            writing.size_bytes[case.kind, case.count, name] = made.stat().st_size
            writing.wrong += [f"{name}, {case.kind}, {case.count}: {one}" for one in case.check(made, name)]
            if name == NODE:
                first[case.kind, case.count] = made.read_bytes()
    for turn in range(rounds):
        for case in cases:
            names = list(case.writers)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                made = folder / "made.dcm"
                made.unlink(missing_ok=True)
                gc.collect()  # highdicom leaves many small objects, and who comes next is not to clear them away
                begin = time.perf_counter()
                case.writers[name](made)
                writing.seconds.add((case.kind, case.count, name), time.perf_counter() - begin)
                if name == NODE and made.read_bytes() != first[case.kind, case.count]:
                    writing.wrong.append(f"{name}, {case.kind}, {case.count}: other bytes than at first")
    return writing


# -- segmentations ----------------------------------------------------------------------------------------------------------


def _segmentation_case(folder: Path, source: Source, kind: str, count: int, writing: Writing) -> Case:
    folder.mkdir()
    profile, made_kind = _PROFILES[kind], _PROFILES[kind].objects[0]
    result = add_ellipsoids(source.empty, count)
    labels = make_pixels(result)
    inputs = read_inputs(result, source.headers, profile)
    objects = encode.encode(result, source.headers, profile)
    command = dcmqi.segmentation_command(folder, source.folder, labels, result, _TYPES[made_kind].value.lower())

    def write_node(file: Path) -> None:
        (made,) = encode_kind(read_inputs(result, source.headers, profile), made_kind)
        file.write_bytes(made.content)

    def write_both(file: Path) -> None:
        segmentation, report = encode.encode(result, source.headers, profile)
        file.write_bytes(segmentation.content)
        file.with_suffix(".sr").write_bytes(report.content)

    def read_back(file: Path) -> None:
        if encode.compare(objects, result) is not None:
            writing.wrong.append(f"{BACK}, {kind}, {count}: the objects are not the result")
        file.touch()

    def check(file: Path, name: str) -> list[str]:
        if name == BACK:
            return []
        wrong = find_wrong_labels(file, labels, result)
        if name == NODE:
            writing.frames[kind, count] = int(pydicom.dcmread(file, specific_tags=["NumberOfFrames"]).NumberOfFrames)
            wrong += find_differences(file.read_bytes(), make_with_highdicom(inputs), inputs)
            wrong += [] if np.array_equal(dcmqi.read_segmentation(file, folder / "read", result), labels) else ["dcmqi reads other masks"]
        return wrong

    writers = {
        NODE: write_node,
        HIGHDICOM: lambda file: _write_with_highdicom(file, source, labels, inputs),
        DCMQI: functools.partial(_run, command),
        BOTH: write_both,
        BACK: read_back,
    }
    return Case(kind, count, writers, check)


def add_ellipsoids(result: Analysed, count: int) -> Analysed:
    """A finding in each cell of a grid over rows and columns: one lies on all slices, five on half of them, many on fewer."""
    slices, size, _ = result.geometry.shape
    share = 1.0 if count == 1 else 0.5 if count <= 5 else 0.3 if count <= 30 else 0.2
    depth, side = max(min(4, slices), int(slices * share)), math.ceil(math.sqrt(count))
    cell = size // side
    y, x = np.mgrid[:cell, :cell] / cell - 0.5
    width = 0.2 * np.sin(np.pi * (np.arange(depth) + 0.5) / depth) + 0.002
    voxels = (y * y + x * x)[None] < width[:, None, None]
    voxels[:, cell // 2, cell // 2] = True  # a cell may be small
    findings = []
    for number in range(1, count + 1):
        row, column = divmod(number - 1, side)
        origin = ((number - 1) * 37 % (slices - depth + 1), row * cell, column * cell)
        measurements = tuple(
            dataclasses.replace(one, value=round(one.value + number, 1)) for one in finding(number, origin, voxels).measurements
        )
        findings.append(finding(number, origin, voxels, measurements=measurements, score=None))
    return dataclasses.replace(result, findings=tuple(findings), threshold=None)


def _write_with_highdicom(file: Path, source: Source, labels: Labels, inputs: Inputs) -> None:
    """As its documentation has it."""
    hd.seg.Segmentation(
        source_images=source.datasets,
        pixel_array=labels,
        segmentation_type=_TYPES[inputs.profile.objects[0]],
        segment_descriptions=[seg._segment(one, inputs.result) for one in inputs.result.findings],
        **inputs.names(inputs.profile.objects[0]),
    ).save_as(file)


def find_wrong_labels(file: Path, labels: Labels, result: Analysed) -> list[str]:
    """What a segmentation holds that the labels do not, and the other way round: frames by their place, bits as PS3.5 8.1.1 has them."""
    dataset = pydicom.dcmread(file)
    index_from_lps = np.linalg.inv(np.array(result.geometry.lps_from_index))
    pixels = np.frombuffer(dataset.PixelData, np.uint8 if dataset.BitsAllocated < 16 else np.uint16)
    shared, size = dataset.SharedFunctionalGroupsSequence[0], dataset.Rows * dataset.Columns
    found = np.zeros(labels.shape, dtype=labels.dtype)
    for number, own in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        placed_in = own if "PlanePositionSequence" in own else shared
        position = [float(part) for part in placed_in.PlanePositionSequence[0].ImagePositionPatient]
        index, first = round(float((index_from_lps @ [*position, 1.0])[0])), number * size
        if dataset.SegmentationType == "LABELMAP":
            found[index] = pixels[first : first + size].reshape(labels.shape[1:])
            continue
        named_in = own if "SegmentIdentificationSequence" in own else shared
        bits = np.unpackbits(pixels[first // 8 : -(-(first + size) // 8)], bitorder="little")[first % 8 :][:size]
        segment = int(named_in.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        found[index][bits.reshape(labels.shape[1:]) != 0] = segment
    wrong = int(np.count_nonzero(found != labels))
    return [f"{wrong} voxels are wrong"] if wrong else []


# -- reports ----------------------------------------------------------------------------------------------------------------


def _report_case(folder: Path, source: Source, count: int) -> Case:
    folder.mkdir()
    result = add_ellipsoids(source.empty, count)
    inputs = read_inputs(result, source.headers, PROFILE)
    segmentation = folder / "context" / "seg.dcm"
    segmentation.parent.mkdir()
    one_segment = dataclasses.replace(result, findings=result.findings[:1])  # dcmqi reads whose it is, and no segments
    (made,) = encode_kind(read_inputs(one_segment, source.headers, PROFILE), ObjectKind.SEGMENTATION)
    segmentation.write_bytes(made.content)
    uid = inputs.uids(ObjectKind.SEGMENTATION).instance
    commands = {}
    for name, files in ((DCMQI, source.files), (DCMQI_ONE, source.files[:1])):
        (folder / name).mkdir()
        commands[name] = dcmqi.report_command(folder / name, source.folder, files, segmentation, result, uid)

    def write_node(file: Path) -> None:
        (made,) = encode_kind(read_inputs(result, source.headers, PROFILE), ObjectKind.REPORT_3D)
        file.write_bytes(made.content)

    def check(file: Path, name: str) -> list[str]:
        wrong = find_wrong_measurements(read_measurements(file), result)
        if name == NODE:
            wrong += find_differences(file.read_bytes(), make_report_with_highdicom(inputs), inputs)
            wrong += [f"as dcmqi reads it: {one}" for one in find_wrong_measurements(dcmqi.read_report(file, folder / "read"), result)]
        return wrong

    writers: dict[str, Writer] = {NODE: write_node, HIGHDICOM: lambda file: make_report_with_highdicom(inputs).save_as(file)}
    return Case(REPORT, count, {**writers, **{name: functools.partial(_run, command) for name, command in commands.items()}}, check)


def _run(command: Sequence[str], file: Path) -> None:
    """A program that writes a file, named last."""
    subprocess.run([*command, str(file)], check=True, capture_output=True)


def read_measurements(file: Path) -> dict[str, dict[str, float]]:
    """By tracking UID the values of a report's groups, by the code value of what was measured."""
    read: dict[str, dict[str, float]] = {}
    for group in named(walk(pydicom.dcmread(file)), "125007"):
        items = list(group.ContentSequence)
        (tracking,) = named(items, "112040")
        read[str(tracking.UID)] = {
            str(one.ConceptNameCodeSequence[0].CodeValue): float(one.MeasuredValueSequence[0].NumericValue)
            for one in items
            if one.ValueType == "NUM"
        }
    return read


def find_wrong_measurements(read: Mapping[str, Mapping[str, float]], result: Analysed) -> list[str]:
    """Findings whose values are not those that were read."""
    wanted = {one.tracking_uid: {measured.concept.value: measured.value for measured in one.measurements} for one in result.findings}
    wrong = sum(wanted.get(uid) != read.get(uid) for uid in wanted.keys() | read.keys())
    return [f"{wrong} groups are wrong"] if wrong else []


# -- figures ----------------------------------------------------------------------------------------------------------------


def as_table(writing: Writing) -> str:
    """Markdown: who wrote what, and what the node's time is of it; the rows of the node alone are of highdicom's."""
    lines = ["| object | holds | writer | s | kB | its time / highdicom's | node's time / its |", "|---|---|---|---|---|---|---|"]
    for (kind, count, name), size in writing.size_bytes.items():
        holds = f"{count} groups" if kind == REPORT else f"{count} segments, {writing.frames[kind, count]} frames"
        here = (kind, count, name)
        of_highdicom = writing.seconds.ratio(here, (kind, count, HIGHDICOM))
        of_its = writing.seconds.ratio((kind, count, NODE), here)
        kilobytes = f"{size / 1000:.0f}" if size else ""
        lines.append(f"| {kind} | {holds} | {name} | {writing.seconds.spread(here)} | {kilobytes} | {of_highdicom:.2f} | {of_its:.2f} |")
    return "\n".join(lines)


def find_figures(writing: Writing) -> dict[str, float]:
    """The node's time for the most segments and groups that were written, as a part of the peer's."""
    segments, groups = (max((count for kind, count, _ in writing.size_bytes if kind == one), default=0) for one in (SEGMENTATION, REPORT))
    compared = {}
    if segments:
        compared["seg_vs_highdicom"] = writing.seconds.ratio((SEGMENTATION, segments, NODE), (SEGMENTATION, segments, HIGHDICOM))
    if groups:
        compared["sr_vs_dcmqi"] = writing.seconds.ratio((REPORT, groups, NODE), (REPORT, groups, DCMQI))
    return compared
