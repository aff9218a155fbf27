"""What the configuration decides about objects."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from dicom_node.values import ObjectKind, Role, derive_digest

from .kinds import KINDS

_OF_SEGMENTATIONS = ("objects", "most_frames")  # change the bytes of segmentations, and of what names them, alone


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything outside result and images that decides which objects there are and what is in them.

    `objects` are in the order in which a viewer needs them: what another one names comes before it. `station_name` empty means: the AE
    title. `manufacturer` and `model_name` are the node's own, not those of a model. `most_frames`: a segmentation of more is divided into
    several, as far as its segments allow; 0: never.
    """

    ae_title: str
    node_version: str
    language: Literal["en", "fr"] = "en"
    objects: tuple[ObjectKind, ...] = (ObjectKind.SEGMENTATION, ObjectKind.REPORT_3D)
    not_accepted: frozenset[str] = frozenset()
    station_name: str = ""
    manufacturer: str = "dicom-node"
    model_name: str = "dicom-node"
    most_frames: int = 0

    @property
    def station(self) -> str:
        return self.station_name or self.ae_title

    @property
    def segmentation(self) -> ObjectKind | None:
        """The kind of segmentation among the objects; None where there is none."""
        return next((kind for kind in self.objects if KINDS[kind].role is Role.SEGMENTATION), None)

    def digest_of(self, kind: ObjectKind) -> str:
        """SHA-256 over everything here that changes the bytes of an object of this kind; it goes into the object's UIDs.

        Other objects beside it do not, unless it names them: so an object that is there keeps its UID where another one is exchanged.
        """
        fields = [f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self) if field.name not in _OF_SEGMENTATIONS]
        named = [self.segmentation] if KINDS[kind].names_segmentation else []
        is_divided = self.most_frames > 0 and ObjectKind.SEGMENTATION in (kind, *named)
        return derive_digest(*fields, kind, *map(str, named), *([f"most_frames={self.most_frames}"] if is_divided else []))
