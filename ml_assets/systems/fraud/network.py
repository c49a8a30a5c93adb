"""The network that judges a payment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from ml_assets.training.encoding.shapes import Shapes


class FraudNet(nn.Module):
    """Two hidden layers over what is known of a payment; of a number also whether it is known."""

    def __init__(self, inputs: Shapes, hidden: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * len(inputs.numbers), hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))

    def forward(self, numbers: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(torch.cat([numbers, missing], dim=1))
        return logits
