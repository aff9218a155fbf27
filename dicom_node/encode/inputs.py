"""Everything that an object is made from."""

import dataclasses
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.errors import EncodingError
from dicom_node.texts import Language
from dicom_node.values import (
    Analysed,
    Finding,
    FrameHeaders,
    InstanceHeaders,
    NotAnalysed,
    ObjectKind,
    ReportRef,
    SeriesHeaders,
    derive_digest,
)

from .division import divide
from .identity import ObjectUids, derive_object_uids, derive_series_number
from .kinds import KINDS
from .profile import Profile
from .source import Source, read_source
from .titles import title_of
from .words import Words

_Result = TypeVar("_Result", Analysed, NotAnalysed)


@dataclass(frozen=True, slots=True)
class _InputsOf(Generic[_Result]):
    """A result, source instances by SOP Instance UID, what is copied from them, the profile, and the earlier objects that it is about:
    the reports that a report replaces, or all that is withdrawn."""

    result: _Result
    instances: Mapping[str, InstanceHeaders]
    source: Source
    profile: Profile
    replaced: tuple[ReportRef, ...]

    def uids(self, kind: ObjectKind, number: int = 1) -> ObjectUids:
        """The UIDs of the object of this kind; of that number, where there are several."""
        return derive_object_uids(_key_of(self.result), kind, self.profile, number)

    def names(self, kind: ObjectKind, number: int = 1) -> dict[str, Any]:
        """What highdicom takes for every kind of object alike: UIDs, numbers, and the equipment, which is the node."""
        uids, profile, package = self.uids(kind, number), self.profile, self.result.package
        model = profile.model_name if package is None else package.name
        return {
            "sop_instance_uid": uids.instance,
            "instance_number": number,
            "series_instance_uid": uids.series,
            "series_number": derive_series_number(model, KINDS[kind].role, self.source.series_number),
            "series_description": title_of(self.result),
            "manufacturer": profile.manufacturer,
            "manufacturer_model_name": profile.model_name,
            "software_versions": profile.node_version,
            "device_serial_number": profile.ae_title,
            "transfer_syntax_uid": ExplicitVRLittleEndian,
        }

    @property
    def words(self) -> Words:
        """How text of our own is written beside what is copied from the images."""
        return Words(self.source.is_recoded)

    @property
    def language(self) -> Language:
        """The language of what people read."""
        return self.profile.language


@dataclass(frozen=True, slots=True)
class Inputs(_InputsOf[Analysed]):
    """Of an analysis: the instances are those of its volume, in slice order.

    `starts` holds the number of the first finding of each segmentation: one, unless the profile wants segmentations of few frames.
    """

    starts: tuple[int, ...] = (1,)

    def segment(self, finding: Finding) -> tuple[str, int]:
        """SOP Instance UID of the segmentation that holds a finding's segment, and Segment Number in it."""
        assert self.profile.segmentation is not None
        number = bisect_right(self.starts, finding.number)
        return self.uids(self.profile.segmentation, number).instance, finding.number - self.starts[number - 1] + 1

    def parts(self) -> Iterator["Inputs"]:
        """The same for each segmentation, with its findings alone, which have the numbers of its segments."""
        ends = (*self.starts[1:], len(self.result.findings) + 1)
        for start, end in zip(self.starts, ends, strict=True):
            findings = tuple(dataclasses.replace(one, number=one.number - start + 1) for one in self.result.findings[start - 1 : end - 1])
            yield dataclasses.replace(self, result=dataclasses.replace(self.result, findings=findings))

    def first_alone(self) -> "Inputs":
        """The same with the first of its instances only, as if all slices came from that."""
        uid, *_ = self.instances
        frames = self.result.geometry.frames
        first = next(frame for frame in frames if frame.sop_instance_uid == uid)
        frames = tuple(frame if frame.sop_instance_uid == uid else first for frame in frames)
        result = dataclasses.replace(self.result, geometry=dataclasses.replace(self.result.geometry, frames=frames))
        return dataclasses.replace(self, result=result, instances={uid: self.instances[uid]})

    def frame(self, index: int) -> FrameHeaders:
        """The header of the frame that a slice comes from."""
        reference = self.result.geometry.frames[index]
        frames = self.instances[reference.sop_instance_uid].frames
        return next(frame for frame in frames if frame.frame_number == reference.frame_number)


@dataclass(frozen=True, slots=True)
class InputsOfRefusal(_InputsOf[NotAnalysed]):
    """Of an analysis that there was not: the instances are all of the series that could be read, sorted by UID.

    `unreadable` counts those of the series that could not.
    """

    unreadable: int

    @property
    def image_count(self) -> int:
        """How many images of the series there are, frames counted one by one as far as their headers tell."""
        return self.unreadable + sum(max(1, len(headers.frames)) for headers in self.instances.values())

    def first_alone(self) -> "InputsOfRefusal":
        """The same with the first of its instances only."""
        return dataclasses.replace(self, instances=dict(list(self.instances.items())[:1]))


AnyInputs = Inputs | InputsOfRefusal


def read_inputs(result: Analysed, headers: SeriesHeaders, profile: Profile, replaced: Sequence[ReportRef] = ()) -> Inputs:
    """Of the headers those of the result's volume, in slice order. Raises EncodingError where one is missing or cannot be read."""
    known = {instance.instance.sop_instance_uid: instance for instance in headers.instances}
    uids = tuple(dict.fromkeys(frame.sop_instance_uid for frame in result.geometry.frames))
    if not uids or any(uid not in known for uid in uids):
        raise EncodingError("images of the result")
    instances = {uid: known[uid] for uid in uids}
    starts = divide(result.findings, profile.most_frames) if profile.segmentation is ObjectKind.SEGMENTATION else (1,)
    return Inputs(result, instances, read_source(list(instances.values())), profile, tuple(replaced), starts)


def read_inputs_of_refusal(
    result: NotAnalysed, headers: SeriesHeaders, profile: Profile, replaced: Sequence[ReportRef] = ()
) -> InputsOfRefusal:
    """Of the headers all. Raises EncodingError where there is none."""
    if not headers.instances:
        raise EncodingError("images of the series")
    instances = {instance.instance.sop_instance_uid: instance for instance in headers.instances}
    return InputsOfRefusal(result, instances, read_source(headers.instances), profile, tuple(replaced), len(headers.unreadable))


def _key_of(result: Analysed | NotAnalysed) -> str:
    """What UIDs are derived from: tried again, the same result may become an answer, or another reason, and that is another object."""
    match result:
        case Analysed():
            return result.key
        case NotAnalysed():
            return derive_digest(result.key, "not analysed", repr(result.reason))
