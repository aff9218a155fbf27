"""`python -m tests.benchmarks.window [--rounds 5] [--without-torch]`: a network in windows, what that costs beside the network itself,
and MONAI's SlidingWindowInferer on torch with the same network, volume and windows, in turns, in one run.

MONAI and torch live in an environment of their own (tests/benchmarks/install), and run in a process of their own.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from dicom_node.infer.sessions import Sessions, count_threads
from dicom_node.infer.windows import Network, slide
from dicom_node.package import Window
from tests.infer.examples import bright_package, write_network
from tests.places import REPOSITORY

from .figures import Figures

Floats = npt.NDArray[np.float32]

TORCH_PYTHON = REPOSITORY / ".venv-bench" / "bin" / "python"
OURS, NETWORK, MONAI = "node, batch {}", "node, batch {}, in the network", "MONAI, sw_batch_size {}"
LARGEST_DIFFERENCE = 1e-4
_BATCHES = (1, 4)  # windows at once: which is faster hangs on network and engine, so each is compared in its faster one


@dataclass
class Windows:
    """Seconds for the whole volume, by inferer; how many windows that are; by how much the results differ, where there are two."""

    seconds: Figures = field(default_factory=Figures)
    count: int = 0
    difference: float | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def overhead(self) -> float:
        """The time outside the network by the time inside, of our own, with the batch that is worse for us."""
        return max(self.seconds.ratio(OURS.format(batch), NETWORK.format(batch)) for batch in _BATCHES) - 1

    @property
    def vs_monai(self) -> float:
        """Our time by MONAI's, each with the batch that is the faster one for it (`dicom-node models tune` finds ours)."""
        ours, theirs = (min((name.format(batch) for batch in _BATCHES), key=self.seconds.median) for name in (OURS, MONAI))
        return self.seconds.ratio(ours, theirs)

    def compare(self) -> None:
        """A difference too large is an error, and so is one that is no number."""
        if self.difference is None or not self.difference <= LARGEST_DIFFERENCE:
            self.wrong.append(f"the results differ from MONAI's by {self.difference}, more than {LARGEST_DIFFERENCE:g}")


def measure(
    folder: Path, *, rounds: int, with_torch: bool, size: int = 96, extent: tuple[int, int, int] = (144, 192, 192), overlap: float = 0.5
) -> Windows:
    """In each round everybody has a turn over the volume; the turn before the first is not counted.

    The extent is the window plus a multiple of the step, so that windows lie in the same places whoever places them.
    """
    windows = {batch: Window(size=(size, size, size), overlap=overlap, batch=batch) for batch in _BATCHES}
    step = int(size * (1 - overlap))
    assert all((whole - size) % step == 0 for whole in extent), "not the same places"
    package = bright_package(folder / "package", 0.0)
    model = folder / "package" / "bright.onnx"
    volume = np.random.default_rng(5).normal(size=extent).astype(np.float32)
    np.save(folder / "volume.npy", volume)
    measured = Windows(count=int(np.prod([(whole - size) // step + 1 for whole in extent])))
    if not with_torch:
        write_convolutions(model)
        network = Sessions(count_threads()).network(package, model.name)
        for turn, window in itertools.product(range(rounds + 1), windows.values()):
            _take_turn(measured, volume, window, network, is_counted=turn > 0)
        return measured
    with _start_monai(folder, model, size, overlap) as ask:
        network = Sessions(count_threads()).network(package, model.name)
        for turn in range(rounds + 1):
            for batch, window in windows.items():
                output = _take_turn(measured, volume, window, network, is_counted=turn > 0)
                seconds = ask(batch)
                if turn:
                    measured.seconds.add(MONAI.format(batch), seconds)
                else:
                    differs = np.abs(output - np.load(folder / "monai.npy")).max()
                    measured.difference = float(np.maximum(measured.difference or 0.0, differs))  # which keeps what is no number
    measured.compare()
    return measured


def _take_turn(measured: Windows, volume: Floats, window: Window, network: Network, *, is_counted: bool) -> Floats:
    """The whole output, as MONAI gives it; what the node does with it (the choice of a label) is not counted."""
    inside = 0.0

    def timed(batch: Floats) -> Floats:
        nonlocal inside
        begin = time.perf_counter()
        output = network(batch)
        inside += time.perf_counter() - begin
        return output

    begin = time.perf_counter()
    whole: Floats | None = None
    for first, part in slide(volume, window, timed):
        if whole is None:
            whole = np.empty((part.shape[0], *volume.shape), np.float32)
        whole[:, first : first + part.shape[1]] = part
    seconds = time.perf_counter() - begin
    assert whole is not None
    if is_counted:
        measured.seconds.add(OURS.format(window.batch), seconds)
        measured.seconds.add(NETWORK.format(window.batch), inside)
    return whole


def write_convolutions(file: Path, width: int = 12, classes: int = 3) -> None:
    """A network without torch that takes as long for a window as a small U-Net does: 3 x 3 x 3 convolutions at full resolution."""
    numbers = np.random.default_rng(3)
    nodes: list[Any] = []
    weights: dict[str, npt.ArrayLike] = {}
    channels, last = [1, width, width, classes], 2
    for layer in range(3):
        fan = 27 * channels[layer]
        weights[f"w{layer}"] = numbers.normal(scale=(2 / fan) ** 0.5, size=(channels[layer + 1], channels[layer], 3, 3, 3))
        given, made = ("x" if layer == 0 else f"r{layer - 1}"), ("y" if layer == last else f"c{layer}")
        nodes.append(helper.make_node("Conv", [given, f"w{layer}"], [made], pads=[1] * 6))
        if layer != last:
            nodes.append(helper.make_node("Relu", [made], [f"r{layer}"]))
    write_network(file, nodes, weights, ["n", 1, "d", "h", "w"], ["n", classes, "d", "h", "w"])


class _Ask:
    """MONAI's process: asked for a run with a batch, it answers with the seconds."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, batch: int) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{batch}\n")
        self._process.stdin.flush()
        return float(self.read()["seconds"])

    def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"MONAI's process ended with {self._process.wait(30)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def _start_monai(folder: Path, model: Path, size: int, overlap: float) -> Iterator[_Ask]:
    """When it has answered for the first time, the network is in the file `model`."""
    options = [f"--model={model}", f"--volume={folder / 'volume.npy'}", f"--output={folder / 'monai.npy'}", f"--size={size}"]
    options += [f"--overlap={overlap}", f"--threads={count_threads()}"]
    with subprocess.Popen(
        [TORCH_PYTHON, REPOSITORY / "tests" / "benchmarks" / "monai_window.py", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            ask = _Ask(process)
            ask.read()
            yield ask
        finally:
            process.kill()


def main() -> int:
    """0 where the results are MONAI's."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.window", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-torch", action="store_true", help="what windows cost beside the network, alone")
    options = parser.parse_args()
    if not options.without_torch and not TORCH_PYTHON.exists():
        print("no MONAI: run tests/benchmarks/install, or give --without-torch", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        measured = measure(Path(folder), rounds=options.rounds, with_torch=not options.without_torch)
    print(f"{measured.count} windows of 96 x 96 x 96, {options.rounds} rounds, {os.cpu_count()} cores; seconds, median (least to most)\n")
    print(as_table(measured, with_torch=not options.without_torch))
    for line in measured.wrong:
        print(line, file=sys.stderr)
    against = "" if options.without_torch else f" vs_monai={measured.vs_monai:.3f} difference={measured.difference:.2g}"
    print(f"bench: window_overhead={measured.overhead:.4f}{against}")
    return 1 if measured.wrong else 0


def as_table(measured: Windows, *, with_torch: bool) -> str:
    """Markdown: each inferer's seconds, and what the node's with the same batch are of them."""
    lines = ["| inferer | s | node's time / its |", "|---|---|---|"]
    for batch in _BATCHES:
        ours, *others = (name.format(batch) for name in (OURS, NETWORK, *([MONAI] if with_torch else [])))
        lines += [f"| {name} | {measured.seconds.spread(name)} | {measured.seconds.ratio(ours, name):.3f} |" for name in (ours, *others)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
