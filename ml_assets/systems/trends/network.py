"""Next week's sales: the usual sales of four weeks, times what the comparisons make of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ml_assets.systems.trends.compared import GIVES

USUAL = "sold_4w"
"""What a week usually sells; as all numbers, it comes in as a logarithm."""
ROBUST = 0.05
"""Errors beyond it, in standard deviations of the logarithms, count as they are, not squared: a
single week at Christmas must not decide."""


class SalesNetwork(nn.Module):
    """A line through the usual sales, and a small network of the comparisons beside it."""

    read: Tensor

    def __init__(self, inputs: Any, hidden: int = 16, shrink: float = 10.0) -> None:
        super().__init__()
        names = list(inputs.numbers)
        self.register_buffer("read", torch.tensor([names.index(name) for name in GIVES]))
        self.level, self.shrink = names.index(USUAL), shrink
        self.usual = nn.Linear(1, 1)
        self.straight = nn.Linear(2 * len(GIVES), 1, bias=False)
        self.bend = nn.Linear(2 * len(GIVES), hidden)
        self.bent = nn.Linear(hidden, 1, bias=False)
        nn.init.ones_(self.usual.weight)
        for zero in (self.usual.bias, self.straight.weight, self.bent.weight):
            nn.init.zeros_(zero)

    def forward(self, numbers: Tensor, missing: Tensor) -> Tensor:
        """Logits (B,) of numbers (B, N) and of which of them are missing (B, N)."""
        seen_BG = torch.cat([numbers[:, self.read], missing[:, self.read]], dim=1)
        logits_B1: Tensor = self.usual(numbers[:, self.level : self.level + 1])
        logits_B1 = logits_B1 + self.straight(seen_BG) + self.bent(torch.tanh(self.bend(seen_BG)))
        return logits_B1.squeeze(1)

    def loss(self, logits: Tensor, wanted: Tensor, weights: Tensor | None) -> Tensor:
        """Huber's, with a penalty on the comparisons' weights."""
        rows_B = nn.functional.huber_loss(logits, wanted, reduction="none", delta=ROBUST) / ROBUST
        mean = rows_B.mean() if weights is None else (rows_B * weights).sum() / weights.sum()
        beside = (self.straight.weight, self.bend.weight, self.bent.weight)
        squares = torch.stack([(each**2).sum() for each in beside]).sum()
        return mean + self.shrink * squares / len(wanted)
