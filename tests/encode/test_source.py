"""What objects have from their images. Each trap of identity is a test for both kinds of object."""

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node import encode
from dicom_node.errors import EncodingError
from dicom_node.values import DicomObject, Role
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.results import PROFILE, content_of, opened, raw_value, read_headers, result_of
from tests.make import base_anatomy, make_series

CaseMaker = Callable[..., Case]

NAMES = {
    "latin": (["ISO_IR 100"], "Äneas^Rüdiger".encode("latin-1"), "Äneas^Rüdiger"),
    "cyrillic": (["ISO_IR 144"], "Люкceмбypг".encode("iso8859_5"), "Люкceмбypг"),
    "chinese": (["ISO_IR 192"], "Wang^XiaoDong=王^小東".encode(), "Wang^XiaoDong=王^小東"),
    "japanese": (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
    "japanese, a half of a character is =": (["", "ISO 2022 IR 87"], b"Aki^Taro=\x1b$B=)\x1b(B^\x1b$BB@O:\x1b(B", "Aki^Taro=秋^太郎"),
    "korean": (["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", "Hong^Gildong=洪^吉洞"),
}


def encoded(case: Case) -> tuple[DicomObject, ...]:
    objects = encode.encode(case.result, case.headers, PROFILE)
    assert encode.compare(objects, case.result) is None
    return objects


def name_in(terms: list[str] | None, value: bytes) -> dict[str, bytes]:
    """A patient's name in bytes, under a declared character set; an empty declaration is none."""
    padded = value + b" " * (len(value) % 2)
    return {"PatientName": padded, "SpecificCharacterSet": "\\".join(terms or [""]).encode()}


@pytest.mark.parametrize(
    "keyword",
    ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyDate", "StudyTime",
     "ReferringPhysicianName", "Manufacturer", "SliceThickness", "SpecificCharacterSet", "SeriesNumber", "PositionReferenceIndicator"],
)  # fmt: skip
def test_highdicom_type_2_attribute_absent_in_source(make_case: CaseMaker, keyword: str) -> None:
    """Trap: each removed in turn; eight raised in highdicom."""
    objects = encoded(make_case(patient={keyword: None}))
    assert [one.role for one in objects] == [Role.SEGMENTATION, Role.REPORT]
    for role in (Role.SEGMENTATION, Role.REPORT):
        for type_2 in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyID",
            "AccessionNumber",
            "StudyDate",
            "StudyTime",
        ):
            assert type_2 in opened(objects, role)


@pytest.mark.parametrize(("sex", "written"), [("U", b""), ("Male", b""), ("", b""), ("O", b"O "), ("F", b"F ")])
def test_highdicom_patient_sex_outside_m_f_o(make_case: CaseMaker, sex: str, written: bytes) -> None:
    """Trap: highdicom raises for `U` and `Male`. A legal value is the source's, another is left empty."""
    objects = encoded(make_case(raw={"PatientSex": sex.encode()}))
    assert {raw_value(content_of(objects, role), 0x00100040) for role in (Role.SEGMENTATION, Role.REPORT)} == {written}


@pytest.mark.parametrize("script", NAMES)
def test_character_set_names_in_four_scripts(make_case: CaseMaker, script: str) -> None:
    """Trap: wrong or missing character set, name encoded twice. Our objects are UTF-8, and say so, and hold the same name."""
    terms, value, name = NAMES[script]
    case = make_case(raw=name_in(terms, value))
    objects = encoded(case)
    for role in (Role.SEGMENTATION, Role.REPORT):
        assert raw_value(content_of(objects, role), 0x00080005) == b"ISO_IR 192"
        assert raw_value(content_of(objects, role), 0x00100010).decode().rstrip(" ") == name
        assert str(opened(objects, role).PatientName) == name


@pytest.mark.parametrize("script", ["latin", "cyrillic", "chinese", "korean"])  # DCMTK over glibc's iconv reads no ISO 2022 IR 87
def test_an_independent_tool_reads_the_same_name_from_source_and_objects(make_case: CaseMaker, tmp_path: Path, script: str) -> None:
    """Case I1, by dcmdump of DCMTK."""
    if shutil.which("dcmdump") is None:
        pytest.skip("dcmdump of DCMTK is not installed")
    terms, value, name = NAMES[script]
    case = make_case(raw=name_in(terms, value))
    files = [tmp_path / "spool-base" / case.headers.instances[0].instance.file]
    for one in encoded(case):
        files.append(tmp_path / f"{one.role}.dcm")
        files[-1].write_bytes(one.content)
    lines = [
        subprocess.run(["dcmdump", "-q", "+U8", "+P", "0010,0010", str(file)], capture_output=True, check=True).stdout.decode()
        for file in files
    ]
    assert [line[line.index("[") + 1 : line.index("]")].rstrip() for line in lines] == [name] * 3


@pytest.mark.parametrize(
    ("terms", "value"),
    [
        (None, b"M\xfcller^Hans"),  # no set declared
        (["ISO_IR 192"], b"M\xfcller^Hans"),  # another one
        (["ISO_IR 100"], "Müller=Ł".encode()),  # UTF-8 under Latin-1
    ],
)
def test_character_set_wrong_or_missing_keeps_bytes_and_declaration(make_case: CaseMaker, terms: list[str] | None, value: bytes) -> None:
    """Trap: what cannot be decoded for certain is copied as it is, under the set that was declared; our own text is ASCII then."""
    case = make_case(raw=name_in(terms, value))
    profile = encode.Profile(ae_title="DICOM_NODE", node_version="0.1.0", language="fr")
    objects = encode.encode(case.result, case.headers, profile)
    for role in (Role.SEGMENTATION, Role.REPORT):
        content = content_of(objects, role)
        assert raw_value(content, 0x00100010).rstrip(b" ") == value
        assert raw_value(content, 0x00080005).decode().strip() == (terms or [""])[0]
        assert "é".encode() not in content
    assert b"Resultat d'algorithme non verifie" in content_of(objects, Role.REPORT)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", b"9" * 80),
        ("StudyID", b"S" * 20),
        ("AccessionNumber", b"A" * 31),
        ("PatientBirthDate", b"1950.01.01"),
        ("PatientWeight", b"70.123456789012345678"),
        ("PatientName", b"N" * 70 + b"^" + b"M" * 70),
        ("StudyTime", b"25:61"),
        ("PatientAge", b"65"),
        ("StudyDescription", b"D" * 100),
    ],
)
def test_values_longer_than_their_vr_are_copied_byte_for_byte(make_case: CaseMaker, keyword: str, value: bytes) -> None:
    """Trap: LO over 64, SH over 16, DS over 16, PN over 64 per group: identity must match the PACS."""
    objects = encoded(make_case(raw={keyword: value}))
    for role in (Role.SEGMENTATION, Role.REPORT):
        found = raw_value(content_of(objects, role), int(Tag(keyword)))
        assert found == value + b" " * (len(value) % 2)


def test_odd_length_or_missing_padding_in_copied_elements(make_case: CaseMaker) -> None:
    """Trap: every element of an object has an even length, also where the source's has not, or padded with the wrong byte."""
    objects = encoded(make_case(raw={"PatientID": b"ODD\0", "StudyDescription": b"odd"}))
    for role in (Role.SEGMENTATION, Role.REPORT):
        assert raw_value(content_of(objects, role), 0x00100020) == b"ODD\0"
        assert raw_value(content_of(objects, role), 0x00081030) == b"odd "


def test_private_elements_copied_by_accident(make_case: CaseMaker) -> None:
    """Trap: only what is listed is copied, and no private element of an item of it."""

    def change(dataset: Dataset, _: int) -> None:
        block = dataset.private_block(0x0011, "SECRET MAKER", create=True)
        block.add_new(1, "LO", "secret value")
        inner = dataset.RequestAttributesSequence[0].private_block(0x0011, "SECRET MAKER", create=True)
        inner.add_new(1, "LO", "secret value")
        dataset.add_new(0x00104000, "LT", "kept comment")
        dataset.add_new(0x00102160, "SH", "secret group")
        dataset.PerformingPhysicianName = "secret^performer"

    case = make_case(change=change)
    for one in encoded(case):
        assert b"secret" not in one.content.lower()
        assert b"kept comment" in one.content


def test_timezone_request_attributes_series_description_and_body_part_are_set(case: Case) -> None:
    """Trap: highdicom leaves them out. For each kind of object."""
    source, objects = case.datasets[0], encoded(case)
    for role in (Role.SEGMENTATION, Role.REPORT):
        made = opened(objects, role)
        for keyword in ("TimezoneOffsetFromUTC", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
                        "PatientAge", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
                        "ReferringPhysicianName"):  # fmt: skip
            assert made[keyword].value == source[keyword].value, keyword
        assert made.SeriesDescription == "AI lung nodules RESEARCH"
        assert made.ContentQualification == "RESEARCH"
        assert (made.SeriesDate, made.SeriesTime) == (made.ContentDate, made.ContentTime) == ("20250102", "101200")
        assert (made.InstanceCreationDate, made.InstanceCreationTime) == ("20250102", "101200")
        assert made.SeriesNumber >= 9000
        assert made.InstanceNumber == 1
        assert made.SeriesInstanceUID != source.SeriesInstanceUID
        assert "InstitutionName" not in made
    segmentation, report = opened(objects, Role.SEGMENTATION), opened(objects, Role.REPORT)
    assert segmentation.BodyPartExamined == "CHEST"
    assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID
    (request,) = segmentation.RequestAttributesSequence
    assert request == source.RequestAttributesSequence[0]
    (request,) = report.ReferencedRequestSequence
    assert request.AccessionNumber == source.AccessionNumber
    assert request.RequestedProcedureID == "RP1"
    assert request.PlacerOrderNumberImagingServiceRequest == ""
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")


def test_study_uid_differs_from_the_requests(make_case: CaseMaker) -> None:
    """Trap: the images' Study Instance UID is kept."""

    def change(dataset: Dataset, _: int) -> None:
        dataset.RequestAttributesSequence[0].StudyInstanceUID = "1.2.3.4"

    case = make_case(change=change)
    objects = encoded(case)
    assert {str(opened(objects, role).StudyInstanceUID) for role in (Role.SEGMENTATION, Role.REPORT)} == {case.headers.study_instance_uid}
    assert opened(objects, Role.REPORT).ReferencedRequestSequence[0].StudyInstanceUID == case.headers.study_instance_uid


def test_empty_structures_of_the_order_are_dropped_and_the_accession_number_is_kept(make_case: CaseMaker) -> None:
    """Case I3."""

    def change(dataset: Dataset, _: int) -> None:
        dataset.IssuerOfAccessionNumberSequence = [Dataset()]
        request = Dataset()
        request.AccessionNumber = dataset.AccessionNumber
        dataset.RequestAttributesSequence = [request]

    case = make_case(change=change)
    objects = encoded(case)
    for role in (Role.SEGMENTATION, Role.REPORT):
        assert "IssuerOfAccessionNumberSequence" not in opened(objects, role)
        assert opened(objects, role).AccessionNumber == case.datasets[0].AccessionNumber
    assert opened(objects, Role.REPORT).ReferencedRequestSequence[0].AccessionNumber == case.datasets[0].AccessionNumber


def test_each_result_carries_id_and_issuer_of_its_own_series(make_case: CaseMaker) -> None:
    """Case I2, and the trap of identity without an issuer: one Patient ID of two hospitals."""
    for issuer in ("HOSP-A", "HOSP-B"):
        objects = encoded(make_case(name=issuer, patient={"PatientID": "4711", "IssuerOfPatientID": issuer}))
        assert {
            (opened(objects, role).PatientID, opened(objects, role).IssuerOfPatientID) for role in (Role.SEGMENTATION, Role.REPORT)
        } == {("4711", issuer)}


def test_lossy_compression_of_any_image_is_carried(make_case: CaseMaker) -> None:
    def change(dataset: Dataset, index: int) -> None:
        if index == 5:
            dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "7.5"
            dataset.LossyImageCompressionMethod = "ISO_10918_1"

    segmentation = opened(encoded(make_case(change=change)), Role.SEGMENTATION)
    assert segmentation.LossyImageCompression == "01"
    assert segmentation.LossyImageCompressionRatio == 7.5
    assert segmentation.LossyImageCompressionMethod == "ISO_10918_1"


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
def test_identity_is_read_from_every_encoding(tmp_path: Path, syntax: str) -> None:
    """Implicit, big endian, deflated: whichever way the images came."""
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM)
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax.endswith("1.2.2"):
            dataset.PixelData = bytes(len(dataset.PixelData))
    headers = read_headers(datasets, tmp_path)
    result = two_findings(headers, datasets)
    objects = encode.encode(result, headers, PROFILE)
    assert encode.compare(objects, result) is None
    for role in (Role.SEGMENTATION, Role.REPORT):
        assert opened(objects, role).PatientName == datasets[0].PatientName
        assert opened(objects, role).ContentTime == "101200"
    assert opened(objects, Role.SEGMENTATION).RequestAttributesSequence == datasets[0].RequestAttributesSequence


def test_who_made_the_object_stands_in_contributing_equipment_without_a_clock(case: Case) -> None:
    """Scanner, node and model; the model with its Device UID and the version that the report gives."""
    objects = encoded(case)
    package = case.result.package
    for role in (Role.SEGMENTATION, Role.REPORT):
        made = opened(objects, role)
        scanner, node, model = made.ContributingEquipmentSequence
        codes = [item.PurposeOfReferenceCodeSequence[0].CodeMeaning for item in (scanner, node, model)]
        assert codes == ["Acquisition Equipment", "Processing Equipment", "Processing Algorithm"]
        assert (scanner.Manufacturer, scanner.InstitutionName) == ("Synthetic", "Test Hospital")
        assert (node.ManufacturerModelName, node.SoftwareVersions, node.StationName) == ("dicom-node", "0.1.0", "DICOM_NODE")
        assert (model.ManufacturerModelName, model.SoftwareVersions) == (package.name, package.version)
        assert model.DeviceUID == package.device_uid
        assert not any("ContributionDateTime" in item for item in made.ContributingEquipmentSequence)
        assert (made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions) == ("dicom-node", "dicom-node", "0.1.0")


def test_a_product_is_not_called_research(case: Case) -> None:

    package = dataclasses.replace(case.result.package, product=True)
    objects = encode.encode(dataclasses.replace(case.result, package=package), case.headers, PROFILE)
    for role in (Role.SEGMENTATION, Role.REPORT):
        assert opened(objects, role).ContentQualification == "PRODUCT"
        assert opened(objects, role).SeriesDescription == "AI lung nodules"
        assert b"RESEARCH" not in content_of(objects, role)


def test_an_instance_of_the_volume_that_is_not_there_is_an_error(case: Case) -> None:

    fewer = dataclasses.replace(case.headers, instances=case.headers.instances[1:])
    with pytest.raises(EncodingError):
        encode.encode(case.result, fewer, PROFILE)


def test_times_do_not_come_from_images_outside_the_volume(tmp_path: Path) -> None:
    """A series of two volumes gives two results; each has the times of its own."""
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM)
    datasets[-1].ContentDate = "20260101"
    headers = read_headers(datasets, tmp_path)
    whole = two_findings(headers, datasets)

    geometry = dataclasses.replace(whole.geometry, frames=whole.geometry.frames[:-1], shape=(7, 20, 24))
    objects = encode.encode(result_of(headers, geometry), headers, PROFILE)
    assert opened(objects, Role.REPORT).ContentDate == "20250102"
    objects = encode.encode(whole, headers, PROFILE)
    assert opened(objects, Role.REPORT).ContentDate == "20260101"
