"""Everything that an object is made from."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.errors import EncodingError
from dicom_node.values import Analysed, FrameHeaders, InstanceHeaders, ObjectKind, ReportRef, SeriesHeaders

from .identity import ObjectUids, derive_object_uids, derive_series_number
from .kinds import KINDS
from .profile import Profile
from .source import Source, read_source
from .titles import series_description
from .words import Words


@dataclass(frozen=True, slots=True)
class Inputs:
    """A result, the source instances of its volume by SOP Instance UID in slice order, what is copied from them, and the profile.

    `replaced` is the report that the new one replaces.
    """

    result: Analysed
    instances: Mapping[str, InstanceHeaders]
    source: Source
    profile: Profile
    replaced: ReportRef | None

    def uids(self, kind: ObjectKind, number: int = 1) -> ObjectUids:
        """The UIDs of the object of this kind; of that number, where there are several."""
        return derive_object_uids(self.result.key, kind, self.profile, number)

    def names(self, kind: ObjectKind, number: int = 1) -> dict[str, Any]:
        """What highdicom takes for every kind of object alike: UIDs, numbers, and the equipment, which is the node."""
        uids, profile = self.uids(kind, number), self.profile
        return {
            "sop_instance_uid": uids.instance,
            "instance_number": number,
            "series_instance_uid": uids.series,
            "series_number": derive_series_number(self.result.package.name, KINDS[kind].role, self.source.series_number),
            "series_description": series_description(self.result.package),
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

    def first_alone(self) -> "Inputs":
        """The same with the first of its instances only."""
        return dataclasses.replace(self, instances=dict(list(self.instances.items())[:1]))

    def frame(self, index: int) -> FrameHeaders:
        """The header of the frame that a slice comes from."""
        reference = self.result.geometry.frames[index]
        frames = self.instances[reference.sop_instance_uid].frames
        return next(frame for frame in frames if frame.frame_number == reference.frame_number)


def read_inputs(result: Analysed, headers: SeriesHeaders, profile: Profile, replaced: ReportRef | None = None) -> Inputs:
    """Of the headers those of the result's volume, in slice order. Raises EncodingError where one is missing or cannot be read."""
    known = {instance.instance.sop_instance_uid: instance for instance in headers.instances}
    uids = tuple(dict.fromkeys(frame.sop_instance_uid for frame in result.geometry.frames))
    if not uids or any(uid not in known for uid in uids):
        raise EncodingError("images of the result")
    instances = {uid: known[uid] for uid in uids}
    return Inputs(result, instances, read_source(list(instances.values())), profile, replaced)
