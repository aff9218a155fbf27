"""Key images are those on which findings are largest; a rejection note names what was sent."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO

from dicom_node import encode
from dicom_node.encode.objects import encode_rejection
from dicom_node.errors import EncodingError
from dicom_node.values import ObjectKind, ReportRef, Role
from dicom_node.values.reasons import ReportMismatch
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.results import PROFILE, finding, geometry_of, named, opened, read_headers, result_of
from tests.encode.test_compare import changed
from tests.encode.test_objects import complaints, new_complaints
from tests.make import base_anatomy, make_series

KEYS = dataclasses.replace(PROFILE, objects=(*PROFILE.objects, ObjectKind.KEY_IMAGES))


def images_of(document: Dataset) -> list[Dataset]:
    return [item.ReferencedSOPSequence[0] for item in document.ContentSequence if item.ValueType == "IMAGE"]


def evidence_of(document: Dataset) -> list[tuple[str, str]]:
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    return [
        (series.SeriesInstanceUID, one.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]


def test_the_largest_slice_of_each_finding_is_named_once(tmp_path: Path, validator: Callable[[str], str]) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM)
    headers = read_headers(datasets, tmp_path)
    voxels = np.ones((3, 5, 4), dtype=bool)
    voxels[0], voxels[2, 0] = False, False
    findings = [finding(1, (4, 3, 6), voxels), finding(2, (1, 12, 1), voxels), finding(3, (4, 10, 12), voxels)]
    result = result_of(headers, geometry_of(datasets, SHAPE, SPACING_MM), *findings)
    objects = encode.encode(result, headers, KEYS)
    assert encode.compare(objects, result) is None
    document = opened(objects, Role.KEY_IMAGES)
    assert (document.SOPClassUID, document.Modality) == ("1.2.840.10008.5.1.4.1.1.88.59", "KO")
    assert document.ConceptNameCodeSequence[0].CodeValue == "113000"
    wanted = [str(datasets[index].SOPInstanceUID) for index in (2, 5)]
    assert [one.ReferencedSOPInstanceUID for one in images_of(document)] == wanted
    assert evidence_of(document) == [(result.series_instance_uid, uid) for uid in wanted]
    (description,) = named(list(document.ContentSequence), "113012")
    assert "(3)" in description.TextValue
    assert "RESEARCH" in description.TextValue
    assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


def test_of_an_enhanced_image_the_frames_are_named(tmp_path: Path, validator: Callable[[str], str]) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, enhanced=True)
    headers = read_headers(datasets, tmp_path)
    result = two_findings(headers, datasets)
    objects = encode.encode(result, headers, KEYS)
    assert encode.compare(objects, result) is None
    (image,) = images_of(opened(objects, Role.KEY_IMAGES))
    assert image.ReferencedFrameNumber == 4
    assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


def test_without_findings_there_are_no_key_images(case: Case) -> None:
    objects = encode.encode(dataclasses.replace(case.result, findings=()), case.headers, KEYS)
    assert [one.role for one in objects] == [Role.REPORT]


def other_image(document: Dataset) -> None:
    images_of(document)[0].ReferencedSOPInstanceUID = "2.25.1"


def without_evidence(document: Dataset) -> None:
    document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[
        0
    ].ReferencedSOPInstanceUID = "2.25.1"


def no_image(document: Dataset) -> None:
    document.ContentSequence = [item for item in document.ContentSequence if item.ValueType != "IMAGE"]


def other_title(document: Dataset) -> None:
    document.ConceptNameCodeSequence[0].CodeValue = "113001"


@pytest.mark.parametrize("change", [other_image, without_evidence, no_image, other_title])
def test_a_fault_is_seen(case: Case, change: Callable[[Dataset], None]) -> None:
    objects = changed(encode.encode(case.result, case.headers, KEYS), Role.KEY_IMAGES, change)
    assert isinstance(encode.compare(objects, case.result), ReportMismatch)


def test_a_rejection_note_names_what_was_sent(case: Case, tmp_path: Path, validator: Callable[[str], str]) -> None:
    """IHE IOCM: the title says why, image objects are references to images, all others to documents, and evidence is all of them."""
    sent = encode.encode(case.result, case.headers, KEYS)
    rejected = [ReportRef(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid) for one in sent]
    after = dataclasses.replace(case.result, key="cd" * 32, predecessor_key=case.result.key)
    note = encode_rejection(after, case.headers, PROFILE, rejected, case.result.key)
    assert note.content == encode_rejection(after, case.headers, PROFILE, rejected, case.result.key).content
    document = pydicom.dcmread(DicomBytesIO(note.content))
    assert document.ConceptNameCodeSequence[0].CodeValue == "113001"
    references = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID: item.ValueType
        for item in document.ContentSequence
        if item.ValueType in {"IMAGE", "COMPOSITE"}
    }
    assert references == {one.sop_instance_uid: "IMAGE" if one.role is Role.SEGMENTATION else "COMPOSITE" for one in sent}
    assert sorted(evidence_of(document)) == sorted((one.series_instance_uid, one.sop_instance_uid) for one in sent)
    assert (document.StudyInstanceUID, document.PatientID) == (case.result.study_instance_uid, case.datasets[0].PatientID)
    file = tmp_path / "note.dcm"
    file.write_bytes(note.content)
    assert complaints(validator, file) == set()


def test_notes_on_other_results_or_objects_are_other_notes(case: Case) -> None:
    rejected = [ReportRef("1.2.840.10008.5.1.4.1.1.88.34", f"2.25.{number}", "2.25.9") for number in (1, 2)]
    after = dataclasses.replace(case.result, key="cd" * 32)
    notes = [
        encode_rejection(after, case.headers, PROFILE, rejected, "ab" * 32),
        encode_rejection(after, case.headers, PROFILE, rejected, "ef" * 32),
        encode_rejection(after, case.headers, PROFILE, rejected[:1], "ab" * 32),
        encode_rejection(case.result, case.headers, PROFILE, rejected, "ab" * 32),
    ]
    assert len({note.sop_instance_uid for note in notes} | {note.series_instance_uid for note in notes}) == 8
    with pytest.raises(EncodingError):
        encode_rejection(after, case.headers, PROFILE, [], "ab" * 32)
