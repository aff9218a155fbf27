"""What a study costs where there are many: studies that wait, slices of one study, models that each analyse it.

How the cost grows with what the journal knows is another measurement: `make scale` (docs/capacity.md).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.faults.studies import encode_study, write_package
from tests.make.series import make_series, write_series
from tests.peers.archive import Archive
from tests.peers.modality import Modality, encode
from tests.peers.node import MODALITY_TITLE, NodeProcess, started, stopped_inference, write_node
from tests.peers.waiting import wait_until

from .calm import wait_until_calm
from .figures import Figures

_LIMIT_S = 900.0
_OBJECTS = 2  # of a result


@dataclass
class Growth:
    """Seconds by what grew and how far: for a study that waited with others, for a study, for a model."""

    seconds: Figures = field(default_factory=Figures)


def measure(folder: Path, *, rounds: int, studies: Sequence[int], slices: Sequence[int], models: Sequence[int]) -> Growth:
    growth = Growth()
    for turn in range(rounds):
        for count in studies:
            growth.seconds.add(("studies", count), _time_studies(folder / f"studies-{turn}-{count}", count) / count)
        for count in slices:
            growth.seconds.add(("slices", count), _time_study(folder / f"slices-{turn}-{count}", count, models=1))
        for count in models:
            growth.seconds.add(("models", count), _time_study(folder / f"models-{turn}-{count}", 100, models=count) / count)
    return growth


def _time_studies(folder: Path, count: int) -> float:
    """From the moment when models run again to the last of all results; all studies waited for that."""
    with Archive(folder / "pacs", ae_title="PACS", commits=False) as pacs:
        node = _write(folder, pacs, {}, [write_package(folder / "bright", overlap=0.25)])
        with started(node):
            _settle(node)
            with stopped_inference(node):
                with Modality(node.port) as modality:
                    for number in range(count):
                        for instance in encode_study(f"queued {number}"):
                            assert modality.store(instance) == 0
                complete = "a series is not complete"
                wait_until(lambda: len(node.events("SeriesComplete")) == count, limit_s=_LIMIT_S, what=complete)
                begin = time.perf_counter()
            assert pacs.wait_for(lambda archive: len(archive.record) == _OBJECTS * count, _LIMIT_S)
            return time.perf_counter() - begin


def _settle(node: NodeProcess) -> None:
    assert node.process is not None
    wait_until_calm([node.process.pid])


def _time_study(folder: Path, slices: int, models: int) -> float:
    """From the last response to the last result."""
    study = _make_study(slices)
    with Archive(folder / "pacs", ae_title="PACS", commits=False) as pacs:
        images = folder / "modality"
        write_series(study, images)
        with Archive(images, ae_title=MODALITY_TITLE, commits=False) as sender:
            peers = {"modality": {"ae_title": MODALITY_TITLE, "host": "127.0.0.1", "port": sender.port, "may": ["send", "count"]}}
            packages = [_write_model(folder / f"bright-{number}", number) for number in range(models)]
            with started(_write(folder, pacs, peers, packages)) as node:
                _settle(node)
                encoded = [encode(instance) for instance in study]
                with Modality(node.port) as modality:
                    for instance in encoded:
                        assert modality.store(instance) == 0
                    begin = time.perf_counter()
                assert pacs.wait_for(lambda archive: len(archive.record) == _OBJECTS * models, _LIMIT_S)
                return time.perf_counter() - begin


def _write(folder: Path, pacs: Archive, peers: Mapping[str, Mapping[str, object]], packages: Sequence[Path]) -> NodeProcess:
    destination = {"pacs": {"ae_title": "PACS", "host": "127.0.0.1", "port": pacs.port, "may": ["receive"]}}
    quiet = {"quiet_s": 60.0, "count_after_s": 30.0} if peers else {"quiet_s": 1.0}
    return write_node(folder / "node", peers={**destination, **peers}, models=packages, settings={"assemble": quiet})


def _write_model(folder: Path, number: int) -> Path:
    """The same model under another name, and so another model."""
    write_package(folder, overlap=0.25)
    manifest = folder / "package.toml"
    named = manifest.read_text(encoding="utf-8").replace('name = "example"', f'name = "example-{number}"', 1)
    manifest.write_text(named, encoding="utf-8")
    return folder


def _make_study(slices: int) -> list[Dataset]:
    def sample(lps: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.linalg.norm(lps, axis=-1) < 12.0, 1200.0, -50.0)

    return make_series(sample, shape=(slices, 64, 64), spacing_mm=(0.5, 1.5, 1.5), name=f"growth {slices}")
