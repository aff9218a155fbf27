"""What the configuration decides about objects."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from dicom_node.values import derive_digest

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything outside result and images that changes the bytes of an object; all of it goes into the object's UIDs.

    `station_name` empty means: the AE title. `manufacturer` and `model_name` are the node's own, not those of a model. `segmentation`
    says of which kind segmentations are: BINARY, a bit for each pixel and segment, or LABELMAP, in which segments cannot overlap.
    """

    ae_title: str
    node_version: str
    language: Literal["en", "fr"] = "en"
    segmentation: Literal["binary", "labelmap"] = "binary"
    station_name: str = ""
    manufacturer: str = "dicom-node"
    model_name: str = "dicom-node"

    @property
    def station(self) -> str:
        return self.station_name or self.ae_title

    @property
    def segmentation_class(self) -> str:
        """The SOP class of segmentations (PS3.4 B.5)."""
        return SEGMENTATION_STORAGE if self.segmentation == "binary" else LABEL_MAP_SEGMENTATION_STORAGE

    @property
    def digest(self) -> str:
        """SHA-256 over every field."""
        return derive_digest(*(f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self)))
