"""The network: one small trunk looks at every plane; a second head weighs the planes against each other."""

from __future__ import annotations

import torch
from torch import nn

FEATURES = (24, 48, 96)
CHANNEL_OFFSETS_MM = (-6.0, -3.0, 0.0, 3.0, 6.0)  # towards the head; a vessel goes on where a nodule ends


class NoduleNetwork(nn.Module):
    """Patch (n, 5, 40, 40) of 0..1 to logit (n, 1) for "a nodule is in the middle".

    Three blocks of two convolutions, then the strongest response of each feature, per plane. The logit is that of the
    middle plane alone plus what the planes above and below have to say; the planes at the same distance are
    exchangeable, since up and down mean nothing to a nodule.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for block, features in enumerate(FEATURES):
            if block:
                layers.append(nn.MaxPool2d(2))
            for _ in range(2):
                layers += [nn.Conv2d(before, features, 3, padding=1, bias=False), nn.BatchNorm2d(features), nn.ReLU()]
                before = features
        self.trunk = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.plane_head = nn.Linear(before, 1)
        self.stack_head = nn.Sequential(nn.Linear(5 * before, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))

    def look(self, plane: torch.Tensor) -> torch.Tensor:
        """Give the features (n, 96) of planes (n, 1, 40, 40)."""
        features: torch.Tensor = self.trunk(plane * 2 - 1).amax(dim=(2, 3))
        return features

    def judge_plane(self, plane: torch.Tensor) -> torch.Tensor:
        """Give the logit (n, 1) of a single plane (n, 1, 40, 40); trained where there is but one slice."""
        logit: torch.Tensor = self.plane_head(self.dropout(self.look(plane)))
        return logit

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        planes = patch.reshape(-1, 1, patch.shape[2], patch.shape[3])
        return self.judge_stack(self.look(planes).reshape(-1, patch.shape[1], FEATURES[-1]))

    def judge_stack(self, features: torch.Tensor) -> torch.Tensor:
        """Give the logit (n, 1) of the features (n, 5, 96) of five planes."""
        below2, below1, middle, above1, above2 = features.unbind(dim=1)
        pairs = [
            part
            for below, above in ((below1, above1), (below2, above2))
            for part in (torch.maximum(below, above), torch.minimum(below, above))
        ]
        together = self.dropout(torch.cat([middle, *pairs], dim=1))
        logit: torch.Tensor = self.plane_head(middle) + self.stack_head(together)
        return logit
