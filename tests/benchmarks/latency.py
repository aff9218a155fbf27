"""From the last C-STORE response to the last result in the PACS: the node beside a straight program, in turns, in one run.

The straight program (`straight.py`) does the same steps with the same functions, one after the other in one warm process, with nothing kept
and nobody asked. It gets its images from a spool that was filled before. To the node they are sent, and the modality, which answers
C-FIND, says how many there are, so that no timer has to be waited for.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, SegmentationStorage

from dicom_node.spool import Spool
from dicom_node.values import AETitle, CompletenessRule, StoredSeries, codec
from tests.infer.examples import BRIGHT, bright_package
from tests.make.series import make_series, write_dataset
from tests.peers.archive import Archive, Stored
from tests.peers.modality import Modality, encode
from tests.peers.node import MODALITY_TITLE, NODE_TITLE, NodeProcess, write_node
from tests.peers.part10 import Encoded
from tests.places import REPOSITORY

from .calm import wait_until_calm
from .figures import Figures

NODE, STRAIGHT = "node", "straight program"
_LIMIT_S = 120.0
_SIDE_MM, _RADIUS_MM = 360.0, 14.0
_BLOCK_HU, _BALL_HU = -50, 1200
_RESULTS = 2  # a segmentation and a report


@dataclass
class Latency:
    """Seconds by who it was; and what the node says of each round."""

    seconds: Figures = field(default_factory=Figures)
    traces: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Study:
    """A study as it is sent, and the same images under other UIDs as the straight program finds them."""

    sent: Sequence[Encoded]
    study_instance_uid: str
    stored: Path


def measure(folder: Path, *, rounds: int, slices: int = 300, pixels: int = 512) -> Latency:
    """One study more than there are rounds: the first is not counted."""
    latency = Latency()
    images = folder / "modality"
    images.mkdir()
    # Whatever else they could do, they would look at in every association, for longer than the node takes for its part.
    kinds = {"transfer_syntaxes": (ExplicitVRLittleEndian,), "commits": False}
    with Archive(folder / "pacs", ae_title="PACS", classes=(SegmentationStorage, Comprehensive3DSRStorage), **kinds) as pacs:
        peers = {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port, "may": ["receive"]}}
        studies = [_make_study(folder, images, number, slices, pixels) for number in range(rounds + 1)]
        with Archive(images, ae_title=MODALITY_TITLE, classes=(), **kinds) as modality:
            counted = {"modality": {"ae_title": MODALITY_TITLE, "host": "127.0.0.1", "port": modality.port, "may": ["send", "count"]}}
            node = write_node(
                folder / "node",
                peers={**peers, **counted},
                models=[_write_trivial_package(folder / "bright")],
                settings={"assemble": {"quiet_s": 60.0, "count_after_s": 1.0}},
            )
            node.start()
            assert node.process is not None
            straight = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.straight", str(node.config), str(folder / "straight")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, start_new_session=True,
            )  # fmt: skip
            try:
                _read_line(straight)
                wait_until_calm([node.process.pid, straight.pid])
                for number, study in enumerate(studies):
                    seconds = {NODE: _send(node, study, pacs), STRAIGHT: _run_straight(straight, study, pacs)}
                    latency.wrong += _compare(pacs)
                    if number:
                        for name, value in seconds.items():
                            latency.seconds.add(name, value)
                        latency.traces.append(node.run("trace", study.study_instance_uid).stdout)
            finally:
                straight.kill()
                straight.communicate()  # its pipes are closed, its end awaited
                node.kill()
    return latency


def _make_study(folder: Path, images: Path, number: int, slices: int, pixels: int) -> Study:
    made = _make_images(f"sent {number}", number, slices, pixels)
    for index, header in enumerate(_headers_alone(made)):
        (images / f"{number}-{index}.dcm").write_bytes(write_dataset(header))
    spool, refs = Spool(folder / "straight"), []
    others = _make_images(f"straight {number}", number, slices, pixels)
    for instance in map(encode, others):
        where = {name: getattr(instance, name) for name in ("sop_class_uid", "sop_instance_uid", "transfer_syntax_uid")}
        refs.append(spool.put(instance.data_set, **where, calling=AETitle(MODALITY_TITLE), called=AETitle(NODE_TITLE), source="127.0.0.1"))
    in_order = tuple(sorted(refs, key=lambda ref: ref.sop_instance_uid))
    series, study = str(others[0].SeriesInstanceUID), str(others[0].StudyInstanceUID)
    file = folder / f"stored-{number}"
    file.write_bytes(codec.dump(StoredSeries(series, study, in_order, CompletenessRule.COUNT, AETitle(MODALITY_TITLE))))
    return Study([encode(instance) for instance in made], str(made[0].StudyInstanceUID), file)


def _make_images(name: str, number: int, slices: int, pixels: int) -> list[Dataset]:
    """A bright ball in a grey block, in another place for each number."""
    side_mm = _SIDE_MM / pixels
    place = np.arange(pixels) * side_mm - _SIDE_MM / 2
    in_plane = (place[:, None] - 5.0 * number) ** 2 + place**2

    def draw(dataset: Dataset, index: int) -> None:
        is_ball = in_plane + (index - slices / 2) ** 2 < _RADIUS_MM**2
        dataset.Rows = dataset.Columns = pixels
        dataset.PixelData = np.where(is_ball, np.uint16(1024 + _BALL_HU), np.uint16(1024 + _BLOCK_HU)).tobytes()

    return make_series(
        lambda lps: np.zeros(lps.shape[:-1]),
        shape=(slices, 4, 4),
        spacing_mm=(1.0, side_mm, side_mm),
        name=name,
        patient={"PatientID": f"BENCH-{number}"},
        change=draw,
    )


def _write_trivial_package(folder: Path) -> Path:
    """A threshold as a network of one layer, once over the whole volume on a coarse grid: what is timed is the way, not the model."""
    window = "window = { size = [16, 16, 16], overlap = 0.25, batch = 2 }\n"
    assert window in BRIGHT
    bright_package(folder, _BALL_HU / 2, stages=BRIGHT.replace(window, "").replace("[3.0, 3.0, 3.0]", "[6.0, 6.0, 6.0]"))
    return folder


def _headers_alone(made: Sequence[Dataset]) -> Iterator[Dataset]:
    for instance in made:
        header = Dataset()
        header.update({element.tag: element for element in instance if element.tag < 0x7FE00000})
        header.file_meta = instance.file_meta
        yield header


def _send(node: NodeProcess, study: Study, pacs: Archive) -> float:
    """From the last response to the last result that the PACS has taken."""
    before = len(pacs.record)
    with Modality(node.port) as modality:
        for instance in study.sent:
            assert modality.store(instance) == 0
        begin = time.perf_counter()
    assert pacs.wait_for(lambda archive: len(archive.record) == before + _RESULTS, _LIMIT_S), node.log.read_text(encoding="utf-8")[-3000:]
    return time.perf_counter() - begin


def _run_straight(straight: "subprocess.Popen[str]", study: Study, pacs: Archive) -> float:
    before = len(pacs.record)
    assert straight.stdin is not None
    begin = time.perf_counter()
    straight.stdin.write(f"{study.stored}\n")
    straight.stdin.flush()
    assert pacs.wait_for(lambda archive: len(archive.record) == before + _RESULTS, _LIMIT_S)
    seconds = time.perf_counter() - begin
    _read_line(straight)
    return seconds


def _compare(pacs: Archive) -> list[str]:
    """Both make of the same pixels objects of the same classes and pixel data."""

    def pixels(stored: Stored) -> bytes:
        content = (pacs.folder / f"{stored.sop_instance_uid}.dcm").read_bytes()
        return content[content.rfind(b"\xe0\x7f\x10\x00OB") :]

    ours, theirs = pacs.record[-4:-2], pacs.record[-2:]
    if [one.sop_class_uid for one in ours] != [one.sop_class_uid for one in theirs]:
        return ["latency: node and straight program made other objects"]
    return [] if pixels(ours[0]) == pixels(theirs[0]) else ["latency: node and straight program made other masks"]


def _read_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the straight program ended"
    return line
