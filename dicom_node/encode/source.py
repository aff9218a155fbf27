"""What an object has from the images that it was made from: identity, order, times, and nothing that is not listed here."""

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from dicom_node.errors import EncodingError
from dicom_node.values import CodedConcept, InstanceHeaders

from .characters import decode
from .elements import LONGEST_SHORT_VALUE_BYTES, Elements, sequence_value, tag_of
from .identity import ACQUISITION_DATE_TIME, DATE_TIMES, Moment, find_latest_moment

# Patient, Patient Study, Clinical Trial, General Study (PS3.3 C.7.1, C.7.2): whose images they are. Copied into every object.
IDENTITY = (
    "TimezoneOffsetFromUTC",
    "PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate", "PatientBirthTime", "PatientSex", "OtherPatientIDsSequence", "OtherPatientNames", "PatientComments",
    "PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence",
    "BreedRegistrationSequence", "ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization", "QualityControlSubject",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
    "PatientAge", "PatientSize", "PatientWeight", "AdmissionID", "IssuerOfAdmissionIDSequence",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
    "ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID",
    "StudyDate", "StudyTime", "AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName",
    "StudyDescription", "ProcedureCodeSequence", "ReferencedStudySequence", "StudyID",
)  # fmt: skip

# General Series and Frame of Reference: what an image that lies on the source's grid shares with it.
IMAGE_SERIES = ("BodyPartExamined", "Laterality", "PositionReferenceIndicator", "RequestAttributesSequence")

# The scanner, as an item of Contributing Equipment Sequence.
EQUIPMENT = (
    "Manufacturer", "InstitutionName", "InstitutionalDepartmentName", "StationName", "ManufacturerModelName",
    "DeviceSerialNumber", "SoftwareVersions",
)  # fmt: skip

# Referenced Request Sequence of a report (PS3.3 table C.17-3c): from an item of Request Attributes, type 2 unless said otherwise.
REQUEST = (
    "AccessionNumber", "ReferencedStudySequence", "PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID", "RequestedProcedureDescription", "RequestedProcedureCodeSequence",
)  # fmt: skip
REQUEST_OPTIONAL = ("IssuerOfAccessionNumberSequence", "ReasonForTheRequestedProcedure", "ReasonForRequestedProcedureCodeSequence")

WINDOW = ("WindowCenter", "WindowWidth", "VOILUTFunction")
LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")

_CHARACTER_SET = 0x00080005
_TEXT = frozenset({"SH", "LO", "ST", "LT", "UC", "UT", "PN"})
_PLAIN = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
_LEGAL_SEX = frozenset({b"M", b"F", b"O"})
_DEEPEST_SEQUENCE = 5
_TIMES = (*(keyword for pair in DATE_TIMES for keyword in pair), ACQUISITION_DATE_TIME)


@dataclass(frozen=True, slots=True)
class Source:
    """The part of the images' headers that goes into objects, as encoded elements.

    `identity` goes everywhere, `image` into a segmentation, `request` (Referenced Request Sequence, or nothing) into a report,
    `equipment` is an item of Contributing Equipment, empty where the images name no manufacturer. `is_recoded`: text was decoded
    and is UTF-8 here; else bytes and Specific Character Set are those of the images, and text of our own must be ASCII.
    `series_description` is empty where it is absent or cannot be decoded.
    """

    identity: Elements
    image: Elements
    request: Elements
    equipment: Elements
    moment: Moment
    modality: str
    series_number: int | None
    series_description: str
    procedure: CodedConcept | None
    is_recoded: bool

    def series(self, *keywords: str) -> Elements:
        """Of `image` these attributes, where the images have them: for objects that do not lie on the images' grid."""
        return {tag: self.image[tag] for tag in map(tag_of, keywords) if tag in self.image}


def read_source(instances: Sequence[InstanceHeaders]) -> Source:
    """What is copied from these images, in slice order: identity from the first, times and lossy compression from all.

    Their identity is the same: `assemble` refuses a series of two patients. Raises EncodingError where the first cannot be read.
    """
    first = open_header(instances[0])
    if "StudyInstanceUID" not in first:
        raise EncodingError("source header")
    own_terms = _terms(first, ())
    try:
        copier = _Copier(is_recoded=True)
        return _read(first, instances, copier, own_terms)
    except _UndecodableText:
        return _read(first, instances, _Copier(is_recoded=False), own_terms)


def read_window(instance: InstanceHeaders) -> Elements:
    """How an image wants to be shown: Window Center and Width as they are in its header, of several frames those that all share.

    Empty where one of the two is absent.
    """
    places = [open_header(instance)]
    if len(instance.frames) > 1:
        shared = items_of(places[0], tag_of("SharedFunctionalGroupsSequence"))
        places += [one for group in shared for one in items_of(group, tag_of("FrameVOILUTSequence"))]
    for place in places:
        window = _Copier(is_recoded=False).elements(place, WINDOW, ())
        if {tag_of("WindowCenter"), tag_of("WindowWidth")} <= window.keys() and all(value.strip() for _, value in window.values()):
            return window
    return {}


class _UndecodableText(Exception):
    """Some text of the header does not say for certain what it is: all of it is copied as bytes."""


@dataclass(frozen=True, slots=True)
class _Copier:
    """Takes elements out of a data set. Only text VRs depend on the character set; all others are copied byte for byte."""

    is_recoded: bool

    def elements(self, dataset: Dataset, keywords: Iterable[str], terms: tuple[str, ...]) -> Elements:
        """The listed elements that the data set has."""
        found = ((tag, self._element(dataset, tag, terms, 0)) for tag in map(tag_of, keywords))
        return {tag: element for tag, element in found if element is not None}

    def items(self, dataset: Dataset, keyword: str) -> list[Dataset]:
        """The items of a sequence, none where it is absent or is no sequence."""
        return items_of(dataset, tag_of(keyword))

    def _element(self, dataset: Dataset, tag: int, terms: tuple[str, ...], depth: int) -> tuple[str, bytes] | None:
        vr = str(dictionary_VR(tag))
        if tag not in dataset:
            return None
        if vr == "SQ":
            copied = [self._item(item, terms, depth + 1) for item in items_of(dataset, tag)]
            kept = [item for item in copied if item]  # an empty item says nothing, and is an error in most sequences
            return ("SQ", sequence_value(kept)) if kept else None
        if vr not in _TEXT | _PLAIN:
            return None
        value = _bytes(dataset, tag)
        if vr in _TEXT and self.is_recoded:
            text = decode(value, terms)
            if text is None:
                raise _UndecodableText
            value = text.encode()
        return None if len(value) > LONGEST_SHORT_VALUE_BYTES else (vr, value)

    def _item(self, item: Dataset, terms: tuple[str, ...], depth: int) -> Elements:
        """Every public element of an item; private ones mean something to their maker alone, and only in his own object."""
        if depth > _DEEPEST_SEQUENCE:
            return {}
        terms = _terms(item, terms)
        found: Elements = {}
        for tag in list(item.keys()):
            is_declaration = int(tag) == _CHARACTER_SET and self.is_recoded
            if is_declaration or not dictionary_has_tag(tag):  # the dictionary has no private elements and no group lengths
                continue
            element = self._element(item, int(tag), terms, depth)
            if element is not None:
                found[int(tag)] = element
        return found


def _read(first: Dataset, instances: Sequence[InstanceHeaders], copier: _Copier, terms: tuple[str, ...]) -> Source:
    others = [dict(instance.attributes) for instance in instances]
    identity = copier.elements(first, IDENTITY, terms)
    if copier.is_recoded:
        identity[_CHARACTER_SET] = ("CS", b"ISO_IR 192")
    elif _CHARACTER_SET in first:
        identity[_CHARACTER_SET] = ("CS", _bytes(first, _CHARACTER_SET))
    sex = tag_of("PatientSex")
    if identity.get(sex, ("CS", b""))[1].strip(b" \0") not in _LEGAL_SEX:
        identity[sex] = ("CS", b"")  # type 2: empty says unknown; `U` or `Male` would be refused by readers that check
    equipment = copier.elements(first, EQUIPMENT, terms)
    lossy = next(
        (open_header(one) for one, other in zip(instances, others, strict=True) if other.get("LossyImageCompression") == ("01",)), None
    )
    series_number = plain_of(first, "SeriesNumber")
    return Source(
        identity=identity,
        image=_laterality(others)
        | copier.elements(first, IMAGE_SERIES, terms)
        | (copier.elements(lossy, LOSSY, terms) if lossy is not None else {}),
        request=_requests(first, copier, terms, identity),
        equipment=equipment if equipment.get(tag_of("Manufacturer"), ("LO", b""))[1].strip() else {},
        moment=find_latest_moment({keyword: "\\".join(other.get(keyword, ())) for keyword in _TIMES} for other in others),
        modality=plain_of(first, "Modality"),
        series_number=int(series_number) if series_number.isdecimal() else None,
        series_description=" ".join((decode(_bytes(first, tag_of("SeriesDescription")), terms) or "").strip(" \0").split()),
        procedure=_procedure(first, terms),
        is_recoded=copier.is_recoded,
    )


def _laterality(instances: Sequence[Mapping[str, tuple[str, ...]]]) -> Elements:
    """Laterality of the series, where its images have Image Laterality in its place; empty where they are not all of one side.

    Source: PS3.3 C.7.3.1: one of the two must be there where the body part is paired.
    """
    sides = {side for instance in instances for side in instance.get("ImageLaterality", ())}
    side = next(iter(sides)) if len(sides) == 1 and sides <= {"R", "L"} else ""
    return {tag_of("Laterality"): ("CS", side.encode())} if sides else {}


def _requests(first: Dataset, copier: _Copier, terms: tuple[str, ...], identity: Elements) -> Elements:
    """Referenced Request Sequence. Its Study Instance UID is the images' own, also where the request names another study."""
    requests = []
    for item in copier.items(first, "RequestAttributesSequence"):
        item_terms = _terms(item, terms)
        found = copier.elements(item, REQUEST + REQUEST_OPTIONAL, item_terms)
        if not found:
            continue
        accession = tag_of("AccessionNumber")
        if accession not in found and accession in identity:
            found[accession] = identity[accession]
        for keyword in REQUEST:
            found.setdefault(tag_of(keyword), (str(dictionary_VR(tag_of(keyword))), b""))
        found[tag_of("StudyInstanceUID")] = ("UI", _bytes(first, tag_of("StudyInstanceUID")))
        requests.append(found)
    return {tag_of("ReferencedRequestSequence"): ("SQ", sequence_value(requests))} if requests else {}


def _procedure(first: Dataset, terms: tuple[str, ...]) -> CodedConcept | None:
    """The imaging procedure by the images' own code, where it is whole and short enough for a code of a report."""
    for item in items_of(first, tag_of("ProcedureCodeSequence")):
        parts = [decode(_bytes(item, tag_of(keyword)), terms) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")]
        value, scheme, meaning = ((part or "").strip(" \0") for part in parts)
        if value and scheme and meaning and len(value) <= 16 and len(scheme) <= 16 and len(meaning) <= 64:
            return CodedConcept(value, scheme, meaning)
    return None


def open_header(instance: InstanceHeaders) -> Dataset:
    """The header as pydicom reads it, its values still raw."""
    syntax = UID(instance.instance.transfer_syntax_uid)
    is_known = syntax.is_transfer_syntax and not syntax.is_private
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values are copied as they are; a warning would carry them to the log
        try:
            return read_dataset(
                io.BytesIO(instance.data_set),
                is_implicit_VR=is_known and syntax.is_implicit_VR,
                is_little_endian=not is_known or syntax.is_little_endian,
            )
        except (ValueError, EOFError, KeyError, NotImplementedError, OSError) as cause:
            raise EncodingError("source header") from cause


def _terms(dataset: Dataset, inherited: tuple[str, ...]) -> tuple[str, ...]:
    if _CHARACTER_SET not in dataset:
        return inherited
    return tuple(term.strip(" \0") for term in _bytes(dataset, _CHARACTER_SET).decode("ascii", "replace").split("\\"))


def items_of(dataset: Dataset, tag: int) -> list[Dataset]:
    if tag not in dataset:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            element = dataset[tag]
        except (ValueError, EOFError, KeyError, NotImplementedError):
            return []
    return list(element.value) if element.VR == "SQ" and element.value else []


def _bytes(dataset: Dataset, tag: int) -> bytes:
    """The value as it came; empty where it is absent, or where pydicom has already made something else of it."""
    if tag not in dataset:
        return b""
    value = dataset.get_item(tag).value
    return value if isinstance(value, bytes) else b""


def plain_of(dataset: Dataset, keyword: str) -> str:
    return _bytes(dataset, tag_of(keyword)).decode("ascii", "replace").strip(" \0")
