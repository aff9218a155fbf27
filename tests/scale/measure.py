"""What one receiver, one worker and one journal do on this machine: the figures that `dicom-node plan` counts with.

Everything is real: a node of its own, associations from outside, PostgreSQL. What sends runs on the same cores, so that the figures are
rather too low than too high.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from tests.faults.studies import write_package
from tests.make.series import make_series
from tests.make.study import make_chest
from tests.peers.archive import Archive
from tests.peers.modality import Modality
from tests.peers.node import NodeProcess, stopped_inference, write_node
from tests.peers.sender import CT_IMAGE, EXPLICIT_LITTLE, RawAssociation
from tests.peers.waiting import wait_until
from tests.promises.studies import wait_until_done
from tests.receive.receiving import make_data_set

from .fill import Filler, Pace
from .names import name_study
from .simulate import begin, open_databases, size_bytes
from .way import Way, open_way

_ASSOCIATIONS, _IMAGES = 8, 150  # of each association; 512 x 512 pixels of two bytes
_FRAME_BYTES = 524_288
_SIZES, _STUDIES = (20, 80), 4  # slices of the studies whose work is timed, and how many of each
_LIMIT_S = 300.0


def measure(database_studies: int = 2000) -> dict[str, Any]:
    """All figures, as `measured.toml` has them."""
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        rates = {**measure_receiving(Path(folder) / "receive"), **measure_work(Path(folder) / "work"), "network_mb_per_s": 125.0}
        rates["result_bytes"] = measure_result(Path(folder) / "result")
        journals = {kind: measure_journal(kind, Path(folder) / kind, database_studies) for kind in ("sqlite", "postgresql")}
    return {"rates": rates, "journals": journals}


# -- receiving --------------------------------------------------------------------------------------------------------------


def measure_receiving(folder: Path) -> dict[str, float]:
    """Images a second of one receiver, from several associations at once, each image durable before it is acknowledged."""
    node = write_node(folder, models=[write_package(folder / "package")], settings={"assemble": {"quiet_s": 600.0}})
    node.start()
    wait_until(lambda: node.events("PackageInService"), limit_s=60, what=node._log_end)  # the worker has nothing to do then
    try:
        with ThreadPoolExecutor(_ASSOCIATIONS) as pool:
            start = time.perf_counter()
            sent_bytes = sum(pool.map(lambda number: _send(node.port, number), range(_ASSOCIATIONS)))
            seconds = time.perf_counter() - start
        files = sum(path.stat().st_size for path in (node.folder / "data" / "spool").rglob("*.dcm"))
    finally:
        node.kill()
    images = _ASSOCIATIONS * _IMAGES
    return {
        "receiver_images_per_s": images / seconds,
        "receiver_mb_per_s": sent_bytes / seconds / 1e6,
        "spool_bytes_per_slice": (files - sent_bytes) / images,
    }


def _send(port: int, number: int) -> int:
    sent_bytes = 0
    with RawAssociation(port, [(CT_IMAGE, [EXPLICIT_LITTLE])]) as association:
        for index in range(_IMAGES):
            uid = f"2.25.{1000 * number + index}"
            content = make_data_set(
                uid,
                study_instance_uid=f"2.25.7{number}",
                series_instance_uid=f"2.25.8{number}",
                pixels=index.to_bytes(2, "little") * (_FRAME_BYTES // 2),
            )
            assert association.store(content, CT_IMAGE, uid).status == 0
            sent_bytes += len(content)
        association.release()
    return sent_bytes


# -- the work of a study ------------------------------------------------------------------------------------------------------


def measure_work(folder: Path) -> dict[str, float]:
    """Seconds of a study in a worker, the model's own left out, for two sizes: what each study and what each slice takes."""
    seconds = [_time_studies(folder / str(slices), slices) for slices in _SIZES]
    per_slice = max(0.0, (seconds[1] - seconds[0]) / (_SIZES[1] - _SIZES[0]))
    return {"work_s_per_study": max(0.0, seconds[0] - _SIZES[0] * per_slice), "work_s_per_slice": per_slice}


def _time_studies(folder: Path, slices: int) -> float:
    """Studies that are all complete before the first is analysed, one after the other; from then to the last one's proof."""
    with Archive(folder / "archive") as pacs:
        peer = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["receive", "count"]}
        node = write_node(folder / "node", peers={"pacs": peer}, models=[write_package(folder / "package", overlap=0.0)])
        node.start()
        wait_until(lambda: node.events("PackageInService"), limit_s=60, what=node._log_end)
        studies = [_make_study(f"{slices}-{number}", slices) for number in range(_STUDIES + 1)]
        try:
            with stopped_inference(node):
                _store(node, studies[0])
                wait_until(lambda: node.events("StudyJudged"), limit_s=_LIMIT_S, what=node._log_end)
                for study in studies[1:]:
                    _store(node, study)
                wait_until(lambda: len(node.events("SeriesComplete")) == len(studies), limit_s=_LIMIT_S, what=node._log_end)
            wait_until(lambda: node.events("InferenceDone"), limit_s=_LIMIT_S, every_s=0.01, what=node._log_end)
            start = time.perf_counter()
            wait_until(lambda: len(pacs.record) == 2 * len(studies), limit_s=_LIMIT_S, every_s=0.01, what=node._log_end)
            seconds = time.perf_counter() - start
            model_s = sum(event["seconds"] for event in node.events("ResultMade")[1:])
        finally:
            node.kill()
    return max(0.0, seconds - model_s) / _STUDIES


def _make_study(name: str, slices: int) -> list[Dataset]:
    """512 x 512 pixels a slice, as scanners make them, with one bright ball."""

    def sample(lps: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        return np.where(np.linalg.norm(lps, axis=-1) < 12.0, 600.0, -50.0)

    return make_series(sample, shape=(slices, 512, 512), spacing_mm=(3.0, 0.7, 0.7), name=name, patient={"PatientID": name})


def _store(node: NodeProcess, study: Sequence[Dataset]) -> None:
    with Modality(node.port) as modality:
        assert all(modality.store(instance) == 0 for instance in study)


def measure_result(folder: Path) -> float:
    """Bytes that stay of one study of the lung nodule package: values of its steps, result and objects."""
    with Archive(folder / "archive") as pacs:
        peer = {"ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port, "may": ["receive", "count"]}
        node = write_node(folder / "node", peers={"pacs": peer})
        node.start()
        try:
            study = make_chest()
            _store(node, study)
            wait_until_done(node, study[0].StudyInstanceUID)
            return float(sum(path.stat().st_size for path in (node.folder / "data" / "kept").rglob("*") if path.is_file()))
        finally:
            node.kill()


# -- the journal --------------------------------------------------------------------------------------------------------------


def measure_journal(kind: str, folder: Path, studies: int) -> dict[str, float]:
    """Receipts a second of 16 senders, seconds of a study's other writes, and bytes of rows from two fills of different shape."""
    folder.mkdir()
    with open_databases(kind, folder) as (thin, thick):
        sizes = [_fill(url, folder / name, studies, instances) for url, name, instances in ((thin, "thin", 4), (thick, "thick", 100))]
        with open_way(thick, folder / "thick") as way:
            receipt_s, study_s = _time_writes(way)
    per_instance = (sizes[1][0] - sizes[0][0]) / studies / 96
    return {
        "receipts_per_s": 1.0 / receipt_s,
        "study_s": study_s,
        "instance_bytes": per_instance,
        "study_bytes": max(0.0, sizes[0][0] / studies - 4 * per_instance),
        "jobs_bytes": max(0.0, sizes[0][1] / studies),
    }


def _fill(url: str, folder: Path, studies: int, instances: int) -> tuple[float, float]:
    """Bytes that the studies' own rows took, and those of the engine's."""
    with open_way(url, folder) as way:
        template = begin(way, instances, studies).template
        empty = size_bytes(url, way)
        Filler(template, Pace(jobs_days=0.0), instances, way.clock.now(), studies).fill(url, studies)
        own = size_bytes(url, way)
        # The same once more as jobs alone: the pace lets all of them stay.
        filler = Filler(template, Pace(studies_per_day=studies, jobs_days=1.0), instances, way.clock.now(), studies)
        filler.fill_jobs(url, studies)
        return own - empty, size_bytes(url, way) - own


def _time_writes(way: Way) -> tuple[float, float]:
    receipts, writes = [], []
    for number in range(20):
        named = name_study(1_700_000_000 + number)
        start = time.perf_counter()
        way.receive_at_once(named, range(200))
        between = time.perf_counter()
        way.complete(named)
        way.read(named)
        way.analyse(named)
        way.deliver(named)
        way.prove(named)
        receipts.append((between - start) / 200)
        writes.append(time.perf_counter() - between)
    return statistics.median(receipts), statistics.median(writes)


# -- the file -----------------------------------------------------------------------------------------------------------------


def as_toml(found: dict[str, Any], *, machine: str, date: str) -> str:
    """`measured.toml`."""
    said = "# What `dicom-node plan` counts with; what each figure means stands in capacity.py. Written by the command that it names.\n"
    lines = [said, "[measured]", f'machine = "{machine}"', f'date = "{date}"', 'command = "python -m tests.scale measure"', "", "[rates]"]
    lines += [f"{name} = {_written(value)}" for name, value in found["rates"].items()]
    for kind, figures in found["journals"].items():
        lines += ["", f"[journals.{kind}]", *(f"{name} = {_written(value)}" for name, value in figures.items())]
    return "\n".join(lines) + "\n"


def _written(value: float) -> str:
    """Three digits: more would claim more."""
    return f"{float(f'{value:.3g}'):.10g}" if value else "0.0"


def describe_machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} cores ({model}), {memory_gb:.0f} GB of memory, one virtual disk"
