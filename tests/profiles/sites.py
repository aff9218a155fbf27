"""The destinations: for each profile a real Orthanc, which takes everything, and archives that refuse some SOP classes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pynetdicom.presentation import AllStoragePresentationContexts

from dicom_node import encode
from dicom_node.config import PROFILES
from dicom_node.values import ObjectKind
from tests.peers.archive import Archive
from tests.peers.orthanc import Orthanc

NEWER_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.7",)  # than the list of pynetdicom
_ALL_CLASSES = tuple(dict.fromkeys([*(str(one.abstract_syntax) for one in AllStoragePresentationContexts), *NEWER_CLASSES]))


@dataclass(frozen=True)
class Site:
    """A destination of a profile that refuses these SOP classes, in one language; `server` holds what it got."""

    name: str
    profile: str
    language: str
    refused: tuple[str, ...]
    server: Orthanc | Archive

    @property
    def wanted(self) -> tuple[ObjectKind, ...]:
        return PROFILES[self.profile]

    @property
    def peer(self) -> dict[str, Any]:
        """Its section of `peers.toml`."""
        is_orthanc = isinstance(self.server, Orthanc)
        return {
            "ae_title": self.server.aet if isinstance(self.server, Orthanc) else self.server.ae_title,
            "host": "127.0.0.1",
            "port": self.server.dicom_port if isinstance(self.server, Orthanc) else self.server.port,
            "may": ["receive"],
            "proof": "find",
            "profile": self.profile,
            "language": self.language,
            "says_not_analysed": ["example"] if is_orthanc else True,
        }

    def held(self, study_instance_uid: str) -> list[tuple[Dataset, bytes]]:
        """What it holds of a study: each object as a data set and as the Part 10 file that it gives out."""
        if isinstance(self.server, Orthanc):
            contents = [self.server.download(one.sop_instance_uid) for one in self.server.instances(study_instance_uid)]
        else:
            contents = [path.read_bytes() for path in self.server.files()]
        read = [(pydicom.dcmread(io.BytesIO(content)), content) for content in contents]
        return [(dataset, content) for dataset, content in read if dataset.StudyInstanceUID == study_instance_uid]

    def count_doubled(self) -> int:
        """How many objects it acknowledged more than once; Orthanc keeps no record of that."""
        if isinstance(self.server, Orthanc):
            return 0
        taken = [stored.sop_instance_uid for stored in self.server.record if stored.status == 0]
        return len(taken) - len(set(taken))


def find_refusals(wanted: Sequence[ObjectKind]) -> list[tuple[str, ...]]:
    """Each SOP class alone of what is wanted and of what may take its place, then one more after the other until none is left."""
    classes = encode.find_classes(wanted)
    return [*((one,) for one in classes), *(classes[:count] for count in range(2, len(classes) + 1))]


def start_archive(folder: Path, ae_title: str, refused: Sequence[str]) -> Archive:
    """An archive that takes every class but these."""
    return Archive(folder, ae_title=ae_title, classes=[one for one in _ALL_CLASSES if one not in refused])
