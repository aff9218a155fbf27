"""Measurement groups in bulk: highdicom makes one of each form, and all of that form are its bytes with other values in them.

highdicom walks and copies the whole tree several times, which takes seconds where there are hundreds of groups.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from pydicom.dataset import Dataset
from pydicom.valuerep import DS

from dicom_node.values import Finding

from .elements import Elements, read_elements, sequence_value, tag_of
from .groups import found_group, numbers_of
from .inputs import Inputs
from .words import Words


class _Varies(Enum):
    """What differs between two groups of one form."""

    TRACKING_IDENTIFIER = auto()
    TRACKING_UID = auto()
    NUMBER = auto()
    SEGMENT = auto()


_CONCEPTS = {  # of the items that hold it (DCM)
    "112039": _Varies.TRACKING_IDENTIFIER,
    "112040": _Varies.TRACKING_UID,
    "121191": _Varies.SEGMENT,
}
_HOLDERS = {_Varies.NUMBER: "MeasuredValueSequence", _Varies.SEGMENT: "ReferencedSOPSequence"}  # the sequence that it stands in


def form_of(finding: Finding) -> object:
    """Equal for findings whose groups differ by nothing but their tracking, their segment and their numbers."""
    measured = tuple((one.concept, one.unit, one.derivation, one.method) for one in finding.measurements)
    return finding.category, finding.type, finding.site, finding.laterality, finding.score is None, measured


def find_examples(findings: Sequence[Finding]) -> list[Finding]:
    """The first finding of each form."""
    examples: dict[object, Finding] = {}
    for finding in findings:
        examples.setdefault(form_of(finding), finding)
    return list(examples.values())


def encode_groups(inputs: Inputs, words: Words) -> list[bytes]:
    """The group of each finding, as an item of the content sequence that it stands in."""
    findings = inputs.result.findings
    forms = {form_of(example): _Form.read(found_group(example, inputs)[0], words) for example in find_examples(findings)}
    return [forms[form_of(finding)].fill(finding, inputs, words) for finding in findings]


@dataclass(frozen=True, slots=True)
class _Item:
    """A content item: its elements, what in it differs, and, where that stands in a sequence, the elements of that sequence's item."""

    elements: Elements
    varies: _Varies | None
    inner: Elements
    encoded: bytes  # as it is in the example

    @classmethod
    def read(cls, item: Dataset, words: Words) -> "_Item":
        name, varies = item.ConceptNameCodeSequence[0], None
        if item.ValueType == "NUM":
            varies = _Varies.NUMBER
        elif name.CodingSchemeDesignator == "DCM":
            varies = _CONCEPTS.get(name.CodeValue)
        elements, inner = read_elements(item, words.encoding), Elements()
        if varies in _HOLDERS:
            inner = read_elements(item[_HOLDERS[varies]].value[0], words.encoding)
        return cls(elements, varies, inner, sequence_value([elements]))

    def fill(self, finding: Finding, numbers: Iterator[float], words: Words) -> bytes:
        match self.varies:
            case None:
                return self.encoded
            case _Varies.TRACKING_IDENTIFIER:
                changed: Elements = {tag_of("TextValue"): words.element("TextValue", finding.tracking_identifier)}
            case _Varies.TRACKING_UID:
                changed = {tag_of("UID"): ("UI", finding.tracking_uid.encode())}
            case _Varies.SEGMENT:
                number: Elements = {tag_of("ReferencedSegmentNumber"): ("US", struct.pack("<H", finding.number))}
                changed = {tag_of("ReferencedSOPSequence"): ("SQ", sequence_value([self.inner | number]))}
            case _Varies.NUMBER:
                changed = {tag_of("MeasuredValueSequence"): ("SQ", sequence_value([self.inner | _encode_number(next(numbers))]))}
        return sequence_value([self.elements | changed])


@dataclass(frozen=True, slots=True)
class _Form:
    """A group: its elements, and the items of its content."""

    elements: Elements
    items: tuple[_Item, ...]

    @classmethod
    def read(cls, group: Dataset, words: Words) -> "_Form":
        words.fit(group)
        return cls(read_elements(group, words.encoding), tuple(_Item.read(item, words) for item in group.ContentSequence))

    def fill(self, finding: Finding, inputs: Inputs, words: Words) -> bytes:
        numbers = iter(numbers_of(finding, inputs.result))
        content = b"".join(item.fill(finding, numbers, words) for item in self.items)
        return sequence_value([self.elements | {tag_of("ContentSequence"): ("SQ", content)}])


def _encode_number(value: float) -> Elements:
    """At most 16 characters, and the whole value beside them."""
    return {
        tag_of("NumericValue"): ("DS", str(DS(value, auto_format=True)).encode()),
        tag_of("FloatingPointValue"): ("FD", struct.pack("<d", value)),
    }
