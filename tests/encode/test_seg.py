"""The segmentation lies where the result says, in every geometry, by our own reading and by others'."""

import dataclasses
import gzip
import math
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_node import encode
from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, Finding, FrameRef, Role
from tests.encode.conftest import Case
from tests.encode.results import PROFILE, content_of, finding, geometry_of, opened, raw_value, read_headers, result_of
from tests.make import AXIAL, CORONAL, OBLIQUE, SAGITTAL, base_anatomy, make_series, true_lps_from_index

REVERSED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # the normal points down
PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # case G2
ORIENTATIONS = {"axial": AXIAL, "coronal": CORONAL, "sagittal": SAGITTAL, "oblique": OBLIQUE, "reversed": REVERSED, "prone": PRONE}


def segmentation_of(result: Analysed, headers: object) -> Dataset:
    objects = encode.encode(result, headers, PROFILE)  # type: ignore[arg-type]
    assert encode.compare(objects, result) is None
    return opened(objects, Role.SEGMENTATION)


def lps_of_segment(segmentation: Dataset, number: int) -> npt.NDArray[np.float64]:
    """Places of a segment's pixels, pixel by pixel, by the formula of PS3.3 C.7.6.2.1.1: slow, plain, and not the product's code."""
    places = []
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    size = segmentation.Rows * segmentation.Columns
    for frame, item in enumerate(segmentation.PerFrameFunctionalGroupsSequence):
        holder = item if "SegmentIdentificationSequence" in item else shared
        if holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        x, y, z, *down = (float(part) for part in shared.PlaneOrientationSequence[0].ImageOrientationPatient)
        origin = [float(part) for part in item.PlanePositionSequence[0].ImagePositionPatient]
        rows_mm, columns_mm = (float(part) for part in shared.PixelMeasuresSequence[0].PixelSpacing)
        for bit in range(frame * size, (frame + 1) * size):
            if segmentation.PixelData[bit // 8] >> (bit % 8) & 1:
                row, column = divmod(bit - frame * size, segmentation.Columns)
                places.append([origin[k] + (x, y, z)[k] * columns_mm * column + down[k] * rows_mm * row for k in range(3)])
    return np.array(places)


def dice(found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> float:
    """Of two sets of places, equal to a hundredth of a millimetre."""
    first, second = ({tuple(np.rint(place * 100).astype(int)) for place in places} for places in (found, wanted))
    near = sum(any((x + a, y + b, z + c) in second for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)) for x, y, z in first)
    return 2 * near / (len(first) + len(second))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    orientation=st.sampled_from(sorted(ORIENTATIONS)),
    shape=st.tuples(st.integers(2, 5), st.integers(5, 11), st.integers(5, 13)),
    spacing_mm=st.tuples(st.floats(0.5, 6), st.floats(0.3, 2), st.floats(0.3, 2)),
    centre_lps=st.tuples(st.floats(-300, 300), st.floats(-300, 300), st.floats(-900, 900)),
    enhanced=st.booleans(),
    data=st.data(),
)
def test_every_voxel_lies_where_it_lay(
    tmp_path_factory: pytest.TempPathFactory,
    orientation: str,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    centre_lps: tuple[float, float, float],
    enhanced: bool,
    data: st.DataObject,
) -> None:
    """Traps: row and column spacing swapped, SEG mirrored along the normal, sagittal made axial (case V2)."""
    rounded = tuple(round(value, 2) for value in spacing_mm)
    place = tuple(round(value, 1) for value in centre_lps)
    arguments = {"shape": shape, "spacing_mm": rounded, "orientation": ORIENTATIONS[orientation], "centre_lps": place}
    datasets = make_series(base_anatomy, enhanced=enhanced, **arguments)  # type: ignore[arg-type]
    headers = read_headers(datasets, tmp_path_factory.mktemp("spool"))
    masks = [data.draw(st.sets(st.tuples(*(st.integers(0, size - 1) for size in shape)), min_size=1, max_size=12)) for _ in range(2)]
    findings = []
    for number, mask in enumerate(masks, 1):
        voxels = np.zeros(shape, dtype=bool)
        voxels[tuple(np.array(sorted(mask)).T)] = True
        findings.append(finding(number, (0, 0, 0), voxels))
    result = result_of(headers, geometry_of(datasets, *arguments.values()), *findings)  # type: ignore[arg-type]
    segmentation = segmentation_of(result, headers)
    matrix = true_lps_from_index(shape, rounded, ORIENTATIONS[orientation], place)  # type: ignore[arg-type]
    for number, mask in enumerate(masks, 1):
        wanted = np.array(sorted(mask)) @ matrix[:3, :3].T + matrix[:3, 3]
        assert dice(lps_of_segment(segmentation, number), wanted) == 1.0


def test_rows_times_columns_is_no_multiple_of_8(tmp_path: Path, validator: Callable[[str], str]) -> None:
    """Case S1: frames are packed without gaps; by our own bits, by pydicom and by dcmqi."""
    shape, spacing_mm = (10, 253, 251), (1.25, 0.7, 0.8)
    datasets = make_series(base_anatomy, shape=shape, spacing_mm=spacing_mm)
    headers = read_headers(datasets, tmp_path / "spool")
    z, y, x = np.mgrid[:10, :60, :60]
    balls = [(z - 4.5) ** 2 + ((y - 30) * 0.5) ** 2 + ((x - 25 - 5 * k) * 0.5) ** 2 <= (4.6 + k) ** 2 for k in range(2)]
    findings = [finding(number, (0, 40 * number, 97), ball) for number, ball in enumerate(balls, 1)]
    result = result_of(headers, geometry_of(datasets, shape, spacing_mm), *findings)
    segmentation = segmentation_of(result, headers)
    frames = [int(one.any(axis=(1, 2)).sum()) for one in balls]
    assert segmentation.NumberOfFrames == sum(frames)
    assert len(segmentation.PixelData) == 2 * math.ceil(math.ceil(253 * 251 * sum(frames) / 8) / 2)
    (tmp_path / "seg.dcm").write_bytes(encode.encode(result, headers, PROFILE)[0].content)
    for number, volume in _read_with_dcmqi(tmp_path / "seg.dcm", tmp_path, validator).items():
        assert volume.sum() == balls[number - 1].sum()
    numbers = [int(item.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for item in segmentation.PerFrameFunctionalGroupsSequence]
    pixels = segmentation.pixel_array
    for number, one in enumerate(balls, 1):
        read = pixels[[index for index, found in enumerate(numbers) if found == number]]
        assert np.array_equal(read[:, 40 * number : 40 * number + 60, 97:157], one[one.any(axis=(1, 2))])
        assert read.sum() == one.sum()


def test_dcmqi_reads_the_same_mask(case: Case, tmp_path: Path, validator: Callable[[str], str]) -> None:
    (tmp_path / "seg.dcm").write_bytes(encode.encode(case.result, case.headers, PROFILE)[0].content)
    volumes = _read_with_dcmqi(tmp_path / "seg.dcm", tmp_path, validator)
    assert sorted(volumes) == [1, 2]
    for one in case.result.findings:
        mask = one.mask.voxels[one.mask.voxels.any(axis=(1, 2))]
        (_, row, column), (_, rows, columns) = one.mask.origin, one.mask.voxels.shape
        found = volumes[one.number]
        found = found[found.any(axis=(1, 2))]
        assert np.array_equal(found[:, row : row + rows, column : column + columns], mask)
        assert found.sum() == mask.sum()


def _read_with_dcmqi(file: Path, folder: Path, validator: Callable[[str], str]) -> dict[int, npt.NDArray[np.bool_]]:
    """Each segment as segimage2itkimage writes it: NRRD, (slices, rows, columns)."""
    command = [validator("segimage2itkimage"), "--inputDICOM", str(file), "--outputDirectory", str(folder), "-t", "nrrd", "-p", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "warn" not in done.stderr.lower()
    volumes = {}
    for path in sorted(folder.glob("out-*.nrrd")):
        head, _, body = path.read_bytes().partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        assert fields["type"] in {"short", "unsigned char", "uint8"}, fields
        data = gzip.decompress(body) if fields["encoding"] == "gzip" else body
        columns, rows, slices = (int(size) for size in fields["sizes"].split())
        dtype = np.int16 if fields["type"] == "short" else np.uint8
        volumes[int(path.stem.rsplit("-", 1)[1])] = np.frombuffer(data, dtype=dtype).reshape(slices, rows, columns) != 0
    return volumes


def test_a_segment_says_what_it_is_and_which_algorithm_drew_it(case: Case) -> None:
    segmentation = segmentation_of(case.result, case.headers)
    assert segmentation.SegmentationType == "BINARY"
    assert segmentation.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert [segment.SegmentNumber for segment in segmentation.SegmentSequence] == [1, 2]
    segment, one = segmentation.SegmentSequence[0], case.result.findings[0]
    assert (segment.TrackingID, segment.TrackingUID) == (one.tracking_identifier, one.tracking_uid)
    assert segment.SegmentLabel == one.label
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "27925004"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    region = segment.AnatomicRegionSequence[0]
    assert (region.CodeValue, region.AnatomicRegionModifierSequence[0].CodeValue) == ("39607008", "7771000")
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (segment.SegmentAlgorithmType, algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("AUTOMATIC", "ct-lung-nodule", "1.2.3")
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    assert segmentation.ContentCreatorName != ""
    assert segmentation.ContentDescription == "AI lung nodules RESEARCH"


def test_every_frame_refers_to_the_slice_it_lies_on(case: Case) -> None:
    """Two segments on one slice share it."""
    segmentation = segmentation_of(case.result, case.headers)
    by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in case.datasets}
    for item in segmentation.PerFrameFunctionalGroupsSequence:
        derivation = item.DerivationImageSequence[0]
        (reference,) = derivation.SourceImageSequence
        source = by_uid[reference.ReferencedSOPInstanceUID]
        assert [float(part) for part in item.PlanePositionSequence[0].ImagePositionPatient] == list(source.ImagePositionPatient)
        assert reference.ReferencedSOPClassUID == source.SOPClassUID
        assert "ReferencedFrameNumber" not in reference
        assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert len(segmentation.PerFrameFunctionalGroupsSequence) == 5
    assert [str(one.ReferencedSOPInstanceUID) for one in segmentation.SourceImageSequence] == list(by_uid)
    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == case.headers.series_instance_uid
    assert len(series.ReferencedInstanceSequence) == len(by_uid)


def test_a_volume_may_be_some_frames_of_an_enhanced_object_in_any_order(tmp_path: Path) -> None:
    """The frames of a volume are those of its geometry; the object refers to them by number."""
    shape, spacing_mm = (6, 9, 10), (2.0, 1.5, 1.25)
    (dataset,) = datasets = make_series(base_anatomy, shape=shape, spacing_mm=spacing_mm, enhanced=True)
    frames = dataset.PerFrameFunctionalGroupsSequence
    positions = [frame.PlanePositionSequence for frame in frames]
    for frame, index in zip(frames, (3, 1, 5, 0, 2, 4), strict=True):
        frame.PlanePositionSequence = positions[index]
    used = [FrameRef(str(dataset.SOPInstanceUID), (3, 1, 5, 0, 2, 4).index(index) + 1) for index in range(1, 5)]
    headers = read_headers(datasets, tmp_path)
    geometry = geometry_of(datasets, (4, 9, 10), spacing_mm, frames=used)
    result = result_of(headers, geometry, finding(1, (0, 2, 3), np.ones((4, 2, 3), dtype=bool)))
    segmentation = segmentation_of(result, headers)
    references = [item.DerivationImageSequence[0].SourceImageSequence[0] for item in segmentation.PerFrameFunctionalGroupsSequence]
    assert sorted(int(reference.ReferencedFrameNumber) for reference in references) == sorted(frame.frame_number for frame in used)
    assert {reference.ReferencedSOPClassUID for reference in references} == {dataset.SOPClassUID}
    report = opened(encode.encode(dataclasses.replace(result, findings=()), headers, PROFILE), Role.REPORT)
    assert str(sorted(frame.frame_number for frame in used)) in str(report)


def test_overlapping_findings_keep_their_voxels(case: Case) -> None:
    first, second = case.result.findings
    inside = dataclasses.replace(second, mask=first.mask)
    result = dataclasses.replace(case.result, findings=(first, inside))
    segmentation = segmentation_of(result, case.headers)
    assert segmentation.SegmentsOverlap == "YES"
    assert np.array_equal(lps_of_segment(segmentation, 1), lps_of_segment(segmentation, 2))


def test_only_frames_that_hold_pixels_are_written(case: Case) -> None:
    """Trap: highdicom writes every frame of an empty mask; SEG with 400 and more frames is not opened."""
    (dot,) = [np.ones((1, 1, 1), dtype=bool)]
    result = dataclasses.replace(case.result, findings=(finding(1, (7, 19, 23), dot),))
    segmentation = segmentation_of(result, case.headers)
    assert segmentation.NumberOfFrames == 1
    assert np.allclose(lps_of_segment(segmentation, 1), (np.array(case.result.geometry.lps_from_index) @ [7, 19, 23, 1])[:3])


@pytest.mark.parametrize(
    "broken",
    [
        lambda one: finding(1, one.mask.origin, np.zeros((2, 2, 2), dtype=bool)),
        lambda _: finding(1, (7, 0, 0), np.ones((2, 1, 1), dtype=bool)),
        lambda _: finding(1, (0, -1, 0), np.ones((1, 2, 1), dtype=bool)),
        lambda one: finding(2, one.mask.origin, one.mask.voxels),
    ],
    ids=["empty", "beyond the grid", "before the grid", "number"],
)
def test_a_mask_that_cannot_be_is_an_error(case: Case, broken: Callable[[Finding], Finding]) -> None:
    """Trap: an empty mask must not become a segmentation with every frame."""
    result = dataclasses.replace(case.result, findings=(broken(case.result.findings[0]),))
    with pytest.raises(EncodingError):
        encode.encode(result, case.headers, PROFILE)


def test_more_pixels_than_an_object_can_hold_are_an_error_before_they_are_made(case: Case) -> None:
    """Pixel Data of 4 GiB and more: its length does not fit into 32 bits."""
    geometry = dataclasses.replace(case.result.geometry, shape=(8, 65535, 65535))
    voxels = np.ones((8, 1, 1), dtype=bool)
    result = dataclasses.replace(case.result, geometry=geometry, findings=tuple(finding(number, (0, 0, 0), voxels) for number in (1, 2)))
    tracemalloc.start()
    with pytest.raises(EncodingError):
        encode.encode(result, case.headers, PROFILE)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 100_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456789012345, ".123456789012345"),  # as the source may have written it: 16 characters
        (-1234.567890123456, "-1234.5678901235"),
        (-0.123456789012345, "-0.1234567890123"),
        (1.23456789012345e-05, "1.2345678901e-05"),
        (0.1, "0.1"),
        (-14.375, "-14.375"),
    ],
)
def test_a_number_keeps_the_digits_that_its_characters_hold(case: Case, value: float, text: str) -> None:
    """DS: 16 characters at most."""
    assert len(text) <= 16
    (first,) = [one for one in case.headers.instances if one.instance.sop_instance_uid == case.result.geometry.frames[0].sop_instance_uid]
    frame = dataclasses.replace(first.frames[0], image_position_patient=(value, 0.0, 0.0))
    others = [one for one in case.headers.instances if one is not first]
    headers = dataclasses.replace(case.headers, instances=(dataclasses.replace(first, frames=(frame,)), *others))
    dot = finding(1, (0, 0, 0), np.ones((1, 1, 1), dtype=bool))
    content = content_of(encode.encode(dataclasses.replace(case.result, findings=(dot,)), headers, PROFILE), Role.SEGMENTATION)
    assert f"{text}\\".encode() in raw_value(content, 0x52009230)


def test_images_without_a_place_in_the_patient_give_no_segmentation(case: Case) -> None:
    """Case S2: no made-up position."""
    geometry = dataclasses.replace(case.result.geometry, frame_of_reference_uid=None)
    with pytest.raises(EncodingError):
        encode.encode(dataclasses.replace(case.result, geometry=geometry), case.headers, PROFILE)
