"""The objects that highdicom makes of a whole result, frame by frame and group by group: what the node's way in bulk is held against."""

import io
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.encode import scores, seg, sr
from dicom_node.encode.inputs import Inputs
from dicom_node.values import Analysed, ObjectKind
from tests.encode.results import raw_value

# What every kind of object gets alike when it is finished, whoever made it.
_FINISHED = {
    *("ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"),
    *("SpecificCharacterSet", "ContributingEquipmentSequence", "StationName", "ContentQualification"),
}

# Sequences that the node writes as bytes: pydicom must write the same of what highdicom makes, with defined lengths as well.
_IN_BULK = {
    Tag(keyword)
    for keyword in (
        *("PerFrameFunctionalGroupsSequence", "SourceImageSequence", "ReferencedSeriesSequence", "SharedFunctionalGroupsSequence"),
        "ContentSequence",
    )
}


def find_differences(content: bytes, reference: Dataset, inputs: Inputs) -> list[str]:
    """In what an object of the node differs from highdicom's, beside what is copied from the images and what every object gets."""
    written = io.BytesIO()
    reference.save_as(written)
    made, wanted = (pydicom.dcmread(io.BytesIO(one)) for one in (content, written.getvalue()))
    source = inputs.source
    elsewhere = {*(source.identity | source.image | source.request), *map(Tag, _FINISHED)}
    differences = [f"{tag} is in one alone" for tag in sorted((set(made.keys()) ^ set(wanted.keys())) - elsewhere)]
    for tag in sorted((set(made.keys()) & set(wanted.keys())) - elsewhere):
        if tag == Tag("PixelData"):
            is_same = _have_equal_bits(made, wanted)
        elif tag in _IN_BULK:
            is_same = raw_value(content, tag) == raw_value(written.getvalue(), tag)
        else:
            is_same = made[tag].VR == wanted[tag].VR and made[tag].value == wanted[tag].value
        if not is_same:
            differences.append(f"{tag} differs")
    return differences


def _have_equal_bits(made: Dataset, wanted: Dataset) -> bool:
    """Of all frames; behind them ours are zero, and the length is even."""
    count = made.Rows * made.Columns * made.NumberOfFrames * made.BitsAllocated
    first, second = (np.frombuffer(one.PixelData, np.uint8) for one in (made, wanted))
    last, others = (np.unpackbits(one[count // 8 :][:1], bitorder="little")[: count % 8] for one in (first, second))
    behind = np.unpackbits(first[count // 8 :], bitorder="little")[count % 8 :]
    return (
        made["PixelData"].VR == wanted["PixelData"].VR
        and len(first) == -(-count // 16) * 2
        and np.array_equal(first[: count // 8], second[: count // 8])
        and np.array_equal(last, others)
        and not behind.any()
    )


def make_report_with_highdicom(inputs: Inputs) -> Dataset:
    """With a group of highdicom's own for each finding."""
    return sr._make(inputs, ObjectKind.REPORT_3D, inputs.result.findings)


def make_with_highdicom(inputs: Inputs) -> Dataset:
    """All slices that hold a finding as sources, all masks as pixels; instances and frames are named afterwards."""
    result = inputs.result
    slices = sorted(
        {int(index) + one.mask.origin[0] for one in result.findings for index in np.flatnonzero(one.mask.voxels.any(axis=(1, 2)))}
    )
    _, rows, columns = result.geometry.shape
    stand_ins = []
    for index in slices:
        stand_in = seg.stand_in(inputs, index, columns)
        stand_in.Rows, stand_in.SOPInstanceUID = rows, f"2.25.{index + 1}"
        stand_ins.append(stand_in)
    kind = inputs.profile.segmentation
    assert kind is not None
    made = seg._make(inputs, kind, stand_ins, make_pixels(result)[slices])
    _refer_to_sources(made, inputs)
    seg.name_dimensions(made, inputs.uids(kind))
    return made


def make_map_with_highdicom(inputs: Inputs, nearest: Sequence[int]) -> Dataset:
    """All scores as pixels, on sources that lie where the frames do; `nearest` are the slices of the images that stand nearest."""
    assert inputs.result.scores is not None
    held = inputs.result.scores
    shape = held.scores.shape[1], held.scores.shape[2]
    stand_ins = [scores.place_on(inputs, held, number, shape) for number in range(len(held.scores))]
    for number, stand_in in enumerate(stand_ins):
        stand_in.SOPInstanceUID = f"2.25.{number + 1}"
    made = scores.make_map(inputs, ObjectKind.SCORES, stand_ins, held.scores)
    _refer_to_sources(made, inputs, nearest)
    return made


def make_pixels(result: Analysed) -> npt.NDArray[np.integer]:
    """The masks as highdicom takes them: the number of the one segment of each voxel; where some overlap, a plane for each of them."""
    labels = np.zeros(result.geometry.shape, dtype=np.uint8 if len(result.findings) < 256 else np.uint16)
    for part, voxels, number in _masks(result, labels):
        if part[voxels].any():
            break
        part[voxels] = number
    else:
        return labels
    whole = np.zeros((*result.geometry.shape, len(result.findings)), dtype=np.uint8)
    for part, voxels, number in _masks(result, whole):
        part[..., number - 1] = voxels
    return whole


def _masks(result: Analysed, whole: npt.NDArray[np.integer]) -> Iterator[tuple[npt.NDArray[np.integer], npt.NDArray[np.bool_], int]]:
    """The part of an array that each mask covers, as a view; the mask; its number."""
    for one in result.findings:
        (z, y, x), (depth, height, width) = one.mask.origin, one.mask.voxels.shape
        yield whole[z : z + depth, y : y + height, x : x + width], one.mask.voxels, one.number


def _refer_to_sources(segmentation: Dataset, inputs: Inputs, nearest: Sequence[int] | None = None) -> None:
    """Name the images in place of the stand-ins, which are numbered as the slices are, or stand for those of `nearest`."""
    frames, instances = inputs.result.geometry.frames, inputs.instances
    if nearest is not None:
        frames = tuple(frames[index] for index in nearest)
    named = [  # read before any is changed: frames of two segments on one slice share their item
        (reference, int(str(reference.ReferencedSOPInstanceUID).rpartition(".")[2]) - 1)
        for item in segmentation.PerFrameFunctionalGroupsSequence
        for reference in item.DerivationImageSequence[0].SourceImageSequence
    ]
    for reference, index in named:
        instance = instances[frames[index].sop_instance_uid]
        reference.ReferencedSOPClassUID = instance.instance.sop_class_uid
        reference.ReferencedSOPInstanceUID = frames[index].sop_instance_uid
        if len(instance.frames) > 1:
            reference.ReferencedFrameNumber = frames[index].frame_number
    references = []
    for uid, instance in instances.items():
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = instance.instance.sop_class_uid, uid
        references.append(one)
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = inputs.result.series_instance_uid, references
    segmentation.SourceImageSequence, segmentation.ReferencedSeriesSequence = references, [series]
