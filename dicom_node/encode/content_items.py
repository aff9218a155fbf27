"""Content items that highdicom has no class for, or would take too long to copy: as plain data sets.

Source: PS3.3 C.17.3.
"""

from collections.abc import Sequence

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import DS


def content_item(relationship: str, value_type: str, name: Code | None, content: Sequence[Dataset] = (), **attributes: object) -> Dataset:
    """An item with this value and what is below it. `relationship` is that to the item above."""
    made = Dataset()
    made.RelationshipType, made.ValueType = relationship, value_type
    if name is not None:
        made.ConceptNameCodeSequence = [CodedConcept.from_code(name)]
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    if content:
        made.ContentSequence = list(content)
    return made


def container(relationship: str, name: Code, content: Sequence[Dataset]) -> Dataset:
    return content_item(relationship, "CONTAINER", name, content, ContinuityOfContent="SEPARATE")


def code_item(relationship: str, name: Code, value: Code, content: Sequence[Dataset] = ()) -> Dataset:
    return content_item(relationship, "CODE", name, content, ConceptCodeSequence=[CodedConcept.from_code(value)])


def text_item(relationship: str, name: Code, text: str) -> Dataset:
    return content_item(relationship, "TEXT", name, TextValue=text)


def date_item(relationship: str, name: Code, date: str) -> Dataset:
    return content_item(relationship, "DATE", name, Date=date)


def time_item(relationship: str, name: Code, time: str) -> Dataset:
    return content_item(relationship, "TIME", name, Time=time)


def number_item(relationship: str, name: Code, value: float, unit: Code) -> Dataset:
    """A NUM: at most 16 characters, and the whole value beside them."""
    measured = Dataset()
    measured.NumericValue, measured.FloatingPointValue = DS(value, auto_format=True), float(value)
    measured.MeasurementUnitsCodeSequence = [CodedConcept.from_code(unit)]
    return content_item(relationship, "NUM", name, MeasuredValueSequence=[measured])


def points_item(relationship: str, name: Code, graphic_type: str, points: Sequence[tuple[float, float]], source: Dataset) -> Dataset:
    """An SCOORD of (column, row) in the image that `source` is or refers to; the upper left corner of its first pixel is (0, 0)."""
    numbers = [number for point in points for number in point]
    return content_item(relationship, "SCOORD", name, [source], GraphicType=graphic_type, GraphicData=numbers)


def reference_to(relationship: str, place: Sequence[int]) -> Dataset:
    """A reference to another item of the tree; `place` counts from the root, which is 1, down (PS3.3 C.17.3.2.5)."""
    made = Dataset()
    made.RelationshipType, made.ReferencedContentItemIdentifier = relationship, list(place)
    return made
