"""Train the network in two steps and write it as ONNX.

    PYTHONPATH=. python models/ct-lung-nodule/training/train.py --data ../shared/data/ct --out models/ct-lung-nodule/nodule.onnx

First trunk and plane head on single planes, of which there are many; then, with the trunk frozen, the small head that
weighs five planes against each other. Every random number comes from --seed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from augment import augment, augment_stack, derive_view
from datasets import Table, read_luna16_patches, read_slice_table, read_training
from network import CHANNEL_OFFSETS_MM, NoduleNetwork
from patches import SIZE
from scans import read_slices
from splits import held_out_patients
from stacks import Stacks, read_stacks

BATCH = 128
VIEWS = 3                                         # random views of each stack in the second step
STACK_STEPS = 1500
RATE = 3e-3
# How often a patch is drawn per epoch, by source and label. The LUNA16 patches are the most varied but not quite of
# the right size; the slices are; cubes give five views of one nodule.
DRAWS = {
    ("luna16_candidates_2d", 1): 3.0,
    ("luna16_candidates_2d", 0): 1.0,
    ("slices", 1): 6.0,
    ("slices", 0): 0.5,
    ("cubes", 1): 1.5,
    ("volumes", 1): 6.0,
    ("scan", 1): 20.0,
    ("scan", 0): 0.5,
}
STACK_DRAWS = {
    ("cubes", 1): 1.0,
    ("volumes", 1): 2.0,
    ("scan", 1): 3.0,
    ("balls", 1): 0.35,
    ("cubes", 0): 0.4,
    ("scan", 0): 1.0,
    ("vessels", 0): 0.9,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="train the nodule network and write it as ONNX")
    parser.add_argument("--data", type=Path, required=True, help="the folder data/ct")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--epochs", type=int, default=14, help="of the first step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="where to keep the weights after each epoch of the first step")
    parser.add_argument("--planes", type=Path, help="weights of a finished first step: do the second only")
    options = parser.parse_args()

    network = NoduleNetwork()
    if options.planes is None:
        watch = _watched(options.data)
        train_planes(
            network, read_training(options.data), epochs=options.epochs, seed=options.seed, watch=watch, keep=options.checkpoint
        )
    else:
        network.load_state_dict(torch.load(options.planes))
    train_stacks(network, read_stacks(options.data), seed=options.seed)
    write_onnx(network, options.out)


def train_planes(
    network: NoduleNetwork, table: Table, *, epochs: int, seed: int, watch: dict[str, Table], keep: Path | None
) -> None:
    """Train trunk and plane head on single planes; `watch` is only printed, nothing is chosen by it."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network.to(memory_format=torch.channels_last)
    draws = _draws(table.source, table.label, DRAWS)
    steps = epochs * int(np.ceil(draws.sum() / BATCH))
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + epochs)
    for epoch in range(epochs):
        started = time.monotonic()
        order = _draw(draws, rng)
        network.train()
        losses: list[float] = []
        for chosen in np.array_split(order, int(np.ceil(len(order) / BATCH))):
            view = augment(table.patch[chosen], table.pixel_mm[chosen], rng).to(memory_format=torch.channels_last)
            loss = functional.binary_cross_entropy_with_logits(network.judge_plane(view)[:, 0], _soften(table.label[chosen]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        seen = {name: roc_auc_score(watched.label, score(network, watched)) for name, watched in watch.items()}
        print(
            f"epoch {epoch + 1}/{epochs} loss {np.mean(losses):.4f}",
            *(f"{name} AUC {auc:.4f}" for name, auc in seen.items()),
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
        if keep is not None:
            torch.save(network.state_dict(), keep)


def train_stacks(network: NoduleNetwork, stacks: Stacks, *, seed: int) -> None:
    """Train the stack head on features of random views; the trunk stays as it is, for these patients are few."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network.eval()
    features = torch.cat([_look_at_stacks(network, stacks, rng) for _ in range(VIEWS)])
    label = np.tile(stacks.label, VIEWS)
    weights = np.tile(_draws(stacks.source, stacks.label, STACK_DRAWS), VIEWS)
    weights /= np.where(label == 1, weights[label == 1].sum(), weights[label == 0].sum()) * 2
    network.train()
    optimiser = torch.optim.AdamW(network.stack_head.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STACK_STEPS)
    losses: list[float] = []
    for _ in range(STACK_STEPS):
        drawn = rng.choice(len(label), BATCH, p=weights)
        loss = functional.binary_cross_entropy_with_logits(network.judge_stack(features[drawn])[:, 0], _soften(label[drawn]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    print(f"stacks: loss {np.mean(losses[:100]):.4f} at first, {np.mean(losses[-100:]):.4f} at last", flush=True)


def _look_at_stacks(network: NoduleNetwork, stacks: Stacks, rng: np.random.Generator) -> torch.Tensor:
    """Give the features (n, 5, 96) of one random view of each stack."""
    parts: list[torch.Tensor] = []
    with torch.no_grad():
        for chosen in np.array_split(np.arange(len(stacks.label)), max(1, len(stacks.label) // 32)):
            view = augment_stack(stacks.stack[chosen], rng)
            planes = network.look(view.reshape(-1, 1, SIZE, SIZE).to(memory_format=torch.channels_last))
            parts.append(planes.reshape(len(chosen), len(CHANNEL_OFFSETS_MM), -1))
    return torch.cat(parts)


def score(network: NoduleNetwork, table: Table) -> NDArray[np.float64]:
    """Give the mean logit of the single plane over four rotations for each patch of a table."""
    network.eval()
    logits: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for chosen in np.array_split(np.arange(len(table.label)), max(1, len(table.label) // 256)):
            view = derive_view(table.patch[chosen], table.pixel_mm[chosen])
            turned = [network.judge_plane(torch.rot90(view, quarter, (2, 3))) for quarter in range(4)]
            logits.append(torch.stack(turned).mean(dim=0)[:, 0].numpy())
    return np.concatenate(logits).astype(np.float64)


def write_onnx(network: NoduleNetwork, path: Path) -> None:
    """Write the network with input `patch` (n, 5, 40, 40) and output `logit` (n, 1)."""
    network = network.eval().to(memory_format=torch.contiguous_format)
    torch.onnx.export(
        network,
        (torch.zeros(2, len(CHANNEL_OFFSETS_MM), SIZE, SIZE),),
        str(path),
        input_names=["patch"],
        output_names=["logit"],
        dynamic_axes={"patch": {0: "n"}, "logit": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)


def _soften(label: NDArray[np.uint8]) -> torch.Tensor:
    """Readers disagree on one in twenty; a network that is never quite sure keeps its logits usable."""
    return torch.from_numpy(label).float() * 0.94 + 0.03


def _draws(
    source: NDArray[np.str_], label: NDArray[np.uint8], table: dict[tuple[str, int], float]
) -> NDArray[np.float64]:
    """Say how often each row is drawn, by its source and label."""
    return np.array([table[key.split("/")[0], int(value)] for key, value in zip(source, label, strict=True)])


def _draw(draws: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    whole = np.floor(draws)
    times = (whole + (rng.random(len(draws)) < draws - whole)).astype(np.int64)
    return rng.permutation(np.repeat(np.arange(len(draws)), times))


def _watched(folder: Path) -> dict[str, Table]:
    held_out = held_out_patients(read_slices(folder))
    return {"held-out blocks": read_luna16_patches(folder)[1], "held-out slices": read_slice_table(folder, patients_in=held_out)}


if __name__ == "__main__":
    main()
