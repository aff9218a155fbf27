"""The network: three blocks of two convolutions, the strongest response of each feature, one logit."""

from __future__ import annotations

import torch
from torch import nn

FEATURES = (24, 48, 96)


class NoduleNetwork(nn.Module):
    """Patch (n, 1, 40, 40) of 0..1 to logit (n, 1) for "a nodule is in the middle"."""

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
        self.head = nn.Linear(before, 1)

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        # Without the mean, "somewhere in the picture" would do; the maximum alone is blind to the middle only in
        # theory: padding lets the third block know where the border is.
        response = self.trunk(patch * 2 - 1)
        logit: torch.Tensor = self.head(self.dropout(response.amax(dim=(2, 3))))
        return logit
