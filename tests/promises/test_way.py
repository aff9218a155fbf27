"""The main job, with parts that a hospital has: DCMTK sends, the node analyses, Orthanc holds the results."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_node.values import derive_uid
from tests.peers.node import NodeProcess
from tests.peers.orthanc import Orthanc
from tests.promises.studies import (
    ct_files,
    destination_of,
    orthanc_as_peer,
    read_masks,
    read_values,
    results_in,
    store_with_dcmtk,
    wait_until_done,
)

# The series as the collection has it (JPEG-LS), and what DCMTK and GDCM make of it; storescu's option that proposes it.
FORMS = {
    "uncompressed": (["dcmdjpls"], ["-xe"]),
    "jpeg-lossless": (["dcmdjpls"], ["-xs"]),
    "jpeg-ls": ([], ["-xt"]),
    "jpeg-2000": (["gdcmconv", "--j2k"], ["-xv"]),
    "rle": (["dcmdjpls"], ["-xr"]),
}


@pytest.mark.timeout(600)  # five whole scans through a node
def test_a_real_ct_comes_back_as_segmentation_and_report_whatever_its_compression(
    orthanc: Orthanc, node: Callable[..., NodeProcess], dcmtk: Callable[[str], str], shared_data: Path, tmp_path: Path
) -> None:
    """It holds when, line 2: SEG and SR in the same study; five transfer syntaxes, one answer."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)})
    studies = {}
    for form in FORMS:
        files = as_another_study(
            transcode(ct_files(shared_data, "lidc_0001"), form, tmp_path / form, dcmtk), form, tmp_path / f"{form}-sent"
        )
        store_with_dcmtk(files, running.port, options=FORMS[form][1])
        studies[form] = str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    outcomes = {}
    for form, study_uid in studies.items():
        study = wait_until_done(running, study_uid)
        assert [one["state"] for one in destination_of(study, "pacs")] == ["confirmed", "confirmed"], study
        results = results_in(orthanc, study_uid)
        assert set(results) == {"SEG", "SR"}
        assert {result.StudyInstanceUID for result in results.values()} == {study_uid}
        outcomes[form] = (read_masks(results["SEG"]), read_values(results["SR"]))
    masks, values = outcomes.pop("uncompressed")
    assert masks
    assert values
    for form, (other_masks, other_values) in outcomes.items():
        assert other_values == values, form
        assert other_masks.keys() == masks.keys(), form
        for number, mask in masks.items():
            assert np.array_equal(other_masks[number], mask), (form, number)


def test_orthanc_sends_a_study_and_its_count_proves_it_complete(
    orthanc: Orthanc, node: Callable[..., NodeProcess], dcmtk: Callable[[str], str], shared_data: Path, tmp_path: Path
) -> None:
    """A real PACS on both sides: it forwards a study, is asked how many instances it has, and gets the result."""
    running = node(peers={"pacs": orthanc_as_peer(orthanc)}, settings={"assemble": {"quiet_s": 60.0, "count_after_s": 0.5}})
    orthanc.add_modality("node", "NODE", running.port)
    files = transcode(ct_files(shared_data, "lidc_0003_slab"), "uncompressed", tmp_path / "slab", dcmtk)
    for file in files:
        orthanc.upload(file.read_bytes())
    study_uid = str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    orthanc.send(study_uid, "node")
    study = wait_until_done(running, study_uid)
    (series,) = study["series"]
    assert (series["instances"], series["rule"]) == (len(files), "count")


@pytest.mark.parametrize("form", ["uncompressed", "jpeg-2000"])
def test_transcoding_of_this_test_keeps_the_values(form: str, shared_data: Path, dcmtk: Callable[[str], str], tmp_path: Path) -> None:
    """The test's own tools: a form that changed the values would prove nothing about the node."""
    source = ct_files(shared_data, "lidc_0001")[60:61]
    (made,) = transcode(source, form, tmp_path / form, dcmtk)
    assert np.array_equal(pydicom.dcmread(source[0]).pixel_array, pydicom.dcmread(made).pixel_array)


def as_another_study(files: list[Path], form: str, folder: Path) -> list[Path]:
    """The same images under UIDs of their own, so that one node takes all forms as studies that have nothing to do with each other."""
    folder.mkdir()
    made = []
    for file in files:
        dataset = pydicom.dcmread(file)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = derive_uid(form, dataset[keyword].value)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(folder / file.name)
        made.append(folder / file.name)
    return made


def transcode(files: list[Path], form: str, folder: Path, dcmtk: Callable[[str], str]) -> list[Path]:
    """The files in another transfer syntax, made by DCMTK or GDCM."""
    if form == "jpeg-ls":
        return files
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for file in files:
        target = folder / file.name
        if form == "jpeg-2000":
            _run(dcmtk("gdcmconv"), "--j2k", str(file), str(target))
        else:
            _run(dcmtk("dcmdjpls"), str(file), str(target))
            if form == "jpeg-lossless":
                _run(dcmtk("dcmcjpeg"), "+e1", str(target), str(target))
            if form == "rle":
                _run(dcmtk("dcmcrle"), str(target), str(target))
        made.append(target)
    return made


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
