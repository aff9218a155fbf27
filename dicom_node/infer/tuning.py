"""With how many threads and items at once a network is fastest on this machine: tried once, when a person asks, and kept.

The results hang on neither, but for rounding.
"""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from dicom_node.errors import ModelUnusable
from dicom_node.package import HeatMapDetect, NetworkClassify, NetworkSegment, Package
from dicom_node.values import Provider, Trial

from .sessions import CANNOT_RUN, Sessions, Setting
from .windows import Network

_BATCHES = (1, 2, 4)
_ROUNDS = 5
_WORTH_IT = 0.95  # of the time of what is used untuned: less than that is noise, and no reason to change anything


@dataclass(frozen=True, slots=True)
class _Item:
    """What a network gets at once: the shape of one window or patch, and how many the package declares."""

    shape: tuple[int, ...]
    batch: int


def try_settings(package: Package, threads: int, provider: Provider, monotonic: Callable[[], float]) -> tuple[Trial, ...]:
    """Each network of the package that takes items of one size, with 1 to `threads` threads and several batches; one of each is kept.

    Rounds are interleaved, so that what else the machine does meanwhile is in all. Raises ModelUnusable or ProviderUnavailable.
    """
    return tuple(trial for model, item in _items(package).items() for trial in _try(package, model, item, threads, provider, monotonic))


def _try(package: Package, model: str, item: _Item, threads: int, provider: Provider, monotonic: Callable[[], float]) -> Iterator[Trial]:
    networks = {count: Sessions(count, provider).network(package, model) for count in _thread_counts(threads)}
    untuned = Setting(threads, item.batch)
    settings = [Setting(count, batch) for count in networks for batch in sorted({*_BATCHES, item.batch})]
    seconds: dict[Setting, list[float]] = {}
    for setting in settings:
        network = networks[setting.threads]
        if _runs(network, item, setting.batch) or setting == untuned:
            seconds[setting] = []
    for _ in range(_ROUNDS):
        for setting, measured in seconds.items():
            given = _make_input(item, setting.batch)
            begin = monotonic()
            networks[setting.threads](given)
            measured.append((monotonic() - begin) / setting.batch)
    medians = {setting: statistics.median(measured) for setting, measured in seconds.items()}
    kept = choose(medians, untuned)
    for setting, median_s in medians.items():
        yield Trial(model, setting.threads, setting.batch, round(1000 * median_s, 3), is_kept=setting == kept)


def choose(seconds: Mapping[Setting, float], untuned: Setting) -> Setting:
    """The fastest, where it is clearly faster than what is used untuned."""
    fastest = min(seconds, key=lambda setting: (seconds[setting], setting.threads, setting.batch))
    return fastest if seconds[fastest] < _WORTH_IT * seconds[untuned] else untuned


def _runs(network: Network, item: _Item, batch: int) -> bool:
    """Whether a network takes so many at once, and the memory does; it is warm then."""
    try:
        network(_make_input(item, batch))
    except (ModelUnusable, MemoryError, *CANNOT_RUN):
        return False
    return True


def _make_input(item: _Item, batch: int) -> Any:
    """Numbers of any kind: how long a network takes does not hang on them."""
    shape = (batch, *item.shape)
    return np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _items(package: Package) -> dict[str, _Item]:
    """By model; one that sees the whole of a volume at once has no size of its own, and is left as it is."""
    items: dict[str, _Item] = {}
    for stage in package.manifest.stages:
        match stage:
            case NetworkClassify():
                items.setdefault(stage.model, _Item((len(stage.channel_offsets_mm), *stage.size), stage.batch))
            case NetworkSegment(slice_wise=True) if stage.window is not None:
                items.setdefault(stage.model, _Item((1, *stage.window.size[1:]), stage.window.batch))
            case NetworkSegment() | HeatMapDetect() if stage.window is not None:
                items.setdefault(stage.model, _Item((1, *stage.window.size), stage.window.batch))
    return items


def _thread_counts(most: int) -> list[int]:
    """1, 2, 4, ... and the most."""
    return sorted({*(2**power for power in range(most.bit_length()) if 2**power <= most), most})


# -- what is kept -------------------------------------------------------------------------------------------------------------


def describe_device(threads: int, provider: Provider) -> str:
    """What a measurement holds for: provider, processor, the threads that may be used, release of ONNX Runtime."""
    return f"{provider}, {_processor()}, {threads} threads, ONNX Runtime {ort.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def read_settings(file: Path, device: str) -> dict[tuple[str, str], Setting]:
    """The settings kept for a device, by package digest and model. What cannot be read is as if nothing had been tuned."""
    kept = _read(file).get(device, {})
    try:
        return {
            (digest, model): Setting(int(setting["threads"]), int(setting["batch"]))
            for digest, models in kept.items()
            for model, setting in models.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def keep_settings(file: Path, device: str, digest: str, trials: Sequence[Trial]) -> None:
    """Write down what was chosen for a package, beside what is kept for other devices and packages; whole or not at all."""
    everything = _read(file)
    chosen = {trial.model: {"threads": trial.threads, "batch": trial.batch} for trial in trials if trial.is_kept}
    everything.setdefault(device, {})[digest] = chosen
    partial = file.with_suffix(".part")
    file.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", encoding="utf-8") as target:
        json.dump(everything, target, indent=1)
        target.flush()
        os.fsync(target.fileno())
    partial.replace(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
