"""A study on its way through a running node and back, as the tests of this folder watch it from outside."""

import io
import os
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset

from tests.peers.node import NODE_TITLE, NodeProcess
from tests.peers.orthanc import Orthanc
from tests.peers.tools import need_program
from tests.peers.waiting import wait_until

STUDY_LIMIT_S = 240.0


def orthanc_as_peer(orthanc: Orthanc) -> dict[str, Any]:
    """Orthanc in the node's `peers.toml`: it sends, is asked for counts, and receives results."""
    return {
        "ae_title": orthanc.aet,
        "host": "127.0.0.1",
        "port": orthanc.dicom_port,
        "may": ["send", "count", "receive"],
    }


def store_with_dcmtk(files: Iterable[Path], port: int, *, options: Iterable[str] = ()) -> None:
    """Send files by DCMTK's storescu, as a modality would; AssertionError where it does not succeed.

    `-R` proposes what the files need and nothing else; `options` name their transfer syntax.
    """
    command = [need_program("storescu"), "-R", *options, "-aet", "MODALITY", "-aec", NODE_TITLE, "127.0.0.1", str(port)]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=300, env={**os.environ, "TCP_NODELAY": "1"})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def wait_until_done(node: NodeProcess, study_instance_uid: str, limit_s: float = STUDY_LIMIT_S) -> dict[str, Any]:
    """The study as `dicom-node status --json` shows it once nothing of it is open any more."""

    def finished() -> dict[str, Any] | None:
        for study in node.look()["studies"]:
            if study["study"] == study_instance_uid and study["state"] in ("done", "failed", "undelivered", "unconfirmed"):
                return dict(study)
        return None

    return wait_until(finished, limit_s=limit_s, every_s=0.3, what=lambda: f"{node.run('status').stdout}\n{node._log_end()}")


def results_in(orthanc: Orthanc, study_instance_uid: str) -> dict[str, Dataset]:
    """The segmentation and the report that Orthanc holds, by modality; AssertionError where there is more than one of a kind."""
    found = [one for one in orthanc.instances(study_instance_uid) if one.modality in ("SEG", "SR")]
    counts = Counter(one.modality for one in found)
    assert all(count == 1 for count in counts.values()), counts
    return {one.modality: pydicom.dcmread(io.BytesIO(orthanc.download(one.sop_instance_uid))) for one in found}


def read_masks(segmentation: Dataset) -> dict[int, npt.NDArray[np.bool_]]:
    """Each segment's frames, (frames, rows, columns), unpacked by a loop of our own (PS3.5 8.1.1: no gap between frames)."""
    bits = np.unpackbits(np.frombuffer(segmentation.PixelData, dtype=np.uint8), bitorder="little")
    frames, rows, columns = int(segmentation.NumberOfFrames), int(segmentation.Rows), int(segmentation.Columns)
    stack = bits[: frames * rows * columns].reshape(frames, rows, columns).astype(bool)
    numbers = [_segment_number(segmentation, index) for index in range(frames)]
    return {number: stack[[index for index, of in enumerate(numbers) if of == number]] for number in sorted(set(numbers))}


def _segment_number(segmentation: Dataset, index: int) -> int:
    own = segmentation.PerFrameFunctionalGroupsSequence[index]
    groups = own if "SegmentIdentificationSequence" in own else segmentation.SharedFunctionalGroupsSequence[0]
    return int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def read_values(report: Dataset) -> list[tuple[str, float, str]]:
    """Every NUM of a report in its order: concept, value, unit."""
    found: list[tuple[str, float, str]] = []

    def walk(item: Dataset) -> None:
        if item.get("ValueType") == "NUM":
            value = item.MeasuredValueSequence[0]
            concept = item.ConceptNameCodeSequence[0].CodeMeaning
            found.append((concept, float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue))
        for below in item.get("ContentSequence", ()):
            walk(below)

    walk(report)
    return found


def ct_files(shared_data: Path, series: str) -> list[Path]:
    """The DICOM files of a real CT series."""
    return sorted((shared_data / "ct" / series).glob("*.dcm"))


def destination_of(study: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of all results of a study for one destination, as `status` lists them."""
    return [
        one
        for result in study["results"]
        for delivery in result["deliveries"]
        if delivery["destination"] == name
        for one in delivery["objects"]
    ]
