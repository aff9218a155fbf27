"""The segmentation that highdicom makes of a whole result, frame by frame: what the node's way in bulk is held against."""

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.encode import seg
from dicom_node.encode.inputs import Inputs
from dicom_node.values import Role


def make_with_highdicom(inputs: Inputs) -> Dataset:
    """All slices that hold a finding as sources, all masks as pixels; instances and frames are named afterwards."""
    result = inputs.result
    slices = sorted(
        {int(index) + one.mask.origin[0] for one in result.findings for index in np.flatnonzero(one.mask.voxels.any(axis=(1, 2)))}
    )
    _, rows, columns = result.geometry.shape
    whole = np.zeros((*result.geometry.shape, len(result.findings)), dtype=np.uint8)
    for one in result.findings:
        (z, y, x), (depth, height, width) = one.mask.origin, one.mask.voxels.shape
        whole[z : z + depth, y : y + height, x : x + width, one.number - 1] = one.mask.voxels
    stand_ins = []
    for index in slices:
        stand_in = seg._stand_in(inputs, index, columns)
        stand_in.Rows, stand_in.SOPInstanceUID = rows, f"2.25.{index + 1}"
        stand_ins.append(stand_in)
    made = seg._make(inputs, stand_ins, whole[slices])
    _refer_to_sources(made, inputs)
    seg._name_dimensions(made, inputs.uids(Role.SEGMENTATION))
    return made


def _refer_to_sources(segmentation: Dataset, inputs: Inputs) -> None:
    frames, instances = inputs.result.geometry.frames, inputs.instances
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
