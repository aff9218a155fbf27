"""What the demo counts is what lies in the files, and what it reads from a segmentation lies where the segmentation says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dicom_node.values import derive_uid
from tests.demo import __main__ as demo
from tests.demo.overview import draw
from tests.demo.results import Made, match_planted, read_made
from tests.demo.running import Programs
from tests.demo.study import DemoFailed, find_study
from tests.demo.table import WIDTH, write_lines
from tests.make.chest import Nodule
from tests.make.series import CORONAL, make_series, true_lps_from_index, write_dataset, write_series
from tests.peers.archive import Stored

SHAPE, SPACING_MM, CENTRE = (6, 20, 30), (3.0, 1.5, 1.0), (10.0, -20.0, 30.0)
MASK = np.zeros(SHAPE, dtype=bool)
MASK[2:4, 5:11, 20:26] = True


@pytest.fixture(params=["axial", "coronal"])
def orientation(request: pytest.FixtureRequest) -> Any:
    return {"axial": (1, 0, 0, 0, 1, 0), "coronal": CORONAL}[request.param]


@pytest.fixture
def study_folder(tmp_path: Path, orientation: Any) -> Path:
    series = make_series(
        lambda lps: lps[..., 2] * 0.0 - 800.0,
        shape=SHAPE, spacing_mm=SPACING_MM, orientation=orientation, centre_lps=CENTRE, name="demo test",
    )  # fmt: skip
    write_series(series, tmp_path / "study")
    (tmp_path / "study" / "README.txt").write_text("not an image")
    return tmp_path / "study"


@pytest.fixture
def segmentation(tmp_path: Path, orientation: Any) -> Path:
    """A BINARY segmentation of MASK, written with pydicom alone."""
    matrix = true_lps_from_index(SHAPE, SPACING_MM, orientation, CENTRE)
    (dataset,) = make_series(lambda lps: lps[..., 0] * 0.0, shape=(1, *SHAPE[1:]), name="segmentation", study="demo test")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    dataset.Modality, dataset.SegmentationType = "SEG", "BINARY"
    dataset.ReferencedSeriesSequence = [_item(SeriesInstanceUID=derive_uid("test", "demo test", "series"))]
    dataset.SegmentSequence = [_item(SegmentNumber=1, SegmentLabel="Nodule", TrackingUID="1.2.3")]
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[1.5, 1.0], SliceThickness=3.0, SpacingBetweenSlices=3.0)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[float(value) for value in orientation])],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=[float(value) for value in (matrix @ [k, 0, 0, 1])[:3]])],
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=1)],
        )
        for k in (2, 3)
    ]
    dataset.NumberOfFrames = 2
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    dataset.PixelData = np.packbits(MASK[2:4].ravel(), bitorder="little").tobytes()
    dataset["PixelData"].VR = "OB"
    file = tmp_path / "segmentation.dcm"
    file.write_bytes(write_dataset(dataset))
    return file


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _true_centre(orientation: Any) -> tuple[float, ...]:
    index = np.append(np.argwhere(MASK).mean(axis=0), 1.0)
    return tuple((true_lps_from_index(SHAPE, SPACING_MM, orientation, CENTRE) @ index)[:3])


def test_a_segment_is_read_where_it_lies_in_the_patient(segmentation: Path, orientation: Any) -> None:
    (segment,) = read_made(segmentation).segments
    assert segment.centre_lps == pytest.approx(_true_centre(orientation))
    assert segment.volume_ml == pytest.approx(MASK.sum() * 4.5 / 1000)


def test_a_nodule_counts_as_found_only_where_a_segment_lies_in_it(segmentation: Path, orientation: Any) -> None:
    segments = read_made(segmentation).segments
    x, y, z = _true_centre(orientation)
    near, far = Nodule((x + 3, y, z), 10.0, "left", 0.0), Nodule((x + 6, y, z), 10.0, "left", 0.0)
    assert match_planted([near], segments) == {0: segments[0]}
    assert match_planted([far], segments) == {}
    assert match_planted([near, near], segments) == {0: segments[0]}  # one segment is one nodule


def test_the_picture_shows_the_outline_where_the_mask_lies(study_folder: Path, segmentation: Path, tmp_path: Path) -> None:
    study = find_study(study_folder, lambda _: None)
    draw(tmp_path / "overview.png", study, [read_made(segmentation)], (), {}, "title")
    pixels = np.array(Image.open(tmp_path / "overview.png"))
    outline = np.argwhere((pixels == (255, 196, 0)).all(axis=-1))
    first_view = outline[outline[:, 1] < 12 + 340] - (64 + 34, 12)
    scale = 340 / 30.0
    centre = (MASK[2].nonzero()[0].mean() + 0.5) * 1.5 * scale, (MASK[2].nonzero()[1].mean() + 0.5) * scale
    assert (first_view.min(axis=0) + first_view.max(axis=0)) / 2 == pytest.approx(centre, abs=scale)


def test_a_study_that_nobody_analysed_is_not_drawn_as_one_without_findings(study_folder: Path, tmp_path: Path) -> None:
    study = find_study(study_folder, lambda _: None)
    draw(tmp_path / "not.png", study, [], (), {}, "title")
    empty = Made(tmp_path / "x", "SR", "1.2", "1.3", "SR", (), ())
    draw(tmp_path / "nothing.png", study, [empty], (), {}, "title")
    assert (np.array(Image.open(tmp_path / "not.png")) != np.array(Image.open(tmp_path / "nothing.png"))).any()


def test_files_that_are_no_dicom_are_told_and_an_empty_folder_is_said(study_folder: Path, tmp_path: Path) -> None:
    told: list[Path] = []
    assert len(find_study(study_folder, told.append).instances) == SHAPE[0]
    assert [file.name for file in told] == ["README.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DemoFailed):
        find_study(tmp_path / "empty", told.append)


@pytest.fixture
def programs(tmp_path: Path, study_folder: Path) -> Programs:
    """Files as a good run leaves them: all instances in the spool, a segmentation and its record in the archive."""
    programs = Programs(tmp_path)
    programs.spool.mkdir(parents=True)
    programs.archive_folder.mkdir()
    for file in study_folder.glob("*.dcm"):
        (programs.spool / file.name).write_bytes(file.read_bytes())
    return programs


def _count(
    programs: Programs, study_folder: Path, segmentation: Path, *, stores: int = 1, refused: frozenset[str] = frozenset()
) -> demo.Tally:
    uid = read_made(segmentation).sop_instance_uid
    (programs.archive_folder / f"{uid}.dcm").write_bytes(segmentation.read_bytes())
    with (programs.archive_folder / "record.jsonl").open("w") as record:
        for _ in range(stores):
            record.write(_line(Stored(uid, SegmentationStorage, "1.2.840.10008.1.2.1", "NODE", 0, "")))
    tally = demo.Tally()
    demo._count(find_study(study_folder, lambda _: None), set(refused), programs, tally)
    return tally


def _line(stored: Stored) -> str:
    return json.dumps(stored.__dict__) + "\n"


def test_a_good_run_is_counted_from_the_files(programs: Programs, study_folder: Path, segmentation: Path) -> None:
    tally = _count(programs, study_folder, segmentation)
    assert str(tally) == "demo: received=6 lost=0 doubled=0 planted=0 found=1 objects=1 delivered=1 seconds=0.0"


def test_what_is_missing_altered_or_twice_in_the_spool_is_counted(programs: Programs, study_folder: Path, segmentation: Path) -> None:
    (programs.spool / "0000.dcm").unlink()
    altered = programs.spool / "0001.dcm"
    altered.write_bytes(altered.read_bytes()[:-1] + b"\x55")
    (programs.spool / "again.dcm").write_bytes((programs.spool / "0002.dcm").read_bytes())
    tally = _count(programs, study_folder, segmentation)
    assert (tally.received, tally.lost, tally.doubled) == (4, 2, 1)


def test_what_the_node_never_acknowledged_is_not_lost(programs: Programs, study_folder: Path, segmentation: Path) -> None:
    (programs.spool / "0000.dcm").unlink()
    refused = next(i.sop_instance_uid for i in find_study(study_folder, lambda _: None).instances if i.file.name == "0000.dcm")
    tally = _count(programs, study_folder, segmentation, refused=frozenset({refused}))
    assert (tally.received, tally.lost) == (5, 0)


def test_a_result_that_came_twice_is_doubled(programs: Programs, study_folder: Path, segmentation: Path) -> None:
    tally = _count(programs, study_folder, segmentation, stores=2)
    assert (tally.doubled, tally.objects, tally.delivered) == (1, 1, 1)


def test_an_object_that_nobody_acknowledged_is_not_delivered(programs: Programs, study_folder: Path, segmentation: Path) -> None:
    tally = _count(programs, study_folder, segmentation, stores=0)
    assert (tally.objects, tally.delivered) == (1, 0)


def test_the_table_says_why_nothing_was_made(segmentation: Path) -> None:
    reason = {"name": "localizer", "text": "The series is a localizer. " + "Long text. " * 30, "radiologist": ""}
    answer = {"package": "p", "volume": 0, "verdict": "refused", "because": [], "failed": [], "reason": reason}
    series = {"series": "1.2", "instances": 2, "state": "complete", "rule": "count", "answers": [answer]}
    lines = list(write_lines({"studies": [{"series": [series], "results": []}]}, [], (), {}))
    assert any("p: refused: The series is a localizer." in line for line in lines)
    assert any("2 instances, complete by count" in line for line in lines)
    assert max(map(len, lines)) <= WIDTH
