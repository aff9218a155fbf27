"""Headers as values: what is unambiguous is read, what is not is a reason that names the attribute; nothing is raised, nothing warns."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from dicom_node.errors import SpoolFailed
from dicom_node.spool import Spool, read_headers
from dicom_node.values import AETitle, CompletenessRule, InstanceHeaders, InstanceRef, Reason
from dicom_node.values.reasons import (
    IllegalValue,
    MadeByAlgorithm,
    MissingAttribute,
    NoPixels,
    NotAnImage,
    TransferSyntaxNotSupported,
    Unreadable,
)
from tests.receive.receiving import encode_element, make_data_set

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
Written = tuple[int, int, bytes, bytes]  # group, element, VR, value
IMPLICIT, EXPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def read(folder: Path, data_set: bytes, *, syntax: str = EXPLICIT, sop_class: str = CT_IMAGE) -> InstanceHeaders | Reason:
    spool = Spool(folder)
    instance = spool.put(
        data_set,
        sop_class_uid=sop_class,
        sop_instance_uid="2.25.7",
        transfer_syntax_uid=syntax,
        calling=AETitle("A"),
        called=AETitle("B"),
        source="",
    )
    headers = read_headers(folder, [instance], "2.25.3", "2.25.2", CompletenessRule.COUNT)
    return headers.instances[0] if headers.instances else headers.unreadable[0][1]


def read_with(folder: Path, *more: tuple[int, int, bytes, bytes]) -> InstanceHeaders | Reason:
    return read(folder, make_data_set(more=more))


def sequence(*items: bytes, is_open: bool = False) -> bytes:
    """Items of explicit little endian elements, of defined or undefined length."""
    if is_open:
        return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + item + struct.pack("<HHI", 0xFFFE, 0xE00D, 0) for item in items)
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)


def test_a_classic_image_is_one_frame(tmp_path: Path) -> None:
    headers = read(tmp_path, make_data_set())
    assert isinstance(headers, InstanceHeaders)
    (frame,) = headers.frames
    assert (headers.rows, headers.columns, headers.bits_allocated, headers.bits_stored, headers.pixel_representation) == (4, 4, 16, 12, 1)
    assert frame.image_position_patient == (-1.0, 2.0, 3.5)
    assert frame.image_orientation_patient == (1, 0, 0, 0, 1, 0)
    assert frame.pixel_spacing_mm == (0.7, 0.8)
    assert (frame.rescale_slope, frame.rescale_intercept) == (1.0, 0.0)
    assert frame.slice_thickness_mm is None
    assert (headers.series_instance_uid, headers.study_instance_uid) == ("2.25.3", "2.25.2")
    assert headers.data_set == make_data_set()[: make_data_set().index(b"\xe0\x7f\x10\x00")]


# -- case P4 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (b".002006091181818", 0.002006091181818),
        (b"-9.81338674e-006", -9.81338674e-006),
        (b"1.5\0", 1.5),
        (b" 1.5 \0\0", 1.5),
        (b"+2.", 2.0),
        (b"1E2", 100.0),
        (b"0.12345678901234567890", 0.12345678901234568),  # longer than DS allows, and clear all the same
    ],
)
def test_a_decimal_that_is_unambiguous_is_read(tmp_path: Path, written: bytes, value: float) -> None:
    headers = read_with(tmp_path, (0x0020, 0x0032, b"DS", b"1\\2\\" + written))
    assert isinstance(headers, InstanceHeaders)
    assert headers.frames[0].image_position_patient == (1, 2, value)


@pytest.mark.parametrize("written", [b"1,5", b"abc", b"1.5 mm", b"nan", b"inf", b"1e999", b"1_0", b"0x10", b"--1", b".", b"\xb2"])
def test_a_decimal_that_is_not_is_refused_by_name(tmp_path: Path, written: bytes) -> None:
    assert read_with(tmp_path, (0x0020, 0x0032, b"DS", b"1\\2\\" + written)) == IllegalValue("ImagePositionPatient", instance_number=4)


@pytest.mark.parametrize(
    ("attribute", "element"),
    [
        ("ImagePositionPatient", (0x0020, 0x0032, b"DS", b"1\\2")),
        ("ImagePositionPatient", (0x0020, 0x0032, b"DS", b"1\\\\3")),
        ("ImageOrientationPatient", (0x0020, 0x0037, b"DS", b"1\\0\\0\\0\\1")),
        ("PixelSpacing", (0x0028, 0x0030, b"DS", b"0,7\\0,7")),
        ("PixelSpacing", (0x0028, 0x0030, b"DS", b"0\\0.7")),
        ("RescaleSlope", (0x0028, 0x1053, b"DS", b"0")),
        ("RescaleIntercept", (0x0028, 0x1052, b"DS", b"minus")),
        ("NumberOfFrames", (0x0028, 0x0008, b"IS", b"1A")),
        ("NumberOfFrames", (0x0028, 0x0008, b"IS", b"2000000000")),
        ("NumberOfFrames", (0x0028, 0x0008, b"IS", b"0")),
        ("Rows", (0x0028, 0x0010, b"US", b"\0\x80\0\x80")),  # two values
        ("Rows", (0x0028, 0x0010, b"US", b"\0\0")),
        ("Columns", (0x0028, 0x0011, b"US", b"\0\0\1")),
        ("BitsStored", (0x0028, 0x0101, b"US", b"\x20\0")),
        ("PixelRepresentation", (0x0028, 0x0103, b"US", b"\2\0")),
        ("PixelPaddingValue", (0x0028, 0x0120, b"SS", b"\0" * 1442)),
    ],
)
def test_an_illegal_value_of_what_is_needed_names_the_attribute(
    tmp_path: Path, attribute: str, element: tuple[int, int, bytes, bytes]
) -> None:
    assert read_with(tmp_path, element) == IllegalValue(attribute, instance_number=4)


@pytest.mark.parametrize(
    "element",
    [
        (0x0020, 0x0013, b"IS", b"3000000000"),
        (0x0020, 0x0013, b"IS", b"1.0"),
        (0x0020, 0x0013, b"IS", b"one"),
        (0x0020, 0x0011, b"IS", b"1,5"),
        (0x0018, 0x0050, b"DS", b"5 mm"),
        (0x0010, 0x0030, b"DA", b"1990/01/"),
        (0x0008, 0x0005, b"CS", b"ISO-IR 100"),
        (0x0008, 0x0005, b"CS", b"NO SUCH SET"),
        (0x0008, 0x0005, b"CS", b""),
        (0x0008, 0x103E, b"LO", b"\x1b$B\xff\xfe"),
        (0x0008, 0x0016, b"UN", CT_IMAGE.encode()),
        (0x0029, 0x0010, b"UN", b"no creator"),
    ],
)
def test_what_is_not_needed_costs_nothing(tmp_path: Path, element: tuple[int, int, bytes, bytes]) -> None:
    headers = read_with(tmp_path, element)
    assert isinstance(headers, InstanceHeaders)
    assert headers.frames[0].slice_thickness_mm is None


def test_the_instance_number_in_a_reason_is_read_as_written(tmp_path: Path) -> None:
    more = ((0x0020, 0x0013, b"IS", b"3000000000"), (0x0028, 0x0030, b"DS", b"x\\y"))
    assert read_with(tmp_path, *more) == IllegalValue("PixelSpacing", instance_number=3_000_000_000)


# -- encodings ---------------------------------------------------------------------------------------------------------


def recode(data_set: bytes, syntax: str) -> bytes:
    """An explicit little endian data set without sequences in another syntax; numbers are US here, pixels OW."""
    out, at = b"", 0
    while at < len(data_set):
        group, number, vr = struct.unpack_from("<HH2s", data_set, at)
        is_long = vr in (b"OW", b"UN")
        (length,) = struct.unpack_from("<I" if is_long else "<H", data_set, at + (8 if is_long else 6))
        at += 12 if is_long else 8
        value = data_set[at : at + length]
        at += length
        if syntax == IMPLICIT:
            out += struct.pack("<HHI", group, number, length) + value
        else:
            if vr in (b"US", b"OW"):
                value = b"".join(value[start : start + 2][::-1] for start in range(0, length, 2))
            out += struct.pack(">HH2s", group, number, vr) + struct.pack(">2xI" if is_long else ">H", length) + value
    return out


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG, DEFLATED])
def test_every_encoding_gives_the_same_values(tmp_path: Path, syntax: str) -> None:
    plain = make_data_set()
    if syntax == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        encoded = deflater.compress(plain) + deflater.flush()
    else:
        encoded = recode(plain, syntax)
    explicit, other = read(tmp_path / "1", plain), read(tmp_path / "2", encoded, syntax=syntax)
    assert isinstance(explicit, InstanceHeaders)
    assert isinstance(other, InstanceHeaders)
    assert other.frames == explicit.frames
    assert other.attributes == explicit.attributes
    assert other.patient_identity == explicit.patient_identity
    assert (other.rows, other.columns, other.bits_stored) == (4, 4, 12)
    if syntax == DEFLATED:
        assert other.data_set == explicit.data_set  # inflated


def test_a_deflate_bomb_is_inflated_no_further_than_the_header_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dicom_node.spool import identity

    monkeypatch.setattr(identity, "HEADER_LIMIT_BYTES", 1 << 22)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = make_data_set()[: make_data_set().index(b"\x28\0\2\0")] + encode_element(0x0021, 0x0010, b"UN", b"")[:-4]
    bomb = deflater.compress(head + struct.pack("<I", 1 << 30)) + deflater.compress(b"\0" * (1 << 26)) + deflater.flush()
    assert read(tmp_path, bomb, syntax=DEFLATED) == Unreadable("(0021,0010)")
    assert [len(data) for data, _ in identity.prefixes(io.BytesIO(bomb), 0, len(bomb), DEFLATED)] == [1 << 17, 1 << 20, 1 << 22]


def test_pixels_are_found_behind_megabytes_of_private_data(tmp_path: Path) -> None:
    headers = read_with(tmp_path, (0x0029, 0x1010, b"OB", bytes(range(256)) * 20_000))
    assert isinstance(headers, InstanceHeaders)
    assert headers.data_set.endswith(encode_element(0x0029, 0x1010, b"OB", bytes(range(256)) * 20_000)[-1000:])


@pytest.mark.parametrize("is_open", [False, True])
def test_a_private_sequence_written_as_un_is_passed_over(tmp_path: Path, is_open: bool) -> None:
    inner = struct.pack("<HHI", 0x0029, 0x1001, 4) + b"abcd"  # implicit, as UN demands
    items = sequence(inner, is_open=is_open)
    length = struct.pack("<I", 0xFFFFFFFF if is_open else len(items))
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if is_open else b""
    element = struct.pack("<HH2s2x", 0x0027, 0x1010, b"UN") + length + items + end
    data_set = make_data_set()
    at = data_set.index(b"\x28\0\2\0US")
    assert isinstance(read(tmp_path, data_set[:at] + element + data_set[at:]), InstanceHeaders)


def test_a_sequence_in_the_wrong_encoding_costs_itself_alone(tmp_path: Path) -> None:
    """Items of an open sequence that promise more than there is: the walk goes on behind the delimiter."""
    bad = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HH2sH", 0x0027, 0x1011, b"LO", 60_000) + b"short"
    element = struct.pack("<HH2s2xI", 0x0027, 0x1010, b"SQ", 0xFFFFFFFF) + bad + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    data_set = make_data_set()
    at = data_set.index(b"\x28\0\2\0US")
    assert isinstance(read(tmp_path, data_set[:at] + element + data_set[at:]), InstanceHeaders)


# -- what is no usable image -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "keyword"), [(0x0010, "Rows"), (0x0011, "Columns"), (0x0100, "BitsAllocated"), (0x0103, "PixelRepresentation")]
)
def test_what_is_needed_and_missing_is_named(tmp_path: Path, number: int, keyword: str) -> None:
    assert read_with(tmp_path, (0x0028, number, b"US", b"")) == MissingAttribute(keyword)


CT_CLASSES = [CT_IMAGE, "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"]
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def without_rescale(*keywords: str, modality: bytes = b"CT", sop_class: str = CT_IMAGE, more: Sequence[Written] = ()) -> bytes:
    """An image whose intercept or slope, or both, were left out."""
    elements = make_data_set(sop_class_uid=sop_class, more=((0x0008, 0x0060, b"CS", modality), *more))
    for keyword in keywords:
        number, value = {"RescaleIntercept": (0x1052, b"0"), "RescaleSlope": (0x1053, b"1")}[keyword]
        elements = elements.replace(encode_element(0x0028, number, b"DS", value), b"")
    return elements


@pytest.mark.parametrize("keyword", ["RescaleIntercept", "RescaleSlope"])
@pytest.mark.parametrize("sop_class", CT_CLASSES)
def test_a_ct_without_rescale_is_refused_and_not_taken_for_hounsfield_units(tmp_path: Path, sop_class: str, keyword: str) -> None:
    """Type 1 in CT: with 0 in its place a slice would be some 1024 HU off, and no one would see it."""
    for modality in (b"CT", b""):
        data_set = without_rescale(keyword, modality=modality, sop_class=sop_class)
        assert read(tmp_path / modality.decode(), data_set, sop_class=sop_class) == MissingAttribute(keyword)
    empty = make_data_set(more=((0x0028, 0x1052 if keyword == "RescaleIntercept" else 0x1053, b"DS", b" "),))
    assert read(tmp_path / "empty", empty) == MissingAttribute(keyword)


def test_other_images_without_rescale_have_their_stored_values(tmp_path: Path) -> None:
    both = ("RescaleIntercept", "RescaleSlope")
    headers = read(tmp_path, without_rescale(*both, modality=b"MR", sop_class=MR_IMAGE), sop_class=MR_IMAGE)
    assert isinstance(headers, InstanceHeaders)
    assert (headers.frames[0].rescale_slope, headers.frames[0].rescale_intercept) == (1.0, 0.0)
    assert headers.attribute("RescaleSlope") == ()


def test_a_localizer_among_ct_images_needs_no_rescale(tmp_path: Path) -> None:
    """It is in no volume; what its header lacks is nobody's loss."""
    localizer = (0x0008, 0x0008, b"CS", b"ORIGINAL\\PRIMARY\\LOCALIZER")
    assert isinstance(read(tmp_path, without_rescale("RescaleIntercept", more=[localizer])), InstanceHeaders)


def test_each_frame_of_an_enhanced_ct_has_its_rescale(tmp_path: Path) -> None:
    enhanced = CT_CLASSES[1]

    def image(*frames: bytes) -> bytes:
        count = (0x0028, 0x0008, b"IS", str(len(frames)).encode())
        per_frame = (0x5200, 0x9230, b"SQ", sequence(*frames))
        return without_rescale("RescaleIntercept", "RescaleSlope", sop_class=enhanced, more=(count, per_frame))

    slope, intercept = encode_element(0x0028, 0x1053, b"DS", b"2"), encode_element(0x0028, 0x1052, b"DS", b"-1024")
    whole = group(0x00289145, intercept, slope)
    assert isinstance(read(tmp_path / "1", image(whole, whole), sop_class=enhanced), InstanceHeaders)
    assert read(tmp_path / "2", image(whole, group(0x00289145, slope)), sop_class=enhanced) == MissingAttribute("RescaleIntercept")
    assert read(tmp_path / "3", image(whole, group(0x00289145, intercept)), sop_class=enhanced) == MissingAttribute("RescaleSlope")
    assert read(tmp_path / "4", image(whole, b""), sop_class=enhanced) == MissingAttribute("RescaleSlope")


def test_reasons_of_objects_that_are_no_input(tmp_path: Path) -> None:
    plain = make_data_set()
    assert read(tmp_path, plain, sop_class="1.2.840.10008.5.1.4.1.1.66.4") == NotAnImage("Segmentation Storage")
    assert read(tmp_path, plain, sop_class="1.2.3.4") == NotAnImage("private or unknown")
    assert read(tmp_path, plain, syntax="1.2.840.10008.1.2.4.100") == TransferSyntaxNotSupported("MPEG2 Main Profile / Main Level")
    assert read(tmp_path, plain[: plain.index(b"\xe0\x7f\x10\x00")]) == NoPixels()
    assert read(tmp_path, make_data_set(pixels=b"")) == NoPixels()
    assert read(tmp_path, plain[: plain.index(b"0.7\\0.8") + 3]) == Unreadable("PixelSpacing")
    assert read(tmp_path, b"") == NoPixels()


EQUIPMENT = encode_element(0x0008, 0x1090, b"LO", b"dicom-node")
PURPOSE = encode_element(0x0040, 0xA170, b"SQ", sequence(encode_element(0x0008, 0x0104, b"LO", b"Processing Algorithm")))
DERIVED = (0x0008, 0x0008, b"CS", b"DERIVED\\SECONDARY")


@pytest.mark.parametrize(
    ("more", "evidence"),
    [
        ([(0x0008, 0x0060, b"CS", b"SEG")], "Modality"),
        ([(0x0008, 0x1090, b"LO", b"dicom-node")], "ManufacturerModelName"),
        ([(0x0018, 0xA001, b"SQ", sequence(EQUIPMENT))], "ContributingEquipmentSequence"),
        ([DERIVED, (0x0018, 0xA001, b"SQ", sequence(b"", PURPOSE))], "ContributingEquipmentSequence"),
    ],
)
def test_results_are_never_input(tmp_path: Path, more: list[tuple[int, int, bytes, bytes]], evidence: str) -> None:
    assert read_with(tmp_path, *more) == MadeByAlgorithm(evidence)


def test_a_derived_image_of_a_scanner_is_input(tmp_path: Path) -> None:
    assert isinstance(read_with(tmp_path, DERIVED), InstanceHeaders)
    assert isinstance(read_with(tmp_path, (0x0018, 0xA001, b"SQ", sequence(PURPOSE))), InstanceHeaders)


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    instance = InstanceRef("2.25.7", CT_IMAGE, EXPLICIT, "0" * 64, "ab/gone.dcm", 0, 10)
    with pytest.raises(SpoolFailed):
        read_headers(tmp_path, [instance], "2.25.3", "2.25.2", CompletenessRule.COUNT)


# -- patient and attributes --------------------------------------------------------------------------------------------


def test_the_identity_of_the_patient_differs_by_id_issuer_name_and_study_alone(tmp_path: Path) -> None:
    def identity(number: int, *more: tuple[int, int, bytes, bytes], study: str = "2.25.2") -> str:
        headers = read(tmp_path / str(number), make_data_set(more=more, study_instance_uid=study))
        assert isinstance(headers, InstanceHeaders)
        return headers.patient_identity

    plain = identity(1)
    others = [
        identity(2, (0x0010, 0x0020, b"LO", b"P-2")),
        identity(3, (0x0010, 0x0021, b"LO", b"HOSP-B")),
        identity(4, (0x0010, 0x0010, b"PN", b"Other^Name")),
        identity(5, study="2.25.99"),
    ]
    assert len({plain, *others}) == 5
    assert identity(6, (0x0020, 0x0013, b"IS", b"5"), (0x0010, 0x0020, b"LO", b"P-1 ")) == plain
    latin = identity(7, (0x0008, 0x0005, b"CS", b"ISO_IR 100"), (0x0010, 0x0010, b"PN", "Jérôme".encode("latin-1")))
    assert latin == identity(8, (0x0008, 0x0005, b"CS", b"ISO_IR 192"), (0x0010, 0x0010, b"PN", "Jérôme".encode()))


def test_attributes_describe_the_image_and_not_the_patient(tmp_path: Path) -> None:
    headers = read_with(
        tmp_path,
        (0x0008, 0x0008, b"CS", b"ORIGINAL\\PRIMARY\\AXIAL"),
        (0x0008, 0x0005, b"CS", b"ISO_IR 100"),
        (0x0008, 0x0050, b"SH", b"A-123"),
        (0x0008, 0x0080, b"LO", b"Hospital"),
        (0x0008, 0x0090, b"PN", b"Referring"),
        (0x0008, 0x103E, b"LO", "Thorax fenêtre pulmonaire".encode("latin-1")),
        (0x0010, 0x0030, b"DA", b"19600101"),
        (0x0010, 0x0040, b"CS", b"F"),
        (0x0010, 0x1010, b"AS", b"064Y"),
        (0x0018, 0x0060, b"DS", b"120 "),
        (0x0018, 0x1210, b"SH", b"B70f"),
        (0x0020, 0x4000, b"LT", b"Phantom^Only looks fine"),
        (0x0018, 0x1164, b"DS", b"0.1\\0.1"),
    )
    assert isinstance(headers, InstanceHeaders)
    assert headers.attribute("ImageType") == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert headers.attribute("SeriesDescription") == ("Thorax fenêtre pulmonaire",)
    assert headers.attribute("ConvolutionKernel") == ("B70f",)
    assert headers.attribute("KVP") == ("120",)
    assert headers.attribute("ImagerPixelSpacing") == ("0.1", "0.1")
    assert headers.attribute("Rows") == ("4",)
    assert (headers.attribute("PatientAge"), headers.attribute("PatientSex")) == (("064Y",), ("F",))
    written = repr(headers.attributes)
    assert not [value for value in ("A-123", "Hospital", "Referring", "19600101", "Phantom", "P-1", "2.25.") if value in written]


@pytest.mark.parametrize(("signed", "value"), [(1, -2000), (0, 63536)])
def test_padding_has_the_sign_of_the_pixels_whatever_vr_was_written(tmp_path: Path, signed: int, value: int) -> None:
    for vr in (b"US", b"SS"):
        headers = read_with(tmp_path, (0x0028, 0x0103, b"US", struct.pack("<H", signed)), (0x0028, 0x0120, vr, struct.pack("<H", 63536)))
        assert isinstance(headers, InstanceHeaders)
        assert headers.pixel_padding_value == value


# -- functional groups -------------------------------------------------------------------------------------------------


def group(tag: int, *elements: bytes) -> bytes:
    return encode_element(tag >> 16, tag & 0xFFFF, b"SQ", sequence(b"".join(elements)))


def test_functional_groups_are_read_per_frame_before_shared(tmp_path: Path) -> None:
    measures = group(0x00289110, encode_element(0x0018, 0x0050, b"DS", b"2.5"), encode_element(0x0028, 0x0030, b"DS", b"0.5\\0.6"))
    orientation = group(0x00209116, encode_element(0x0020, 0x0037, b"DS", b"0\\1\\0\\0\\0\\-1"))
    values = group(0x00289145, encode_element(0x0028, 0x1052, b"DS", b"-1024"), encode_element(0x0028, 0x1053, b"DS", b"2"))
    frame_type = group(0x00189329, encode_element(0x0008, 0x9007, b"CS", b"ORIGINAL\\PRIMARY\\VOLUME\\NONE"))

    def frame(position: bytes, time: int, *more: bytes) -> bytes:
        content = group(
            0x00209111, encode_element(0x0020, 0x9056, b"SH", b"1"), encode_element(0x0020, 0x9128, b"UL", struct.pack("<I", time))
        )
        return content + group(0x00209113, encode_element(0x0020, 0x0032, b"DS", position)) + b"".join(more)

    headers = read(
        tmp_path,
        make_data_set(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2.1",
            more=(
                (0x0028, 0x0008, b"IS", b"2"),
                (0x5200, 0x9229, b"SQ", sequence(frame_type + measures + orientation + values)),
                (
                    0x5200,
                    0x9230,
                    b"SQ",
                    sequence(
                        frame(b"1\\2\\3", 1),
                        frame(
                            b"4\\5\\6",
                            2,
                            group(0x00289145, encode_element(0x0028, 0x1052, b"DS", b"-7"), encode_element(0x0028, 0x1053, b"DS", b"3")),
                        ),
                        is_open=True,
                    ),
                ),
            ),
        ),
        sop_class="1.2.840.10008.5.1.4.1.1.2.1",
    )
    assert isinstance(headers, InstanceHeaders)
    first, second = headers.frames
    assert (first.frame_number, second.frame_number) == (1, 2)
    assert (first.image_position_patient, second.image_position_patient) == ((1, 2, 3), (4, 5, 6))
    assert first.image_orientation_patient == second.image_orientation_patient == (0, 1, 0, 0, 0, -1)
    assert first.pixel_spacing_mm == (0.5, 0.6)
    assert first.slice_thickness_mm == 2.5
    assert (first.rescale_slope, first.rescale_intercept) == (2, -1024)
    assert (second.rescale_slope, second.rescale_intercept) == (3, -7)
    assert first.image_type == ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
    assert dict(first.dimensions) == {"TemporalPositionIndex": "1", "StackID": "1"}
    assert dict(second.dimensions)["TemporalPositionIndex"] == "2"


def test_frames_without_functional_groups_have_no_place(tmp_path: Path) -> None:
    headers = read_with(tmp_path, (0x0028, 0x0008, b"IS", b"3"))
    assert isinstance(headers, InstanceHeaders)
    assert [(frame.frame_number, frame.image_position_patient) for frame in headers.frames] == [(1, None), (2, None), (3, None)]


def test_frames_and_functional_groups_must_agree(tmp_path: Path) -> None:
    more = ((0x0028, 0x0008, b"IS", b"3"), (0x5200, 0x9230, b"SQ", sequence(b"", b"")))
    assert read_with(tmp_path, *more) == IllegalValue("NumberOfFrames", instance_number=4)
