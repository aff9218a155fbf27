"""Code Meanings in the language of the report; the codes stay what they are."""

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.texts import Language, render_meaning
from dicom_node.values import CodedConcept


def translate(dataset: Dataset, language: Language) -> None:
    """Give every code in a data set, in items too, its meaning in this language.

    The items are exchanged, not changed: highdicom puts one and the same code into many reports.
    """
    if language is Language.ENGLISH:
        return
    for sequence in list(_sequences(dataset)):
        for index, item in enumerate(sequence):
            if "CodeMeaning" in item and "CodeValue" in item:
                sequence[index] = _translated(item, language)


def _sequences(dataset: Dataset) -> Iterator[Sequence]:
    for element in dataset:
        if element.VR == "SQ" and element.value:
            yield element.value
            for item in element.value:
                yield from _sequences(item)


def _translated(item: Dataset, language: Language) -> Dataset:
    concept = CodedConcept(str(item.CodeValue), str(item.get("CodingSchemeDesignator", "")), str(item.CodeMeaning))
    made = Dataset()
    for element in item:
        if element.keyword != "CodeMeaning":
            made.add(element)
    made.CodeMeaning = render_meaning(concept, language)
    return made
