"""One SOP instance: where its bytes lie, and what its header says."""

from dataclasses import dataclass

from .keys import AETitle
from .objects import StorePriority


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """A stored instance and the place of its data set: `length` bytes from `offset` in the spool's file `file`.

    `digest` is SHA-256 over exactly these bytes, as they came over the network, in `transfer_syntax_uid`.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    file: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the node knows of an instance at the moment of acknowledging it: one row of the journal.

    The AE titles and the address say who sent it to whom; they also stand in the file's meta information (0002,0016 to 0002,0018).
    """

    instance: InstanceRef
    study_instance_uid: str
    series_instance_uid: str
    calling: AETitle
    called: AETitle
    association: str
    store_priority: StorePriority = StorePriority.MEDIUM
    was_there: bool = False  # its file had come before, and is perhaps about to be removed
    is_asked_for: bool | None = None  # whether the node had it sent to itself by C-MOVE; None where its sender does not say for whom


@dataclass(frozen=True, slots=True)
class CodedConcept:
    """A code as DICOM writes it: Code Value, Coding Scheme Designator, Code Meaning (PS3.3 table 8.8-1)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class FrameHeaders:
    """What a header says of one frame; a classic image has exactly one. None is *absent in the header*.

    `image_position_patient` is in LPS millimetres, the centre of the first voxel; `image_orientation_patient` holds the row
    cosine and the column cosine; `pixel_spacing_mm` is (between rows, between columns), in this order, as DICOM has it.
    `dimensions` are the values that may tell several volumes of a series apart (see `DIMENSION_KEYWORDS`), as (keyword, text).
    """

    frame_number: int
    image_position_patient: tuple[float, float, float] | None
    image_orientation_patient: tuple[float, float, float, float, float, float] | None
    pixel_spacing_mm: tuple[float, float] | None
    slice_thickness_mm: float | None
    rescale_slope: float
    rescale_intercept: float
    image_type: tuple[str, ...]
    dimensions: tuple[tuple[str, str], ...]


# What may tell two volumes of one series apart, in the order in which it is tried (cases G4 and G5).
DIMENSION_KEYWORDS = (
    "TemporalPositionIndex", "TemporalPositionIdentifier", "DiffusionBValue", "EchoTime", "EffectiveEchoTime", "EchoNumbers",
    "InversionTime", "NominalPercentageOfCardiacPhase", "TriggerTime", "NominalCardiacTriggerDelayTime", "ScanOptions",
    "ContrastBolusAgent", "AcquisitionNumber", "StackID",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InstanceHeaders:
    """The header of one instance as values.

    `attributes` holds the values that conditions of model packages ask for, by PS3.6 keyword, as text (multi-valued ones as
    several texts), outermost level only. `data_set` is the encoded data set up to, not including, the pixel data, for the
    encoder, which copies identity from it; it holds patient data and is never logged or kept in the journal.
    """

    instance: InstanceRef
    frames: tuple[FrameHeaders, ...]
    rows: int
    columns: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    photometric_interpretation: str
    pixel_padding_value: int | None
    pixel_padding_range_limit: int | None
    frame_of_reference_uid: str | None
    series_instance_uid: str
    study_instance_uid: str
    patient_identity: str
    attributes: tuple[tuple[str, tuple[str, ...]], ...]
    data_set: bytes

    def attribute(self, keyword: str) -> tuple[str, ...]:
        """The values of an attribute, or an empty tuple where it is absent or empty."""
        return next((values for name, values in self.attributes if name == keyword), ())
