"""The same inputs give the same bytes, and validators find nothing that the images do not have themselves."""

import dataclasses
import datetime
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_node import encode, spool
from dicom_node.values import CompletenessRule, DicomObject, Form, FrameRef, Geometry, Role, SeriesHeaders
from tests.encode.conftest import SHAPE, SPACING_MM, Case, two_findings
from tests.encode.results import PROFILE, finding, read_headers, result_of
from tests.make import base_anatomy, make_series
from tests.make.series import ref_of_file
from tests.places import REPOSITORY


def digests(objects: tuple[DicomObject, ...]) -> list[str]:
    return [hashlib.sha256(one.content).hexdigest() for one in objects]


def test_the_same_inputs_give_the_same_bytes(case: Case, tmp_path: Path) -> None:
    """Trap: the clock in three attributes makes re-runs differ. Also in another process with other hashes."""
    objects = encode.encode(case.result, case.headers, PROFILE)
    assert digests(encode.encode(case.result, case.headers, PROFILE)) == digests(objects)
    program = """if True:
        import sys
        from pathlib import Path
        from tests.encode.test_objects import print_digests
        print_digests(Path(sys.argv[1]))
    """
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-c", program, str(tmp_path / "elsewhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=REPOSITORY)
    assert done.stdout.split() == digests(objects)


def print_digests(folder: Path) -> None:
    """What the test's other processes run: the whole way again, from the making of the series."""
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM)
    headers = read_headers(datasets, folder)
    print(*digests(encode.encode(two_findings(headers, datasets), headers, PROFILE)))


def test_no_date_of_today_stands_in_an_object(case: Case) -> None:
    """Nor of yesterday or tomorrow, should a time zone be in play."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    days = [(today + datetime.timedelta(days=shift)).strftime("%Y%m%d").encode() for shift in (-1, 0, 1)]
    for result in (case.result, dataclasses.replace(case.result, findings=())):
        for one in encode.encode(result, case.headers, PROFILE):
            assert not any(day in one.content for day in days)


def test_the_order_of_arrival_changes_nothing(case: Case) -> None:
    shuffled = dataclasses.replace(case.headers, instances=case.headers.instances[::-1])
    assert digests(encode.encode(case.result, shuffled, PROFILE)) == digests(encode.encode(case.result, case.headers, PROFILE))


def test_another_key_or_profile_gives_other_uids(case: Case) -> None:
    """One UID never stands for two contents."""
    other_key = dataclasses.replace(case.result, key="cd" * 32)
    other_profile = dataclasses.replace(PROFILE, language="fr")
    made = [
        encode.encode(case.result, case.headers, PROFILE),
        encode.encode(other_key, case.headers, PROFILE),
        encode.encode(case.result, case.headers, other_profile),
    ]
    uids = [uid for objects in made for one in objects for uid in (one.sop_instance_uid, one.series_instance_uid)]
    assert len(set(uids)) == 2 * 2 * 3


def test_the_segmentation_comes_before_the_report_that_refers_to_it(case: Case) -> None:
    """Trap: SR sent before SEG shows a dangling reference."""
    objects = encode.encode(case.result, case.headers, PROFILE)
    assert [one.role for one in objects] == [Role.SEGMENTATION, Role.REPORT]
    for one in objects:
        dataset = pydicom.dcmread(io.BytesIO(one.content))
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID == one.sop_instance_uid
        assert dataset.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID == one.sop_class_uid
        assert (dataset.SeriesInstanceUID, dataset.StudyInstanceUID) == (one.series_instance_uid, one.study_instance_uid)


def complaints(validator: Callable[[str], str], file: Path) -> set[str]:
    """The errors of dciodvfy."""
    done = subprocess.run([validator("dciodvfy"), "-new", str(file)], capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    assert "Information Object not found" not in text
    return {line for line in text.splitlines() if line.startswith("Error")}


def new_complaints(
    validator: Callable[[str], str], headers: SeriesHeaders, spool_folder: Path, objects: tuple[DicomObject, ...], folder: Path
) -> set[str]:
    """What dciodvfy says of objects and not of their source: the source's defects are not ours."""
    source = complaints(validator, spool_folder / headers.instances[0].instance.file)
    found = set()
    for one in objects:
        file = folder / f"{one.role}.dcm"
        file.write_bytes(one.content)
        found |= complaints(validator, file)
    return found - source


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_dciodvfy_finds_nothing_that_the_source_has_not(
    tmp_path: Path, validator: Callable[[str], str], modality: str, enhanced: bool
) -> None:
    datasets = make_series(base_anatomy, shape=SHAPE, spacing_mm=SPACING_MM, modality=modality, enhanced=enhanced)
    headers = read_headers(datasets, tmp_path)
    result = two_findings(headers, datasets)
    for one in (result, dataclasses.replace(result, findings=(), predecessor_key="cd" * 32)):
        objects = encode.encode(one, headers, PROFILE)
        assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


def test_dciodvfy_finds_nothing_new_where_the_order_is_full_of_holes(
    tmp_path: Path, validator: Callable[[str], str], make_case: Callable[..., Case]
) -> None:
    """Case I3."""

    def change(dataset: pydicom.Dataset, _: int) -> None:
        dataset.IssuerOfAccessionNumberSequence = [pydicom.Dataset()]
        request = pydicom.Dataset()
        request.AccessionNumber = dataset.AccessionNumber
        dataset.RequestAttributesSequence = [request]
        other = pydicom.Dataset()
        other.PatientID, other.IssuerOfPatientID = "OTHER", "ELSEWHERE"  # Type of Patient ID (0010,0022) is missing
        dataset.OtherPatientIDsSequence = [other]

    case = make_case(change=change)
    objects = encode.encode(case.result, case.headers, PROFILE)
    assert new_complaints(validator, case.headers, tmp_path / "spool-base", objects, tmp_path) == set()


def test_a_real_scan(shared_data: Path, tmp_path: Path, validator: Callable[[str], str]) -> None:
    """A made-up ball in LIDC-IDRI-0001 lies where it was put, and the validator says nothing that it does not say of the source."""
    files = sorted((shared_data / "ct" / "lidc_0001").glob("*.dcm"))
    refs = [ref_of_file(file.read_bytes(), tmp_path) for file in files]
    first = pydicom.dcmread(files[0], stop_before_pixels=True)
    headers = spool.read_headers(tmp_path, refs, str(first.SeriesInstanceUID), str(first.StudyInstanceUID), CompletenessRule.COUNT)
    assert len(headers.instances) == 133
    result = result_of(headers, geometry := _axial_geometry(headers), finding(1, (40, 200, 150), _ball(geometry, radius_mm=11.7)))
    objects = encode.encode(result, headers, PROFILE)
    assert encode.compare(objects, result) is None
    assert new_complaints(validator, headers, tmp_path, objects, tmp_path) == set()


def _axial_geometry(headers: SeriesHeaders) -> Geometry:
    """Of a plain axial scan; `assemble` does this for any."""
    instances = sorted(headers.instances, key=lambda one: (one.frames[0].image_position_patient or (0, 0, 0))[2])
    lowest, highest = instances[0].frames[0], instances[-1].frames[0]
    assert lowest.image_position_patient is not None
    assert highest.image_position_patient is not None
    assert lowest.pixel_spacing_mm is not None
    assert headers.instances[0].frames[0].image_orientation_patient == (1, 0, 0, 0, 1, 0)
    (x, y, z), (rows_mm, columns_mm) = lowest.image_position_patient, lowest.pixel_spacing_mm
    slices_mm = (highest.image_position_patient[2] - z) / (len(instances) - 1)
    return Geometry(
        form=Form.CLASSIC,
        frames=tuple(FrameRef(one.instance.sop_instance_uid, 1) for one in instances),
        shape=(len(instances), instances[0].rows, instances[0].columns),
        spacing_mm=(slices_mm, rows_mm, columns_mm),
        slice_thickness_mm=lowest.slice_thickness_mm,
        lps_from_index=((0, 0, columns_mm, x), (0, rows_mm, 0, y), (slices_mm, 0, 0, z), (0, 0, 0, 1)),
        frame_of_reference_uid=instances[0].frame_of_reference_uid,
    )


def _ball(geometry: Geometry, radius_mm: float) -> np.ndarray[tuple[int, int, int], np.dtype[np.bool_]]:
    size = [int(2 * radius_mm / spacing) + 3 for spacing in geometry.spacing_mm]
    z, y, x = np.mgrid[: size[0], : size[1], : size[2]]
    squares = [((axis - (count - 1) / 2) * mm) ** 2 for axis, count, mm in zip((z, y, x), size, geometry.spacing_mm, strict=True)]
    return np.asarray(sum(squares) <= radius_mm**2)
