"""The study that the demo sends: the generated chest, or the reader's own files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from tests.make.chest import Nodule, chest
from tests.make.series import CORONAL, make_series, write_series
from tests.peers.archive import digest_of_data_set

HEADER = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")


class DemoFailed(Exception):
    """The demo cannot go on; the text says why, for the reader."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One file of the study."""

    file: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    digest: str  # SHA-256 over its data set


@dataclass(frozen=True, slots=True)
class Study:
    """What is sent, and what was planted in it (nothing is known of the reader's own files)."""

    instances: tuple[Instance, ...]
    planted: tuple[Nodule, ...]

    @property
    def study_instance_uids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(instance.study_instance_uid for instance in self.instances))


def make_phantom(folder: Path) -> Study:
    """A chest CT of 110 slices with planted nodules, and a localizer beside it, as a scanner would send them."""
    sample, planted = chest()
    thorax = make_series(sample, shape=(110, 320, 320), spacing_mm=(2.5, 1.1, 1.1), name="demo thorax", study="demo")
    scout = make_series(
        sample,
        shape=(2, 160, 200),
        spacing_mm=(40.0, 1.8, 1.8),
        orientation=CORONAL,
        name="demo scout",
        study="demo",
        change=_to_localizer,
    )
    files = write_series(thorax, folder / "thorax") + write_series(scout, folder / "scout")
    return Study(tuple(_read(file) for file in files), planted)


def _to_localizer(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.SeriesNumber = 2
    dataset.SeriesDescription = "Scout"


def find_study(folder: Path, skipped: Callable[[Path], None]) -> Study:
    """Every DICOM file below the folder, once per instance; the others are told to `skipped`."""
    if not folder.is_dir():
        raise DemoFailed(f"{folder} is no folder")
    instances: dict[str, Instance] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            instance = _read(file)
        except (InvalidDicomError, AttributeError, ValueError):  # no Part 10 file, or without the names of its object
            skipped(file)
            continue
        instances.setdefault(instance.sop_instance_uid, instance)
    if not instances:
        raise DemoFailed(f"no DICOM file (with its meta group) lies in {folder}")
    return Study(tuple(instances.values()), ())


def _read(file: Path) -> Instance:
    header = dcmread(file, stop_before_pixels=True, specific_tags=list(HEADER))
    return Instance(
        file=file,
        sop_instance_uid=str(header.file_meta.MediaStorageSOPInstanceUID),
        sop_class_uid=str(header.file_meta.MediaStorageSOPClassUID),
        transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=str(header.SeriesInstanceUID),
        digest=digest_of_data_set(file),
    )
