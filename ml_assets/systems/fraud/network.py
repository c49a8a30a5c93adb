"""The network that judges a payment."""

from __future__ import annotations

import torch
from torch import nn

from ml_assets.training.encoding.shapes import Shapes
from ml_assets.training.networks.columns import Arrays, BrokenLines


class FraudNet(nn.Module):
    """Two hidden layers over what is known of a payment: each number as it is, whether it is
    missing, and as a broken line, so that what matters from some size on is found there.
    """

    def __init__(
        self, inputs: Shapes, hidden: int = 64, pieces: int = 8, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.lines = BrokenLines(len(inputs.numbers), pieces)
        self.layers = nn.Sequential(
            nn.Linear((2 + pieces) * len(inputs.numbers), hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))

    def learn(self, arrays: Arrays) -> None:
        """Where the lines break: by the training rows, not by the optimiser."""
        self.lines.learn(arrays["numbers"], arrays["missing"])

    def forward(self, numbers: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        known = torch.cat([numbers, missing, self.lines(numbers, missing)], dim=1)
        logits: torch.Tensor = self.layers(known)
        return logits
