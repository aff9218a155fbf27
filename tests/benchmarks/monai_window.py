"""The peer of `window.py`: MONAI's SlidingWindowInferer round a 3D U-Net on torch. Run with the Python of .venv-bench, not with the node's.

Writes the network as ONNX and says that it is ready; then each line on standard input is a batch, answered with the seconds of a run over
the volume. The first run's output is kept in a file.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "volume", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--overlap", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = make_network()
    export(network, options.model, options.size)
    volume = torch.from_numpy(np.load(options.volume))[None, None]
    answer({})
    for line in sys.stdin:
        inferer = SlidingWindowInferer((options.size,) * 3, sw_batch_size=int(line), overlap=options.overlap, mode="gaussian")
        begin = time.perf_counter()
        with torch.inference_mode():
            output = inferer(volume, network)
        seconds = time.perf_counter() - begin
        if not options.output.exists():
            np.save(options.output, output[0].numpy())
        answer({"seconds": seconds})


def make_network() -> torch.nn.Module:
    """As MONAI's bundle for the spleen on CT has it (its window, too, has 96 voxels a side), but for the weights, which are drawn.

    Their norms' statistics are drawn too, so that a wrong order of operations would show.
    """
    torch.manual_seed(3)
    network = UNet(3, 1, 2, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2, norm="batch").eval()
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, torch.nn.BatchNorm3d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
    return network


def export(network: torch.nn.Module, file: Path, size: int) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
        torch.onnx.export(network, (torch.zeros(1, 1, size, size, size),), str(file), dynamo=False, **names)


def answer(what: dict[str, float]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
