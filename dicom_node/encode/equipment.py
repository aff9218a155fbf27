"""Who made an object: the scanner, this node, and the model, as items of Contributing Equipment Sequence (0018,A001)."""

from dicom_node.values import CodedConcept, PackageRef

from .elements import Elements, sequence_value, tag_of
from .profile import Profile
from .source import Source
from .words import Words

_ACQUISITION = CodedConcept("109101", "DCM", "Acquisition Equipment")
_PROCESSING = CodedConcept("109102", "DCM", "Processing Equipment")
# IHE AIR revision 1.1, 6.5.3.1, gives this placeholder; the code that replaced it was not found. MONAI Deploy writes the same.
PROCESSING_ALGORITHM = CodedConcept("Newcode1", "99IHE", "Processing Algorithm")


def contributing_equipment(source: Source, package: PackageRef | None, profile: Profile, words: Words) -> Elements:
    """The sequence, without any time of contribution: that would be the clock's. No package: no model took part."""
    items = [
        _item(
            _PROCESSING,
            words,
            Manufacturer=profile.manufacturer,
            StationName=profile.station,
            ManufacturerModelName=profile.model_name,
            SoftwareVersions=profile.node_version,
        ),
    ]
    if package is not None:
        items.append(
            _item(
                PROCESSING_ALGORITHM,
                words,
                Manufacturer=package.manufacturer,
                ManufacturerModelName=package.name,
                SoftwareVersions=package.version,
                DeviceUID=package.device_uid,
            )
        )
    if source.equipment:
        purpose = _purpose(_ACQUISITION, words)
        items.insert(0, source.equipment | purpose)
    return {tag_of("ContributingEquipmentSequence"): ("SQ", sequence_value(items))}


def _item(purpose: CodedConcept, words: Words, **texts: str) -> Elements:
    return {tag_of(keyword): words.element(keyword, text) for keyword, text in texts.items()} | _purpose(purpose, words)


def _purpose(purpose: CodedConcept, words: Words) -> Elements:
    code = {
        tag_of("CodeValue"): words.element("CodeValue", purpose.value),
        tag_of("CodingSchemeDesignator"): words.element("CodingSchemeDesignator", purpose.scheme),
        tag_of("CodeMeaning"): words.element("CodeMeaning", purpose.meaning),
    }
    return {tag_of("PurposeOfReferenceCodeSequence"): ("SQ", sequence_value([code]))}
