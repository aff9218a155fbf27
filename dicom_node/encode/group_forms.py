"""Measurement groups in bulk: highdicom makes one of each form, and all of that form are its bytes with other values in them.

highdicom walks and copies the whole tree several times, which takes seconds where there are hundreds of groups.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import DS

from dicom_node.values import Finding

from .changes import change_sentence, name_prior
from .elements import (
    encode_around,
    encode_element,
    encode_elements,
    encode_item,
    read_elements,
    sequence_value,
    tag_of,
)
from .groups import numbers_of
from .images import encode_reference, reference_of_slice
from .inputs import Inputs
from .outlines import Point, largest_region, largest_slice
from .words import Words


class _Varies(Enum):
    """What differs between two groups of one form."""

    TRACKING_IDENTIFIER = auto()
    TRACKING_UID = auto()
    NUMBER = auto()
    SEGMENT = auto()
    IMAGE = auto()
    REGION = auto()
    CHANGE = auto()


_CONCEPTS = {  # of the items that hold it (DCM)
    "112039": _Varies.TRACKING_IDENTIFIER,
    "112040": _Varies.TRACKING_UID,
    "121191": _Varies.SEGMENT,
    "121112": _Varies.IMAGE,
    "111030": _Varies.REGION,
    "121106": _Varies.CHANGE,  # Comment: the group of a finding has no other
}
_PLACES = {  # the element that differs
    _Varies.TRACKING_IDENTIFIER: "TextValue",
    _Varies.TRACKING_UID: "UID",
    _Varies.NUMBER: "MeasuredValueSequence",
    _Varies.SEGMENT: "ReferencedSOPSequence",
    _Varies.IMAGE: "ReferencedSOPSequence",
    _Varies.REGION: "ContentSequence",  # the image, on which Graphic Data follows
    _Varies.CHANGE: "TextValue",
}
_LAST_PLACES = {_Varies.REGION: "GraphicData"}  # where more than one differs
_INNER_PLACES = {  # where that is a sequence: from and to which element its item differs
    _Varies.NUMBER: ("FloatingPointValue", "NumericValue"),
    _Varies.SEGMENT: ("ReferencedSOPInstanceUID", "ReferencedSegmentNumber"),
    _Varies.REGION: ("ReferencedSOPSequence", "ReferencedSOPSequence"),
}


def form_of(finding: Finding) -> object:
    """Equal for findings whose groups differ by nothing but tracking, segment, image or region, numbers, and the words of the change."""
    measured = tuple((one.concept, one.unit, one.derivation, one.method) for one in finding.measurements)
    change = None if finding.change is None else finding.change.category
    return finding.category, finding.type, finding.site, finding.laterality, finding.score is None, measured, change


def find_examples(findings: Sequence[Finding]) -> list[Finding]:
    """The first finding of each form."""
    examples: dict[object, Finding] = {}
    for finding in findings:
        examples.setdefault(form_of(finding), finding)
    return list(examples.values())


def encode_groups(examples: Sequence[Dataset], inputs: Inputs, words: Words) -> list[bytes]:
    """The group of each finding, as an item of the content sequence that it stands in; `examples` are highdicom's of `find_examples`."""
    findings = inputs.result.findings
    forms = {form_of(finding): _Form.read(group, words) for finding, group in zip(find_examples(findings), examples, strict=True)}
    return [forms[form_of(finding)].fill(finding, inputs, words) for finding in findings]


@dataclass(frozen=True, slots=True)
class _Item:
    """A content item: what in it differs, and what lies around that; where nothing differs, the whole item is `before`."""

    varies: _Varies | None
    before: bytes
    behind: bytes
    inner_before: bytes = b""
    inner_behind: bytes = b""

    @classmethod
    def read(cls, item: Dataset, words: Words) -> "_Item":
        name, varies = item.ConceptNameCodeSequence[0], None
        if item.ValueType == "NUM":
            varies = _Varies.NUMBER
        elif name.CodingSchemeDesignator == "DCM":
            varies = _CONCEPTS.get(name.CodeValue)
        elements = read_elements(item, words.encoding)
        if varies is None:
            return cls(None, sequence_value([elements]), b"")
        around = encode_around(elements, tag_of(_PLACES[varies]), tag_of(_LAST_PLACES.get(varies, _PLACES[varies])))
        if varies not in _INNER_PLACES:
            return cls(varies, *around)
        inner = read_elements(item[_PLACES[varies]].value[0], words.encoding)
        return cls(varies, *around, *encode_around(inner, *map(tag_of, _INNER_PLACES[varies])))

    def fill(self, finding: Finding, numbers: Iterator[float], inputs: Inputs, words: Words) -> bytes:
        match self.varies:
            case None:
                return self.before
            case _Varies.TRACKING_IDENTIFIER:
                element = words.element("TextValue", finding.tracking_identifier)
            case _Varies.TRACKING_UID:
                element = ("UI", finding.tracking_uid.encode())
            case _Varies.CHANGE:
                assert finding.change is not None
                element = words.element(
                    "TextValue", change_sentence(finding.change, name_prior(inputs.result, inputs.language), inputs.language)
                )
            case _Varies.IMAGE:
                element = ("SQ", _encode_image(inputs, largest_slice(finding)))
            case _Varies.SEGMENT:
                element = ("SQ", self._inner(_encode_segment(*inputs.segment(finding))))
            case _Varies.NUMBER:
                element = ("SQ", self._inner(_encode_number(next(numbers))))
            case _Varies.REGION:
                index, line = largest_region(finding)
                image = self._inner(encode_element(tag_of("ReferencedSOPSequence"), "SQ", _encode_image(inputs, index)))
                points = encode_element(tag_of("GraphicData"), "FL", _encode_points(line))
                return encode_item(self.before + encode_element(tag_of("ContentSequence"), "SQ", image) + points + self.behind)
        return encode_item(self.before + encode_element(tag_of(_PLACES[self.varies]), *element) + self.behind)

    def _inner(self, content: bytes) -> bytes:
        return encode_item(self.inner_before + content + self.inner_behind)


@dataclass(frozen=True, slots=True)
class _Form:
    """A group: its content, and what lies around that."""

    before: bytes
    items: tuple[_Item, ...]
    behind: bytes

    @classmethod
    def read(cls, group: Dataset, words: Words) -> "_Form":
        content = tag_of("ContentSequence")
        before, behind = encode_around(read_elements(group, words.encoding, without="ContentSequence"), content)
        return cls(before, tuple(_Item.read(item, words) for item in group.ContentSequence), behind)

    def fill(self, finding: Finding, inputs: Inputs, words: Words) -> bytes:
        numbers = iter(numbers_of(finding, inputs.result))
        content = b"".join([item.fill(finding, numbers, inputs, words) for item in self.items])
        return encode_item(self.before + encode_element(tag_of("ContentSequence"), "SQ", content) + self.behind)


def _encode_number(value: float) -> bytes:
    """At most 16 characters, and the whole value beside them."""
    return encode_elements(
        {
            tag_of("FloatingPointValue"): ("FD", struct.pack("<d", value)),
            tag_of("NumericValue"): ("DS", str(DS(value, auto_format=True)).encode()),
        }
    )


def _encode_segment(sop_instance_uid: str, segment_number: int) -> bytes:
    """A segment of a segmentation, behind the SOP class of that."""
    return encode_elements(
        {
            tag_of("ReferencedSOPInstanceUID"): ("UI", sop_instance_uid.encode()),
            tag_of("ReferencedSegmentNumber"): ("US", struct.pack("<H", segment_number)),
        }
    )


def _encode_image(inputs: Inputs, index: int) -> bytes:
    """The image of a slice, as the value of Referenced SOP Sequence."""
    return sequence_value([encode_reference(reference_of_slice(inputs, index))])


def _encode_points(line: Sequence[Point]) -> bytes:
    """Graphic Data (0070,0022)."""
    return np.array(line, dtype="<f4").tobytes()
