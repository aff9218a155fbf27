"""A result as whole DICOM objects."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, DicomObject, PackageRef, ReportRef, Role, SeriesHeaders

from .elements import Values, write_file
from .equipment import contributing_equipment
from .inputs import Inputs, read_inputs
from .profile import Profile
from .seg import make_segmentation
from .sr import make_report
from .words import Words


def encode(result: Analysed, headers: SeriesHeaders, profile: Profile, replaced: ReportRef | None = None) -> tuple[DicomObject, ...]:
    """The objects of a result, in the order in which a viewer needs them: the segmentation, then the report that refers to it.

    Without findings there is the report alone. `replaced` is the report of the result's predecessor, where one was sent. The same
    arguments give the same bytes, on every machine and every day. Raises EncodingError where an object cannot be made.
    """
    inputs = read_inputs(result, headers, profile, replaced)
    segmentation = (encode_segmentation(inputs),) if result.findings else ()
    return (*segmentation, encode_report(inputs))


def encode_segmentation(inputs: Inputs) -> DicomObject:
    """The segmentation alone, of a result that has findings."""
    with _failing_as("segmentation"):
        return _finish(*make_segmentation(inputs), Role.SEGMENTATION, inputs)  # and keep none of its parts


def encode_report(inputs: Inputs) -> DicomObject:
    """The report alone."""
    with _failing_as("report"):
        return _finish(*make_report(inputs, Words(inputs.source.is_recoded)), Role.REPORT, inputs)


def _finish(dataset: Dataset, encoded: Values, role: Role, inputs: Inputs) -> DicomObject:
    """Times, qualification, equipment and whose images they are, in any kind of object; then its bytes."""
    source, words = inputs.source, Words(inputs.source.is_recoded)
    dataset.InstanceCreationDate = dataset.ContentDate = dataset.SeriesDate = source.moment.date
    dataset.InstanceCreationTime = dataset.ContentTime = dataset.SeriesTime = source.moment.time
    dataset.ContentQualification = _qualification(inputs.result.package)
    dataset.StationName = inputs.profile.station
    words.fit(dataset)
    everything = {**source.identity, **encoded, **contributing_equipment(source, inputs.result.package, inputs.profile, words)}
    return DicomObject(
        role=role,
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
