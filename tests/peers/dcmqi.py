"""dcmqi, which writes and reads segmentations and reports: its programs, what they take, and what they say of ours.

Source: https://qiicr.gitbook.io/dcmqi-guide
"""

import gzip
import json
import subprocess
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dicom_node.values import Analysed, CodedConcept, Finding

_TYPES = {"unsigned char": np.uint8, "uint8": np.uint8, "short": np.int16, "unsigned short": np.uint16, "int": np.int32}


def find_dcmqi(name: str) -> str:
    """The program itself: the one in the search path is a Python script that starts it, which takes longer than some of its work."""
    return str(distribution("dcmqi").locate_file(f"dcmqi/bin/{name}"))


def write_labels(file: Path, labels: npt.NDArray[np.integer], result: Analysed) -> None:
    """A volume of labels, (slices, rows, columns), on the grid of the result: as NRRD, not compressed."""
    affine = np.array(result.geometry.lps_from_index)
    directions = " ".join("({:.9g},{:.9g},{:.9g})".format(*affine[:3, axis]) for axis in (2, 1, 0))
    head = {
        "type": {1: "unsigned char", 2: "unsigned short"}[labels.itemsize],
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, labels.shape[::-1])),
        "space directions": directions,
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "({:.9g},{:.9g},{:.9g})".format(*affine[:3, 3]),
    }
    text = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in head.items()) + "\n"
    with file.open("wb") as out:
        out.write(text.encode("ascii"))
        out.write(labels.data)


def read_labels(file: Path, result: Analysed) -> npt.NDArray[np.int64]:
    """A volume of labels that dcmqi wrote for a part of the result's slices, on all of them."""
    head, _, body = file.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    content = gzip.decompress(body) if fields["encoding"] == "gzip" else body
    columns, rows, slices = (int(size) for size in fields["sizes"].split())
    held = np.frombuffer(content, dtype=_TYPES[fields["type"]]).reshape(slices, rows, columns)
    origin = [float(part) for part in fields["space origin"].strip("()").split(",")]
    place = np.linalg.inv(np.array(result.geometry.lps_from_index)) @ [*origin, 1.0]
    z, y, x = (round(float(part)) for part in place[:3])
    labels = np.zeros(result.geometry.shape, dtype=np.int64)
    labels[z : z + slices, y : y + rows, x : x + columns] = held
    return labels


def segmentation_command(folder: Path, images: Path, labels: npt.NDArray[np.integer], result: Analysed, type_: str) -> list[str]:
    """`itkimage2segimage` with its inputs written; the output's path is missing. `images` is the folder of the source images, `type_`
    binary or labelmap."""
    write_labels(folder / "labels.nrrd", labels, result)
    attributes = [
        {
            "labelID": one.number,
            "SegmentLabel": one.label,
            "SegmentDescription": one.label,
            "SegmentAlgorithmType": "AUTOMATIC",
            "SegmentAlgorithmName": result.package.name,
            "SegmentedPropertyCategoryCodeSequence": _code(one.category),
            "SegmentedPropertyTypeCodeSequence": _code(one.type),
        }
        for one in result.findings
    ]
    said = {
        "ContentCreatorName": "NODE",
        "ClinicalTrialSeriesID": "1",
        "ClinicalTrialTimePointID": "1",
        "SeriesNumber": "90",
        "InstanceNumber": "1",
        "SeriesDescription": "SEG",
        "segmentAttributes": [attributes],
    }
    (folder / "segments.json").write_text(json.dumps(said), encoding="utf-8")
    command = [find_dcmqi("itkimage2segimage"), "--inputDICOMDirectory", str(images), "--inputImageList", str(folder / "labels.nrrd")]
    return [*command, "--segmentationType", type_, "--inputMetadata", str(folder / "segments.json"), "--outputDICOM"]


def report_command(folder: Path, images: Path, files: Sequence[str], segmentation: Path, result: Analysed, uid: str) -> list[str]:
    """`tid1500writer` with its inputs written; the output's path is missing. `segmentation` is a file of its own folder, with this UID."""
    said = {
        "SeriesDescription": "SR",
        "SeriesNumber": "91",
        "InstanceNumber": "1",
        "compositeContext": [segmentation.name],
        "imageLibrary": list(files),
        "observerContext": {
            "ObserverType": "DEVICE",
            "DeviceObserverUID": result.package.device_uid,
            "DeviceObserverName": result.package.title,
        },
        "VerificationFlag": "UNVERIFIED",
        "CompletionFlag": "COMPLETE",
        "activitySession": "1",
        "timePoint": "1",
        "procedureReported": {"CodeValue": "25045-6", "CodingSchemeDesignator": "LN", "CodeMeaning": "CT unspecified body region"},
        "Measurements": [_group(one, result, uid) for one in result.findings],
    }
    (folder / "report.json").write_text(json.dumps(said), encoding="utf-8")
    command = [find_dcmqi("tid1500writer"), "--inputMetadata", str(folder / "report.json"), "--inputImageLibraryDirectory", str(images)]
    return [*command, "--inputCompositeContextDirectory", str(segmentation.parent), "--outputDICOM"]


def read_segmentation(file: Path, folder: Path, result: Analysed) -> npt.NDArray[np.int64]:
    """What `segimage2itkimage` makes of a segmentation whose segments do not overlap: labels on the result's grid."""
    folder.mkdir(exist_ok=True)
    command = [find_dcmqi("segimage2itkimage"), "--inputDICOM", str(file), "--outputDirectory", str(folder), "--mergeSegments"]
    subprocess.run([*command, "-t", "nrrd"], capture_output=True, check=True)
    (made,) = folder.glob("*.nrrd")
    return read_labels(made, result)


def read_report(file: Path, folder: Path) -> dict[str, dict[str, float]]:
    """What `tid1500reader` finds in a report: by tracking UID the values by the code value of what was measured."""
    folder.mkdir(exist_ok=True)
    command = [find_dcmqi("tid1500reader"), "--inputDICOM", str(file), "--outputMetadata", str(folder / "read.json")]
    subprocess.run(command, capture_output=True, check=True)
    groups: list[dict[str, Any]] = json.loads((folder / "read.json").read_text(encoding="utf-8"))["Measurements"]
    return {
        group["TrackingUniqueIdentifier"]: {item["quantity"]["CodeValue"]: float(item["value"]) for item in group["measurementItems"]}
        for group in groups
        if "measurementItems" in group
    }


def _group(finding: Finding, result: Analysed, segmentation_uid: str) -> dict[str, object]:
    site = {} if finding.site is None else {"FindingSite": _code(finding.site)}
    return {
        "TrackingIdentifier": finding.tracking_identifier,
        "TrackingUniqueIdentifier": finding.tracking_uid,
        "ReferencedSegment": finding.number,
        "SourceSeriesForImageSegmentation": result.series_instance_uid,
        "segmentationSOPInstanceUID": segmentation_uid,
        "Finding": _code(finding.type),
        **site,
        "measurementItems": [
            {"value": repr(one.value), "quantity": _code(one.concept), "units": _code(one.unit)}
            | ({} if one.derivation is None else {"derivationModifier": _code(one.derivation)})
            for one in finding.measurements
        ],
    }


def _code(concept: CodedConcept) -> dict[str, str]:
    return {"CodeValue": concept.value, "CodingSchemeDesignator": concept.scheme, "CodeMeaning": concept.meaning}
