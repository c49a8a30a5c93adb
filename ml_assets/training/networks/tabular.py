"""The built-in network of tables."""

from __future__ import annotations

import torch
from torch import nn

from ml_assets.core.model import Tabular
from ml_assets.training.encoding.shapes import Shapes
from ml_assets.training.networks.columns import Arrays, Columns


class Trunk(nn.Module):
    """(B, size) to (B, out): a layer, residual blocks, a layer.

    The blocks are those of Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data",
    2021, normalised along the row, so that no row depends on the others.
    """

    def __init__(self, size: int, *, hidden: int, blocks: int, dropout: float, out: int) -> None:
        super().__init__()
        self.first = nn.Linear(size, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.ReLU(),
                          nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.Dropout(dropout))
            for _ in range(blocks))
        self.last = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, out))

    def forward(self, row_BD: torch.Tensor) -> torch.Tensor:
        hidden_BH = self.first(row_BD)
        for block in self.blocks:
            hidden_BH = hidden_BH + block(hidden_BH)
        out_BK: torch.Tensor = self.last(hidden_BH)
        return out_BK


class TabularNetwork(nn.Module):
    """(B, K) logits of all arrays."""

    def __init__(self, declared: Tabular, shapes: Shapes) -> None:
        super().__init__()
        self.columns = Columns(shapes, shapes, width=declared.width, pieces=declared.pieces)
        self.trunk = Trunk(self.columns.size, hidden=declared.hidden, blocks=declared.blocks,
                           dropout=declared.dropout, out=shapes.logits)

    def learn(self, arrays: Arrays) -> None:
        """What is learnt from the rows and not by the optimiser."""
        self.columns.learn(arrays)

    def forward(self, **arrays: torch.Tensor) -> torch.Tensor:
        logits_BK: torch.Tensor = self.trunk(self.columns(arrays))
        return logits_BK
