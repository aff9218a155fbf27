"""DICOM series made from a function of patient coordinates, with whole headers: what a validator would find wrong is a fault here."""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from dicom_node.values import InstanceRef, derive_uid

from .anatomy import Sample
from .enhanced import add_functional_groups

Orientation = tuple[float, float, float, float, float, float]  # row cosine, then column cosine, in LPS
Change = Callable[[Dataset, int], None]

AXIAL: Orientation = (1, 0, 0, 0, 1, 0)
CORONAL: Orientation = (1, 0, 0, 0, 0, -1)
SAGITTAL: Orientation = (0, 1, 0, 0, 0, -1)
OBLIQUE: Orientation = (0.866025, 0.0, -0.5, 0.171010, 0.939693, 0.296198)

_CLASSES = {
    ("CT", False): CTImageStorage,
    ("MR", False): MRImageStorage,
    ("CT", True): EnhancedCTImageStorage,
    ("MR", True): EnhancedMRImageStorage,
}


@dataclass(frozen=True)
class Plan:
    """What all instances of a series share."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: Orientation
    centre_lps: tuple[float, float, float]
    modality: str
    name: str
    study: str
    rescale: tuple[float, float]
    signed: bool
    bits_stored: int

    @property
    def lps_from_index(self) -> npt.NDArray[np.float64]:
        return true_lps_from_index(self.shape, self.spacing_mm, self.orientation, self.centre_lps)


def make_series(
    sample: Sample,
    *,
    shape: tuple[int, int, int] = (40, 64, 64),
    spacing_mm: tuple[float, float, float] = (2.0, 1.5, 1.5),
    orientation: Orientation = AXIAL,
    centre_lps: tuple[float, float, float] = (0.0, 0.0, 0.0),
    modality: str = "CT",
    name: str = "base",
    study: str | None = None,
    sop_class: str | None = None,
    enhanced: bool = False,
    change: Change | None = None,
    rescale: tuple[float, float] = (1.0, -1024.0),
    signed: bool = False,
    bits_stored: int = 16,
    patient: dict[str, Any] | None = None,
) -> list[Dataset]:
    """The instances of one series in slice order (along +normal of the orientation), ready to be written or sent.

    `shape` is (slices, rows, columns), `spacing_mm` likewise; `centre_lps` is the middle of the grid. `sample` is evaluated at
    voxel centres. Every UID comes from `name`, patient, study and frame of reference from `study` (where none is given: from
    `name`), so that several series of one study share a `study`. `patient` overrides attributes in every instance, None deletes
    one. `change` is called last, with the data set and its slice index. `enhanced` gives one instance with a frame per slice.
    """
    plan = Plan(shape, spacing_mm, orientation, centre_lps, modality, name, study or name, rescale, signed, bits_stored)
    stored = _stored_values(sample, plan)
    if enhanced:
        datasets = [_enhanced_instance(plan, stored)]
    else:
        datasets = [_classic_instance(plan, stored[index], index) for index in range(shape[0])]
    for index, dataset in enumerate(datasets):
        dataset.SOPClassUID = sop_class or _CLASSES[(modality, enhanced)]
        for keyword, value in (patient or {}).items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if change is not None:
            change(dataset, index)
        dataset.file_meta = _file_meta(dataset)
    return datasets


def true_lps_from_index(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    orientation: Orientation = AXIAL,
    centre_lps: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> npt.NDArray[np.float64]:
    """The 4x4 matrix from (slice, row, column, 1) to LPS mm that `make_series` places its voxels by."""
    row, column = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    row, column = row / np.linalg.norm(row), column / np.linalg.norm(column)
    matrix = np.eye(4)
    matrix[:3, 0] = np.cross(row, column) * spacing_mm[0]
    matrix[:3, 1] = column * spacing_mm[1]
    matrix[:3, 2] = row * spacing_mm[2]
    matrix[:3, 3] = np.asarray(centre_lps) - matrix[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return matrix


def move(dataset: Dataset, millimetres: npt.ArrayLike) -> None:
    """Shift an instance in the patient by a vector in LPS mm."""
    position = np.asarray(dataset.ImagePositionPatient, dtype=float) + np.asarray(millimetres, dtype=float)
    dataset.ImagePositionPatient = _ds(position)


def write_series(datasets: Iterable[Dataset], folder: Path) -> list[Path]:
    """Write the instances as Part 10 files, named by number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, dataset in enumerate(datasets):
        path = folder / f"{number:04d}.dcm"
        path.write_bytes(write_dataset(dataset))
        paths.append(path)
    return paths


def write_dataset(dataset: Dataset) -> bytes:
    """The whole Part 10 file, in memory."""
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def to_refs(datasets: Iterable[Dataset], root: Path) -> list[InstanceRef]:
    """Put the instances under `root` as the spool would, named by digest, and say where their data sets lie."""
    root.mkdir(parents=True, exist_ok=True)
    return [ref_of_file(write_dataset(dataset), root) for dataset in datasets]


def ref_of_file(content: bytes, root: Path) -> InstanceRef:
    """File the bytes of one Part 10 file under `root`; SOP class and instance are read from the data set, else from the meta group."""
    with warnings.catch_warnings():  # of UIDs that are none, in files that are odd on purpose
        warnings.simplefilter("ignore", UserWarning)
        meta = dcmread(io.BytesIO(content), stop_before_pixels=True, force=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        sop_instance_uid = str(meta.get("SOPInstanceUID") or meta.file_meta.get("MediaStorageSOPInstanceUID", ""))
        sop_class_uid = str(meta.get("SOPClassUID") or meta.file_meta.get("MediaStorageSOPClassUID", ""))
    offset = _data_set_offset(content)
    digest = hashlib.sha256(content[offset:]).hexdigest()
    file = f"{digest[:40]}.dcm"
    (root / file).write_bytes(content)
    return InstanceRef(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=sop_class_uid,
        transfer_syntax_uid=str(meta.file_meta.TransferSyntaxUID),
        digest=digest,
        file=file,
        offset=offset,
        length=len(content) - offset,
    )


def _data_set_offset(content: bytes) -> int:
    """Where the meta group ends: elements of group 2 in explicit VR little endian, from byte 132."""
    offset = 132
    while int.from_bytes(content[offset : offset + 2], "little") == 2:
        if content[offset + 4 : offset + 6] in {b"OB", b"OW", b"UN", b"SQ", b"UT", b"UC", b"UR"}:
            offset += 12 + int.from_bytes(content[offset + 8 : offset + 12], "little")
        else:
            offset += 8 + int.from_bytes(content[offset + 6 : offset + 8], "little")
    return offset


def _stored_values(sample: Sample, plan: Plan) -> npt.NDArray[Any]:
    """Stored pixels, (slices, rows, columns): the sampled values through the inverse rescale, cut to what the bits hold."""
    index = np.stack(np.meshgrid(*(np.arange(count) for count in plan.shape), indexing="ij"), axis=-1).astype(float)
    matrix = plan.lps_from_index
    values = sample(index @ matrix[:3, :3].T + matrix[:3, 3])
    slope, intercept = plan.rescale
    lowest, highest = (-(2 ** (plan.bits_stored - 1)), 2 ** (plan.bits_stored - 1) - 1) if plan.signed else (0, 2**plan.bits_stored - 1)
    stored = np.clip(np.rint((values - intercept) / slope), lowest, highest)
    return stored.astype(np.int16 if plan.signed else np.uint16)


def _classic_instance(plan: Plan, stored: npt.NDArray[Any], index: int) -> Dataset:
    dataset = _common(plan, number=index + 1)
    dataset.AcquisitionNumber = 1
    position = (plan.lps_from_index @ np.array([index, 0, 0, 1.0]))[:3]
    dataset.ImagePositionPatient = _ds(position)
    dataset.ImageOrientationPatient = _ds(plan.orientation)
    dataset.PixelSpacing = _ds(plan.spacing_mm[1:])
    dataset.SliceThickness = _ds([plan.spacing_mm[0]])[0]
    if plan.modality == "CT":
        _add_ct(dataset, plan)
    else:
        _add_mr(dataset)
    if plan.modality == "CT" or plan.rescale != (1.0, 0.0):
        dataset.RescaleSlope, dataset.RescaleIntercept = _ds([plan.rescale[0]])[0], _ds([plan.rescale[1]])[0]
        dataset.RescaleType = "HU" if plan.modality == "CT" else "US"
    _add_pixels(dataset, plan, stored)
    return dataset


def _enhanced_instance(plan: Plan, stored: npt.NDArray[Any]) -> Dataset:
    dataset = _common(plan, number=1)
    del dataset.AcquisitionDate, dataset.AcquisitionTime
    positions = [_ds((plan.lps_from_index @ np.array([index, 0, 0, 1.0]))[:3]) for index in range(plan.shape[0])]
    add_functional_groups(
        dataset,
        modality=plan.modality,
        positions=positions,
        orientation=_ds(plan.orientation),
        pixel_spacing=_ds(plan.spacing_mm[1:]),
        slice_thickness=_ds([plan.spacing_mm[0]])[0],
        rescale=(_ds([plan.rescale[0]])[0], _ds([plan.rescale[1]])[0]),
        dimension_organization_uid=derive_uid("test", plan.name, "dimensions"),
    )
    dataset.NumberOfFrames = plan.shape[0]
    _add_pixels(dataset, plan, stored)
    return dataset


def _common(plan: Plan, *, number: int) -> Dataset:
    """Patient, study, series, frame of reference, equipment, general image."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if plan.modality == "CT" else "OTHER"]
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = "20250102", "101500"
    dataset.SOPInstanceUID = derive_uid("test", plan.name, "instance", str(number))
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20250102"
    dataset.StudyTime, dataset.SeriesTime, dataset.AcquisitionTime, dataset.ContentTime = "100000", "101000", "101100", "101200"
    dataset.AccessionNumber = "A" + derive_uid(plan.study)[-9:]
    dataset.Modality = plan.modality
    dataset.Manufacturer, dataset.ManufacturerModelName = "Synthetic", "Made by function"
    dataset.InstitutionName, dataset.StationName = "Test Hospital", "SYNTH1"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "0001", "1.0"
    dataset.ReferringPhysicianName = "Referrer^Test"
    dataset.StudyDescription = "Synthetic thorax"
    dataset.SeriesDescription = f"Series {plan.name}"[:64]
    dataset.TimezoneOffsetFromUTC = "+0100"
    dataset.PatientName, dataset.PatientID = "Synthetic^Patient", "P" + derive_uid(plan.study)[-9:]
    dataset.IssuerOfPatientID = "TEST-HOSPITAL"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19600101", "F", "065Y"
    dataset.PatientWeight, dataset.PatientSize = "70", "1.7"
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.ProtocolName = "Synthetic protocol"
    dataset.StudyInstanceUID = derive_uid("test", plan.study, "study")
    dataset.SeriesInstanceUID = derive_uid("test", plan.name, "series")
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "S1", 1, number
    dataset.FrameOfReferenceUID = derive_uid("test", plan.study, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    request = Dataset()
    request.AccessionNumber = dataset.AccessionNumber
    request.StudyInstanceUID = dataset.StudyInstanceUID
    request.RequestedProcedureDescription = "CT of the thorax"
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP1", "SPS1"
    request.ScheduledProcedureStepDescription = "Thorax"
    dataset.RequestAttributesSequence = [request]
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    return dataset


def _add_ct(dataset: Dataset, plan: Plan) -> None:
    dataset.KVP = "120"
    dataset.ScanOptions = "HELICAL MODE"
    dataset.DataCollectionDiameter = dataset.ReconstructionDiameter = "500"
    dataset.GantryDetectorTilt = "0"
    dataset.TableHeight = "150"
    dataset.RotationDirection = "CW"
    dataset.ExposureTime, dataset.XRayTubeCurrent, dataset.Exposure = 500, 200, 100
    dataset.FilterType = "BODY"
    dataset.ConvolutionKernel = "B30f"
    dataset.WindowCenter, dataset.WindowWidth = "40", "400"


def _add_mr(dataset: Dataset) -> None:
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "NONE", ""
    dataset.MRAcquisitionType = "2D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoTrainLength = "500", "12", 1
    dataset.MagneticFieldStrength = "1.5"
    dataset.EchoNumbers = 1
    dataset.FlipAngle = "90"


def _add_pixels(dataset: Dataset, plan: Plan, stored: npt.NDArray[Any]) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = plan.shape[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, plan.bits_stored, plan.bits_stored - 1
    dataset.PixelRepresentation = int(plan.signed)
    dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW"


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = derive_uid("test", "implementation")
    return meta


def _ds(values: Sequence[float] | npt.NDArray[np.float64]) -> list[str]:
    """Decimal strings of at most 16 characters, without minus zero."""
    return [f"{round(float(value), 6) + 0.0:.6f}".rstrip("0").rstrip(".") for value in values]
