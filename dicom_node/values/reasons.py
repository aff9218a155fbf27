"""Why a series or a model gave no answer: expected outcomes of real images, as values.

Each class has two texts in each file of `texts/`, under its name in kebab case: for the administrator and for the radiologist.
Fields are numbers, attribute keywords, class and stage names: never a value of the patient.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Base of all reasons."""


# -- the header cannot be read, or is none of an image ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unreadable(Reason):
    """The data set breaks off or breaks the encoding rules before or at the attribute."""

    attribute: str  # keyword or (gggg,eeee) of the last attribute that was reached


@dataclass(frozen=True, slots=True)
class IllegalValue(Reason):
    """An attribute that the node needs holds what its VR does not allow."""

    attribute: str
    instance_number: int | None = None


@dataclass(frozen=True, slots=True)
class MissingAttribute(Reason):
    """An attribute that the node needs is absent or empty."""

    attribute: str


@dataclass(frozen=True, slots=True)
class NotAnImage(Reason):
    """The SOP class is none that a model can use: a report, a presentation state, a waveform, a plan."""

    sop_class: str  # its name in PS3.6


@dataclass(frozen=True, slots=True)
class MadeByAlgorithm(Reason):
    """The object is a result of this node or of other software; results are never input."""

    evidence: str  # keyword of the attribute that says so


@dataclass(frozen=True, slots=True)
class NoPixels(Reason):
    """The image has no pixel data."""


@dataclass(frozen=True, slots=True)
class PixelsTruncated(Reason):
    """The pixel data is shorter than rows, columns and frames ask for."""

    wanted_bytes: int
    found_bytes: int


@dataclass(frozen=True, slots=True)
class PixelsTooLarge(Reason):
    """The header announces more voxels than the node decodes."""

    wanted_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class CannotDecode(Reason):
    """The compressed pixel data is damaged, or no decoder of the node reads it."""

    transfer_syntax: str  # its name in PS3.6
    instance_number: int | None = None


@dataclass(frozen=True, slots=True)
class TransferSyntaxNotSupported(Reason):
    """No decoder of the node reads this transfer syntax."""

    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class ColourImage(Reason):
    """The images are in colour; models read grey values with a meaning."""


@dataclass(frozen=True, slots=True)
class PixelSignMismatch(Reason):
    """Codestream and header disagree on sign or depth in a way that leaves the values undecided."""

    instance_number: int | None = None


# -- the series is no volume ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Localizer(Reason):
    """The series is a localizer (scout)."""


@dataclass(frozen=True, slots=True)
class TooFew(Reason):
    """Fewer slices than a volume needs."""

    slices: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Mosaic(Reason):
    """Several slices lie as tiles in one image."""


@dataclass(frozen=True, slots=True)
class SliceGap(Reason):
    """Two neighbouring slices lie further apart than the spacing of their series, by a whole number of slices or by far."""

    after_mm: float  # position along the normal of the slice before the gap
    gap_mm: float  # along the normal, centre to centre
    spacing_mm: float


@dataclass(frozen=True, slots=True)
class UnevenSpacing(Reason):
    """The distance between slices changes within the series."""

    smallest_mm: float
    largest_mm: float


@dataclass(frozen=True, slots=True)
class DuplicatePosition(Reason):
    """Two slices with different pixels lie at the same place, and no attribute tells two volumes apart."""

    position_mm: float  # along the normal
    count: int


@dataclass(frozen=True, slots=True)
class IncompleteVolume(Reason):
    """The series holds several volumes, and this one has fewer slices than the others."""

    attribute: str
    slices: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Tilted(Reason):
    """The slices move sideways along the stack: the gantry was tilted."""

    angle_deg: float


@dataclass(frozen=True, slots=True)
class MixedOrientation(Reason):
    """The series holds slices of several orientations."""

    orientations: int


@dataclass(frozen=True, slots=True)
class MixedGrid(Reason):
    """Rows, columns, pixel spacing or pixel type differ within the series."""

    attribute: str


@dataclass(frozen=True, slots=True)
class MixedFrameOfReference(Reason):
    """The series holds several frames of reference: positions cannot be compared."""

    count: int


@dataclass(frozen=True, slots=True)
class MixedPatient(Reason):
    """Patient ID, issuer, name or study differ within the series."""

    attribute: str


# -- a person has withdrawn the result: the names are what `dicom-node jobs withdraw --reason` takes ----------------------


@dataclass(frozen=True, slots=True)
class Withdrawal(Reason):
    """Base of the reasons for which a person withdraws a result."""


@dataclass(frozen=True, slots=True)
class WrongPatient(Withdrawal):
    """The images, or the result, stand in the folder of another patient than the one who was examined."""


@dataclass(frozen=True, slots=True)
class WrongImages(Withdrawal):
    """The result was made from images that should not have been analysed: another examination, a bad series, a test."""


@dataclass(frozen=True, slots=True)
class ResultWrong(Withdrawal):
    """What the result says is wrong."""


@dataclass(frozen=True, slots=True)
class NotForCare(Withdrawal):
    """The result was not meant for those who treat the patient, such as one of research that went to the clinical archive."""


WITHDRAWALS = (WrongPatient, WrongImages, ResultWrong, NotForCare)


# -- the model does not answer ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotSuitable(Reason):
    """No series of the study is what the package was made for; of the one that comes nearest, a condition that it does not meet."""

    subject: str  # keyword of the attribute, or the geometry's number
    wanted: str  # as the package says it
    found: str  # a technical value


@dataclass(frozen=True, slots=True)
class OutsideLimits(Reason):
    """A quantity that a stage of the package checks lies outside its declared limits, such as the volume of the lungs."""

    stage: str
    quantity: str
    value: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class NotANumber(Reason):
    """The network gave NaN or infinity: a failure, not a negative."""

    stage: str


@dataclass(frozen=True, slots=True)
class ModelFailed(Reason):
    """The inference process crashed, ran out of memory, or raised, as often as it may be tried."""

    tries: int


@dataclass(frozen=True, slots=True)
class ModelTooSlow(Reason):
    """The inference process did not answer within the time limit of the package."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class ExampleNotMet(Reason):
    """Run on the package's own example, the package did not find what it must find there."""

    wanted: int  # findings that must be there
    met: int  # of them, those that were there as declared
    found: int  # all findings
    at_most: int


@dataclass(frozen=True, slots=True)
class OutOfService(Reason):
    """The package would take the images, but it did not pass its own example when the node started."""

    cause: str  # class of the reason or error


@dataclass(frozen=True, slots=True)
class ResultMismatch(Reason):
    """The encoded segmentation, read back, did not lie on the mask that the model gave; nothing was sent."""

    voxels: int


@dataclass(frozen=True, slots=True)
class ReportMismatch(Reason):
    """The encoded report, read back, did not say what the result says; nothing was sent."""

    differences: int


@dataclass(frozen=True, slots=True)
class NotEncodable(Reason):
    """No DICOM object could be made from the model's answer; nothing was sent."""

    step: str  # which object, in the encoder's words, without values
