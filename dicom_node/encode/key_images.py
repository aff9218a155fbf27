"""Key Object Selection Documents: references to instances, with the reason why they were chosen.

Source: PS3.16 TID 2010, CID 7010; PS3.3 A.35.4.
"""

from collections.abc import Mapping, Sequence

import highdicom as hd
from highdicom.sr import CodedConcept as Code
from pydicom.dataset import Dataset

from dicom_node.texts import render_report
from dicom_node.values import ObjectKind

from .documents import language, observer
from .elements import Elements
from .inputs import AnyInputs, Inputs
from .outlines import largest_slice
from .seg import empty_patient_and_study
from .titles import series_description

OF_INTEREST = Code("113000", "DCM", "Of Interest")


def make_key_images(inputs: Inputs, kind: ObjectKind) -> tuple[Dataset, Elements]:
    """The images on which the findings of a result are largest, each once, in slice order; of an image with several frames, those."""
    result, language = inputs.result, inputs.profile.language
    frames: dict[str, list[int]] = {}
    for index in sorted({largest_slice(finding) for finding in result.findings}):
        frame = result.geometry.frames[index]
        frames.setdefault(frame.sop_instance_uid, []).append(frame.frame_number)
    sentences = [] if result.package.product else [render_report("research", language)]
    sentences += [render_report("unverified", language), render_report("key-images", language, count=len(result.findings))]
    document = make_selection(
        inputs,
        kind,
        OF_INTEREST,
        [_image(inputs, uid) for uid in frames],
        description="\r\n".join(sentences),
        series_description=series_description(result.package, "key images"),
    )
    _name_frames(document, {uid: numbers for uid, numbers in frames.items() if len(inputs.instances[uid].frames) > 1})
    return document, inputs.source.request


def make_selection(
    inputs: AnyInputs, kind: ObjectKind, title: Code, instances: Sequence[Dataset], *, description: str, series_description: str
) -> Dataset:
    """The document on these instances, of which those that have Rows and Columns are images; all of one study."""
    content = hd.ko.KeyObjectSelection(
        document_title=title,
        referenced_objects=instances,
        observer_device_context=observer(inputs),
        description=description,
    )
    content[0].ContentSequence.insert(0, language(inputs)[0])
    return hd.ko.KeyObjectSelectionDocument(
        evidence=instances, content=content, **(inputs.names(kind) | {"series_description": series_description})
    )


def _image(inputs: Inputs, sop_instance_uid: str) -> Dataset:
    """An image as highdicom wants to see it."""
    image, headers = empty_patient_and_study(inputs.result), inputs.instances[sop_instance_uid]
    image.SOPClassUID, image.SOPInstanceUID = headers.instance.sop_class_uid, sop_instance_uid
    image.Rows, image.Columns = headers.rows, headers.columns
    return image


def _name_frames(document: Dataset, frames: Mapping[str, Sequence[int]]) -> None:
    """Which frames of these instances are meant: highdicom refers to whole instances."""
    for item in document.ContentSequence:
        if item.ValueType == "IMAGE" and (numbers := frames.get(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)):
            item.ReferencedSOPSequence[0].ReferencedFrameNumber = list(numbers)
