"""Label maps by a network over the volume, on the source grid."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from scipy import ndimage

from dicom_node.package import NetworkSegment, Window
from dicom_node.package.stages import Limits
from dicom_node.values import Reason, ScoreMap, Volume
from dicom_node.values.reasons import NotANumber, OutsideLimits

from .inputs import Floats, Labels, grid_of, labels_on_source, prepare
from .scores import make_score_map, quantise, sigmoid, with_room
from .windows import Network, is_finite, slide, with_channels


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """Labels, 0 is background, on the source grid; and the scores that they were chosen by, where these were wanted."""

    labels: Labels
    scores: ScoreMap | None = None


def find_labels(volume: Volume, stage: NetworkSegment, network: Network, *, wants_scores: bool = False) -> LabelMap | Reason:
    """The network's label map; NotANumber where any of its values is none.

    Logits are averaged over windows; the choice of a label is made on the network's grid, its outline is interpolated back. The score of
    a voxel is that it is anything but background.
    """
    values, grid = prepare(volume, stage.input, stage.intensity)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    scores = with_room(grid) if wants_scores else None
    window = _window(stage, grid.shape)
    run = _slice_wise(network) if stage.slice_wise else network
    for first, output in slide(values, window, with_channels(run, window, stage.model)):
        if not is_finite(output):
            return NotANumber(stage.name)
        for number in range(output.shape[1]):  # of a whole slab the places of the largest values take twice the volume
            labels[first + number] = _choose(output[:, number], stage)
            if scores is not None:
                scores[first + number] = quantise(_score(output[:, number], stage))
    labels = _clean(labels, stage, grid.voxel_mm3)
    source = grid_of(volume.geometry)
    made = None if scores is None else make_score_map(stage.name, scores, grid, source)
    return LabelMap(labels_on_source(labels, grid, source), made)


def _window(stage: NetworkSegment, shape: tuple[int, int, int]) -> Window | None:
    """The stage's window; for a network of slices, one slice high."""
    if not stage.slice_wise:
        return stage.window
    if stage.window is None:
        return Window(size=(1, *shape[1:]), overlap=0.0, weights="constant")
    return stage.window.model_copy(update={"size": (1, *stage.window.size[1:])})


def _slice_wise(network: Network) -> Network:
    """A network of slices (N, 1, rows, columns) on windows that are one slice high."""
    return lambda batch: network(batch[:, :, 0])[:, :, None]


def check_limits(labels: Labels, voxel_mm3: float, stage: str, limits: Limits | None, least_ml: float) -> Reason | None:
    """OutsideLimits where the labels' whole volume is not what the package allows; `least_ml` holds where it sets no limits."""
    lowest, highest = (least_ml, 1e9) if limits is None else (max(limits.lowest_ml, least_ml), limits.highest_ml)
    volume_ml = round(np.count_nonzero(labels) * voxel_mm3 / 1000, 1)
    if lowest <= volume_ml <= highest:
        return None
    return OutsideLimits(stage, "volume (mL)", volume_ml, lowest, highest)


def _choose(output: Floats, stage: NetworkSegment) -> Labels:
    """(channels, rows, columns) to labels. Of overlapping sigmoid masks the strongest wins."""
    match stage.activation:
        case "argmax":
            return np.asarray(output.argmax(axis=0), dtype=np.uint8)
        case "sigmoid":
            logit = np.float32(np.log(stage.threshold / (1 - stage.threshold)))
            best = output.argmax(axis=0)
            return np.where(output.max(axis=0) > logit, best + 1, 0).astype(np.uint8)
        case _:
            assert_never(stage.activation)


def _score(output: Floats, stage: NetworkSegment) -> Floats:
    """(channels, rows, columns) to the score that a voxel is not background: of masks on their own, the highest one's."""
    strongest = output.max(axis=0)
    match stage.activation:
        case "argmax":
            shares = np.exp(output - strongest)
            return np.asarray(1 - shares[0] / shares.sum(axis=0), dtype=np.float32)
        case "sigmoid":
            return sigmoid(strongest)
        case _:
            assert_never(stage.activation)


def _clean(labels: Labels, stage: NetworkSegment, voxel_mm3: float) -> Labels:
    """Per label, the largest connected components that are large enough."""
    if stage.keep_largest is None and stage.smallest_ml <= 0:
        return labels
    cleaned = np.zeros_like(labels)
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        parts, _ = ndimage.label(labels[box] == value)
        volumes = np.bincount(parts.ravel())
        volumes[0] = 0
        volumes[volumes * voxel_mm3 < stage.smallest_ml * 1000] = 0
        largest = np.argsort(-volumes, kind="stable")[: stage.keep_largest]
        cleaned[box][np.isin(parts, largest[volumes[largest] > 0])] = value
    return cleaned
