"""A result as whole DICOM objects."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, ObjectKind, PackageRef, ReportRef, SeriesHeaders

from .capture import make_captures
from .elements import Values, write_file
from .equipment import contributing_equipment
from .inputs import Inputs, read_inputs
from .kinds import KINDS
from .profile import Profile
from .seg import make_segmentation
from .sr import make_report


def encode(result: Analysed, headers: SeriesHeaders, profile: Profile, replaced: ReportRef | None = None) -> tuple[DicomObject, ...]:
    """The objects of a result, in the order in which a viewer needs them: the segmentation, then the report that refers to it.

    Without findings there are only those that say so. `replaced` is the report of the result's predecessor, where one was sent. The same
    arguments give the same bytes, on every machine and every day. Raises EncodingError where an object cannot be made.
    """
    inputs = read_inputs(result, headers, profile, replaced)
    kinds = (kind for kind in profile.objects if result.findings or kind not in _OF_FINDINGS)
    return tuple(made for kind in kinds for made in encode_kind(inputs, kind))


def encode_kind(inputs: Inputs, kind: ObjectKind) -> tuple[DicomObject, ...]:
    """The objects of one kind alone; those of `_OF_FINDINGS` only of a result that has findings."""
    with _failing_as(KINDS[kind].role.value):
        return tuple(_finish(*made, kind, inputs) for made in _MAKERS[kind](inputs, kind))  # and keep none of its parts


# A maker gives, for each instance, a data set and its elements that are encoded already.
_Maker = Callable[[Inputs, ObjectKind], Iterable[tuple[Dataset, Values]]]
_MAKERS: Mapping[ObjectKind, _Maker] = {
    ObjectKind.SEGMENTATION: lambda inputs, kind: [make_segmentation(inputs, kind)],
    ObjectKind.LABEL_MAP: lambda inputs, kind: [make_segmentation(inputs, kind)],
    ObjectKind.REPORT_3D: lambda inputs, kind: [make_report(inputs, kind)],
    ObjectKind.CAPTURE: make_captures,
}
# What is about regions alone, and is not made where there are none.
_OF_FINDINGS = frozenset({ObjectKind.SEGMENTATION, ObjectKind.LABEL_MAP, ObjectKind.REGIONS, ObjectKind.KEY_IMAGES, ObjectKind.OUTLINES})


def _finish(dataset: Dataset, encoded: Values, kind: ObjectKind, inputs: Inputs) -> DicomObject:
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


def _qualification(package: PackageRef) -> str:
    """Content Qualification (0018,9004): neither kind of object lists it, so the word stands in Series Description too."""
    return "PRODUCT" if package.product else "RESEARCH"


@contextmanager
def _failing_as(step: str) -> Iterator[None]:
    """What highdicom and pydicom raise for values that they do not take, as our error. They are shown no patient."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError, NotImplementedError, ArithmeticError, struct.error) as cause:
        raise EncodingError(step) from cause
