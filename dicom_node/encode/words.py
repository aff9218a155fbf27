"""Text of our own in an object: in the object's character set."""

from dataclasses import dataclass

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from .characters import to_ascii
from .elements import tag_of

_TEXT = frozenset({"SH", "LO", "ST", "LT", "UC", "UT", "PN"})


@dataclass(frozen=True, slots=True)
class Words:
    """UTF-8 where the object declares it (`is_utf8`), else ASCII, which every character set of DICOM contains."""

    is_utf8: bool

    @property
    def encoding(self) -> str:
        return "ISO_IR 192" if self.is_utf8 else "ISO_IR 6"

    def element(self, keyword: str, text: str) -> tuple[str, bytes]:
        """VR and value of an element with this text."""
        return str(dictionary_VR(tag_of(keyword))), (text if self.is_utf8 else to_ascii(text)).encode()

    def fit(self, dataset: Dataset) -> None:
        """Give all text of a data set this form, in items too."""
        if self.is_utf8:
            return
        for element in dataset.iterall():
            if element.VR in _TEXT and isinstance(element.value, str) and not element.value.isascii():
                element.value = to_ascii(element.value)
