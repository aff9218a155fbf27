"""Data elements as bytes: what is copied from the images is written as it is, whatever its VR would demand of it."""

import struct
from collections.abc import Iterable, Mapping
from functools import cache

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicom_node.values import derive_uid

Elements = dict[int, tuple[str, bytes]]  # tag -> VR and value, in explicit VR little endian; the value of an SQ is its items
Values = Mapping[int, tuple[str, bytes | memoryview]]  # the same, to be written and not changed any more: a view saves a copy of Pixel Data

IMPLEMENTATION_CLASS_UID = derive_uid("dicom-node", "implementation class")
IMPLEMENTATION_VERSION_NAME = "DICOM-NODE"

# An element of a VR with a length of 16 bits cannot hold more (PS3.5 7.1.2).
LONGEST_SHORT_VALUE_BYTES = 65534
# Nor one of 32 bits more than this: the highest number says that the length is undefined.
LONGEST_VALUE_BYTES = 0xFFFFFFFE


def sequence_value(items: Iterable[Mapping[int, tuple[str, bytes]]]) -> bytes:
    """The value of an SQ: items of defined length.

    Source: PS3.5 7.5.1.
    """
    return b"".join([encode_item(encode_elements(item)) for item in items])


def encode_elements(elements: Mapping[int, tuple[str, bytes]]) -> bytes:
    """Data elements in the order of their tags."""
    return b"".join([encode_element(tag, *elements[tag]) for tag in sorted(elements)])


def encode_around(elements: Elements, first: int, last: int | None = None) -> tuple[bytes, bytes]:
    """What lies before and behind the elements from tag `first` to `last`: where many items differ in these alone, it is encoded once."""
    before = {tag: element for tag, element in elements.items() if tag < first}
    behind = {tag: element for tag, element in elements.items() if tag > (first if last is None else last)}
    return encode_elements(before), encode_elements(behind)


def encode_item(content: bytes) -> bytes:
    """An item of a sequence, from its elements."""
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


@cache
def tag_of(keyword: str) -> int:
    """The tag of a PS3.6 keyword."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


def element_bytes(element: DataElement, encoding: str) -> tuple[str, bytes]:
    """VR and value of an element of pydicom's; `encoding` is the Specific Character Set of its text."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_data_element(buffer, element, encoding)
    return str(element.VR), buffer.getvalue()[12 if element.VR in EXPLICIT_VR_LENGTH_32 else 8 :]


def read_elements(dataset: Dataset, encoding: str, without: str = "") -> Elements:
    """All elements of a data set of pydicom's, but one if that is named."""
    return {int(element.tag): element_bytes(element, encoding) for element in dataset if not without or element.keyword != without}


def write_file(dataset: Dataset, copied: Values, *, encoding: str) -> bytes:
    """A Part 10 file in explicit VR little endian of `dataset`, in which `copied` takes the place of its own elements.

    `encoding` is the Specific Character Set of the dataset's own text. The parts are joined once, so that a large Pixel Data is there
    no more than twice.
    """
    meta = DicomBytesIO()
    meta.is_little_endian, meta.is_implicit_VR = True, False
    write_file_meta_info(meta, _file_meta(dataset), enforce_standard=True)
    correct_ambiguous_vr(dataset, is_little_endian=True)
    parts: list[bytes | memoryview] = [b"\0" * 128 + b"DICM", meta.getvalue()]
    for tag in sorted({*dataset.keys(), *copied}):
        parts += _encode_parts(tag, *(copied[tag] if tag in copied else element_bytes(dataset[tag], encoding)))
    return b"".join(parts)


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta


def encode_element(tag: int, vr: str, value: bytes) -> bytes:
    """A data element in explicit VR little endian (PS3.5 7.1.2)."""
    return b"".join(_encode_parts(tag, vr, value))


def _encode_parts(tag: int, vr: str, value: bytes | memoryview) -> tuple[bytes, bytes | memoryview, bytes]:
    """Tag, VR and length; the value; its padding."""
    padding = b""
    if len(value) % 2:
        padding = b"\0" if vr == "UI" else b" "  # PS3.5 6.2: the padding of these two kinds; no other odd value is copied
    size_bytes = len(value) + len(padding)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("ascii")
    length = struct.pack("<HI", 0, size_bytes) if vr in EXPLICIT_VR_LENGTH_32 else struct.pack("<H", size_bytes)
    return head + length, value, padding
