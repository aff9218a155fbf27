"""Results with known masks on made series, as `infer` would give them."""

import dataclasses
import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node import encode, spool
from dicom_node.values import (
    Analysed,
    CodedConcept,
    CompletenessRule,
    DicomObject,
    Finding,
    Form,
    FrameRef,
    Geometry,
    Laterality,
    Mask,
    Measurement,
    PackageRef,
    Role,
    SeriesHeaders,
    derive_uid,
)
from tests.make import AXIAL, true_lps_from_index, write_dataset
from tests.make.series import ref_of_file

NODULE = CodedConcept("27925004", "SCT", "Nodule")
PACKAGE = PackageRef(
    name="ct-lung-nodule",
    version="1.2.3",
    digest="0123456789abcdef" * 4,
    device_uid=derive_uid("device", "ct-lung-nodule"),
    title="lung nodules",
    manufacturer="Somebody",
    product=False,
)
PROFILE = encode.Profile(ae_title="DICOM_NODE", node_version="0.1.0")
VOLUME = CodedConcept("118565006", "SCT", "Volume")
CUBIC_MM = CodedConcept("mm3", "UCUM", "cubic millimeter")


def read_headers(datasets: Sequence[Dataset], root: Path, raw: Mapping[str, bytes] | None = None) -> SeriesHeaders:
    """The headers of written instances, by the node's own reader. `raw`: bytes of elements that pydicom would not write."""
    root.mkdir(parents=True, exist_ok=True)
    refs = []
    for dataset in datasets:
        content = write_dataset(dataset)
        for keyword, value in (raw or {}).items():
            content = with_raw_value(content, keyword, value)
        refs.append(ref_of_file(content, root))
    headers = spool.read_headers(
        root,
        refs,
        str(datasets[0].SeriesInstanceUID),
        str(datasets[0].StudyInstanceUID),
        CompletenessRule.COUNT,
    )
    assert not headers.unreadable
    return headers


def geometry_of(
    datasets: Sequence[Dataset],
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    orientation: tuple[float, float, float, float, float, float] = AXIAL,
    centre_lps: tuple[float, float, float] = (0.0, 0.0, 0.0),
    frames: Sequence[FrameRef] | None = None,
) -> Geometry:
    """What is true of a series of `make_series`, from its arguments and not from its headers."""
    affine = true_lps_from_index(shape, spacing_mm, orientation, centre_lps)
    if frames is None and len(datasets) == 1:
        frames = [FrameRef(str(datasets[0].SOPInstanceUID), number + 1) for number in range(shape[0])]
    return Geometry(
        form=Form.CLASSIC if len(datasets) > 1 else Form.ENHANCED,
        frames=tuple(frames or [FrameRef(str(dataset.SOPInstanceUID), 1) for dataset in datasets]),
        shape=shape,
        spacing_mm=spacing_mm,
        slice_thickness_mm=spacing_mm[0],
        lps_from_index=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in affine),
        frame_of_reference_uid=str(datasets[0].FrameOfReferenceUID),
    )


def finding(number: int, origin: tuple[int, int, int], voxels: npt.NDArray[np.bool_], **changes: object) -> Finding:
    """A nodule in the left lung."""
    made = Finding(
        number=number,
        tracking_identifier=f"Nodule {number}",
        tracking_uid=derive_uid("tracking", str(number)),
        label=f"Nodule {number}",
        category=CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        type=NODULE,
        site=CodedConcept("39607008", "SCT", "Lung"),
        laterality=Laterality.LEFT,
        mask=Mask(origin, voxels),
        centre_lps=(0.0, 0.0, 0.0),
        measurements=(
            Measurement(VOLUME, 523.1, CUBIC_MM, 1),
            Measurement(CodedConcept("103339001", "SCT", "Long Axis"), 10.4, CodedConcept("mm", "UCUM", "millimeter"), 1),
            Measurement(
                CodedConcept("112031", "DCM", "Attenuation Coefficient"),
                -31.2,
                CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit"),
                1,
                derivation=CodedConcept("373098007", "SCT", "Mean"),
            ),
        ),
        score=0.81,
        colour_rgb=(255, 64, 64),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def result_of(headers: SeriesHeaders, geometry: Geometry, *findings: Finding, **changes: object) -> Analysed:
    """A result of PACKAGE."""
    made = Analysed(
        key="ab" * 32,
        study_instance_uid=headers.study_instance_uid,
        series_instance_uid=headers.series_instance_uid,
        package=PACKAGE,
        geometry=geometry,
        looked_for=(NODULE,),
        findings=findings,
        threshold=0.35,
        reservations=(),
        stages=(),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def opened(objects: Sequence[DicomObject], role: Role) -> Dataset:
    """The object in a role, read from its bytes."""
    (one,) = [one for one in objects if one.role is role]
    return pydicom.dcmread(io.BytesIO(one.content))


def content_of(objects: Sequence[DicomObject], role: Role) -> bytes:
    (one,) = [one for one in objects if one.role is role]
    return one.content


def walk(item: Dataset) -> list[Dataset]:
    """Every content item of a report."""
    return [found for child in item.get("ContentSequence", ()) for found in (child, *walk(child))]


def named(items: Sequence[Dataset], value: str) -> list[Dataset]:
    """The content items whose concept has this code value."""
    return [item for item in items if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeValue == value]


def raw_value(content: bytes, tag: int, start: int = 132) -> bytes:
    """The bytes of the outermost element with this tag in a Part 10 file in explicit VR little endian, read by hand.

    `start` 0: in an item of a sequence.
    """
    for found, _, first, end in _elements(content, start):
        if found == tag:
            return content[first:end]
    raise KeyError(hex(tag))


def raw_items(value: bytes) -> list[bytes]:
    """The items of a sequence of defined length, read by hand."""
    items, head = [], 0
    while head < len(value):
        group, element, length = struct.unpack_from("<HHI", value, head)
        assert (group, element) == (0xFFFE, 0xE000)
        assert length != 0xFFFFFFFF
        items.append(value[head + 8 : head + 8 + length])
        head += 8 + length
    return items


def with_raw_value(content: bytes, keyword: str, value: bytes) -> bytes:
    """The file with other bytes in an outermost element of a short VR, whatever pydicom would say of them."""
    for tag, head, _, end in _elements(content):
        if tag == int(Tag(keyword)):
            return content[: head + 6] + struct.pack("<H", len(value)) + value + content[end:]
        if tag > int(Tag(keyword)):
            name = struct.pack("<HH", int(Tag(keyword)) >> 16, int(Tag(keyword)) & 0xFFFF) + dictionary_VR(keyword).encode()
            return content[:head] + name + struct.pack("<H", len(value)) + value + content[head:]
    raise KeyError(keyword)


def _elements(content: bytes, head: int = 132) -> Iterator[tuple[int, int, int, int]]:
    """Tag, and where head, value and end of each outermost element lie."""
    while head < len(content):
        group, element = struct.unpack_from("<HH", content, head)
        if content[head + 4 : head + 6] in {b"OB", b"OW", b"SQ", b"UT", b"UN", b"UC", b"UR"}:
            (length,) = struct.unpack_from("<I", content, head + 8)
            start = head + 12
        else:
            (length,) = struct.unpack_from("<H", content, head + 6)
            start = head + 8
        assert length != 0xFFFFFFFF
        yield (group << 16) + element, head, start, start + length
        head = start + length
