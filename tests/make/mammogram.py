"""Digital mammograms with whole headers, and what is drawn on them is known."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from dicom_node.values import derive_uid

from .series import _file_meta

View = tuple[str, str]  # Image Laterality and View Position

# By view position: the code of CID 4014.
_VIEWS = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
_ORIENTATIONS = {"CC": {"R": ["P", "L"], "L": ["A", "R"]}, "MLO": {"R": ["P", "FL"], "L": ["A", "FR"]}}
BITS = 12


def make_mammograms(
    *views: View,
    shape: tuple[int, int] = (120, 96),
    spacing_mm: tuple[float, float] | None = (0.1, 0.1),
    photometric_interpretation: str = "MONOCHROME2",
    name: str = "mammograms",
    change: Callable[[Dataset, int], None] | None = None,
) -> list[Dataset]:
    """A series of one image for each view, sorted by SOP Instance UID as `assemble` places them; ready to be written or sent.

    `shape` is (rows, columns). `spacing_mm` is Imager Pixel Spacing; None leaves it out. `change` is called last, with the number of the
    view.
    """
    made = []
    for number, view in enumerate(views or (("R", "MLO"),)):
        dataset = _instance(view, number + 1, shape, spacing_mm, photometric_interpretation, name)
        if change is not None:
            change(dataset, number)
        dataset.file_meta = _file_meta(dataset)
        made.append(dataset)
    return sorted(made, key=lambda dataset: str(dataset.SOPInstanceUID))


def draw_breast(shape: tuple[int, int], laterality: str = "R") -> npt.NDArray[np.uint16]:
    """A half disc of tissue at the wall of the chest, brighter in its middle, on air; (rows, columns), 12 bits, brighter is denser."""
    rows, columns = shape
    row, column = np.mgrid[:rows, :columns].astype(np.float32)
    away = (columns - 1 - column if laterality == "R" else column) / (0.8 * columns)
    inside = away**2 + ((row - (rows - 1) / 2) / (0.45 * rows)) ** 2
    tissue = 1200 + 1600 * np.clip(1 - inside, 0, 1) + 60 * np.sin(row / 7) * np.cos(column / 5)
    return np.where(inside < 1, tissue, 40).astype(np.uint16)


def _instance(
    view: View,
    number: int,
    shape: tuple[int, int],
    spacing_mm: tuple[float, float] | None,
    photometric_interpretation: str,
    name: str,
) -> Dataset:
    laterality, position = view
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = "20250102", "101500"
    dataset.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    dataset.SOPInstanceUID = derive_uid("test", name, "instance", str(number))
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20250102"
    dataset.StudyTime, dataset.SeriesTime, dataset.AcquisitionTime, dataset.ContentTime = "100000", "101000", "101100", "101200"
    dataset.AccessionNumber = "A7"
    dataset.Modality = "MG"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Synthetic", "Made by function"
    dataset.InstitutionName, dataset.StationName = "Test Hospital", "SYNTHMG"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "0002", "1.0"
    dataset.ReferringPhysicianName = "Referrer^Test"
    dataset.StudyDescription, dataset.SeriesDescription = "Synthetic mammography", f"Series {name}"[:64]
    dataset.PatientName, dataset.PatientID, dataset.IssuerOfPatientID = "Synthetic^Patient", "P7", "TEST-HOSPITAL"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19600101", "F", "065Y"
    dataset.BodyPartExamined = "BREAST"
    dataset.StudyInstanceUID = derive_uid("test", name, "study")
    dataset.SeriesInstanceUID = derive_uid("test", name, "series")
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "S7", 3, number
    dataset.FrameOfReferenceUID = derive_uid("test", name, "frame of reference", str(number))
    dataset.PositionReferenceIndicator = ""
    dataset.PatientOrientation = _ORIENTATIONS[position][laterality]
    dataset.ImageLaterality = laterality
    dataset.AnatomicRegionSequence = [_code("76752008", "Breast")]
    dataset.OrganExposed = "BREAST"
    dataset.BreastImplantPresent = "NO"
    dataset.AcquisitionContextSequence = []
    dataset.ViewPosition = position
    dataset.ViewCodeSequence = [_code(*_VIEWS[position])]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.KVP, dataset.ExposureTime, dataset.XRayTubeCurrent, dataset.Exposure = "29", 900, 90, 80
    dataset.AnodeTargetMaterial, dataset.FilterMaterial = "TUNGSTEN", "RHODIUM"
    dataset.BodyPartThickness, dataset.CompressionForce = "52", "110"
    dataset.DistanceSourceToDetector, dataset.DistanceSourceToPatient = "660", "600"
    dataset.EstimatedRadiographicMagnificationFactor = "1.1"
    dataset.DetectorType, dataset.DetectorConfiguration, dataset.DetectorID = "DIRECT", "AREA", "D1"
    if spacing_mm is not None:
        dataset.ImagerPixelSpacing = [str(value) for value in spacing_mm]
    dataset.PixelIntensityRelationship = "LOG"
    _add_pixels(dataset, draw_breast(shape, laterality), photometric_interpretation)
    return dataset


def _add_pixels(dataset: Dataset, pixels: npt.NDArray[np.uint16], photometric_interpretation: str) -> None:
    """Brighter is denser, as a radiologist reads it, however it is stored."""
    inverted = photometric_interpretation == "MONOCHROME1"
    stored = (2**BITS - 1 - pixels).astype("<u2") if inverted else pixels.astype("<u2")
    dataset.PixelIntensityRelationshipSign = 1 if inverted else -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = "2047", "4095"
    dataset.LossyImageCompression, dataset.BurnedInAnnotation = "00", "NO"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric_interpretation
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, BITS, BITS - 1, 0
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item
