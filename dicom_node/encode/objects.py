"""A result as whole DICOM objects."""

import dataclasses
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, NotAnalysed, ObjectKind, PackageRef, ReportRef, SeriesHeaders, Withdrawn, derive_digest

from .capture import make_captures, make_notice
from .elements import Values, write_file
from .equipment import contributing_equipment
from .fitting import UNABLE_TO_REFUSE, find_unwritable
from .inputs import AnyInputs, Inputs, InputsOfRefusal, read_inputs, read_inputs_of_refusal
from .key_images import make_key_images
from .kinds import KINDS, step_down
from .mammography import make_mammography_report
from .page import make_page, make_page_of_notice
from .presentation import make_presentation
from .profile import Profile
from .refusal import make_refusal
from .rejection import make_rejection
from .seg import make_segmentations
from .sr import make_report
from .sr_text import make_text_refusal, make_text_report


def encode(result: Analysed, headers: SeriesHeaders, profile: Profile, replaced: Sequence[ReportRef] = ()) -> tuple[DicomObject, ...]:
    """The objects of a result, in the order in which a viewer needs them: the segmentation, then the report that refers to it.

    Without findings there are only those that say so. `replaced` are the reports that the new one replaces, where any were sent. The same
    arguments give the same bytes, on every machine and every day. Where a kind cannot say this result, the next best takes its place.
    Raises EncodingError where an object cannot be made.
    """
    objects, _ = step_down(profile.objects, (), find_unwritable(result, headers, profile.objects))
    profile = dataclasses.replace(profile, objects=objects)
    inputs = read_inputs(result, headers, profile, replaced)
    kinds = (kind for kind in profile.objects if result.findings or kind not in _OF_FINDINGS)
    return tuple(made for kind in kinds for made in encode_kind(inputs, kind))


def encode_kind(inputs: Inputs, kind: ObjectKind) -> tuple[DicomObject, ...]:
    """The objects of one kind alone; those of `_OF_FINDINGS` only of a result that has findings."""
    with _failing_as(KINDS[kind].role.value):
        return tuple(_finish(*made, kind, inputs) for made in _MAKERS[kind](inputs, kind))  # and keep none of its parts


def encode_rejection(
    result: Analysed | Withdrawn, headers: SeriesHeaders, profile: Profile, rejected: Sequence[ReportRef], rejected_key: str
) -> DicomObject:
    """The note that objects of the result of `rejected_key`, in the same study, are not to be used any more: `result` takes their place,
    or says why there is none.

    Its UIDs are derived from both results and from what is rejected. Raises EncodingError where nothing is.
    """
    both = derive_digest(result.key, rejected_key, *(reference.sop_instance_uid for reference in rejected))
    inputs: AnyInputs
    if isinstance(result, Withdrawn):
        inputs = read_inputs_of_refusal(dataclasses.replace(result, key=both), headers, profile)
    else:
        inputs = read_inputs(dataclasses.replace(result, key=both), headers, profile)
    with _failing_as(ObjectKind.REJECTION.value):
        return _finish(make_rejection(inputs, rejected), inputs.source.request, ObjectKind.REJECTION, inputs)


def encode_refusal(
    result: NotAnalysed, headers: SeriesHeaders, profile: Profile, replaced: Sequence[ReportRef] = ()
) -> tuple[DicomObject, ...]:
    """The objects that say that a series was not analysed, or that its result is withdrawn, and why, in the profile's order; none of kinds
    that cannot say so. `replaced`: what is withdrawn.

    None at all where the headers are of several patients or studies: it would stand in the folder of one of them. The same arguments
    give the same bytes. Raises EncodingError where an object cannot be made, or no header could be read.
    """
    if len({(one.patient_identity, one.study_instance_uid) for one in headers.instances}) > 1:
        return ()
    inputs = read_inputs_of_refusal(result, headers, profile, replaced)
    objects, _ = step_down(profile.objects, (), UNABLE_TO_REFUSE)
    return tuple(made for kind in objects if kind in _MAKERS_OF_REFUSAL for made in encode_refusal_kind(inputs, kind))


def encode_refusal_kind(inputs: InputsOfRefusal, kind: ObjectKind) -> tuple[DicomObject, ...]:
    """The objects of one kind alone, of `_MAKERS_OF_REFUSAL`."""
    with _failing_as(KINDS[kind].role.value):
        return tuple(_finish(*made, kind, inputs) for made in _MAKERS_OF_REFUSAL[kind](inputs, kind))


# A maker gives, for each instance, a data set and its elements that are encoded already.
_Instance = tuple[Dataset, Values]
_Maker = Callable[[Inputs, ObjectKind], Iterable[_Instance]]
_MakerOfRefusal = Callable[[InputsOfRefusal, ObjectKind], Iterable[_Instance]]
_I = TypeVar("_I", Inputs, InputsOfRefusal)


def _one(make: Callable[[_I, ObjectKind], _Instance]) -> Callable[[_I, ObjectKind], Iterable[_Instance]]:
    """What makes one instance, as a maker."""
    return lambda inputs, kind: [make(inputs, kind)]


_MAKERS: Mapping[ObjectKind, _Maker] = {
    ObjectKind.SEGMENTATION: make_segmentations,
    ObjectKind.LABEL_MAP: make_segmentations,
    ObjectKind.REPORT_3D: _one(make_report),
    ObjectKind.CAPTURE: make_captures,
    ObjectKind.PAGE: _one(make_page),
    ObjectKind.KEY_IMAGES: _one(make_key_images),
    ObjectKind.OUTLINES: _one(make_presentation),
    ObjectKind.REPORT_COMPREHENSIVE: _one(make_report),
    ObjectKind.REPORT_ENHANCED: _one(make_report),
    ObjectKind.REPORT_TEXT: _one(make_text_report),
    ObjectKind.MAMMOGRAPHY_CAD: _one(make_mammography_report),
    ObjectKind.REGIONS: _one(make_report),
}
_MAKERS_OF_REFUSAL: Mapping[ObjectKind, _MakerOfRefusal] = {
    ObjectKind.REPORT_3D: _one(make_refusal),
    ObjectKind.REPORT_COMPREHENSIVE: _one(make_refusal),
    ObjectKind.REPORT_ENHANCED: _one(make_refusal),
    ObjectKind.REPORT_TEXT: _one(make_text_refusal),
    ObjectKind.CAPTURE: _one(make_notice),
    ObjectKind.PAGE: _one(make_page_of_notice),
}
# What is about regions alone, and is not made where there are none.
_OF_FINDINGS = frozenset({ObjectKind.SEGMENTATION, ObjectKind.LABEL_MAP, ObjectKind.REGIONS, ObjectKind.KEY_IMAGES, ObjectKind.OUTLINES})


def _finish(dataset: Dataset, encoded: Values, kind: ObjectKind, inputs: AnyInputs) -> DicomObject:
    """Times, qualification, equipment and whose images they are, in any kind of object; then its bytes."""
    source, words = inputs.source, inputs.words
    dataset.InstanceCreationDate = dataset.ContentDate = dataset.SeriesDate = source.moment.date
    dataset.InstanceCreationTime = dataset.ContentTime = dataset.SeriesTime = source.moment.time
    dataset.ContentQualification = _qualification(inputs.result.package)
    dataset.StationName = inputs.profile.station
    words.fit(dataset)
    everything = {**source.identity, **encoded, **contributing_equipment(source, inputs.result.package, inputs.profile, words)}
    return DicomObject(
        role=KINDS[kind].role,
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        content=write_file(dataset, everything, encoding=words.encoding),
    )


def _qualification(package: PackageRef | None) -> str:
    """Content Qualification (0018,9004): neither kind of object lists it, so the word stands in Series Description too."""
    return "PRODUCT" if package is not None and package.product else "RESEARCH"


@contextmanager
def _failing_as(step: str) -> Iterator[None]:
    """What highdicom and pydicom raise for values that they do not take, as our error. They are shown no patient."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError, NotImplementedError, ArithmeticError, struct.error) as cause:
        raise EncodingError(step) from cause
