"""The built-in network of retrieval."""

from __future__ import annotations

import torch
from torch import nn

from ml_assets.core.declaration import closest
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import TwoTower
from ml_assets.training.encoding.shapes import Shapes
from ml_assets.training.networks.columns import Arrays, Columns
from ml_assets.training.networks.tabular import Trunk


class Tower(nn.Module):
    """(B, size) a vector of some columns."""

    def __init__(self, declared: TwoTower, shapes: Shapes, read: Shapes, *, size: int) -> None:
        super().__init__()
        self.columns = Columns(shapes, read, width=declared.width, pieces=declared.pieces)
        self.trunk = Trunk(self.columns.size, hidden=declared.hidden, blocks=1,
                           dropout=declared.dropout, out=size)

    def forward(self, arrays: Arrays) -> torch.Tensor:
        vector: torch.Tensor = self.trunk(self.columns(arrays))
        return vector


class TwoTowerNetwork(nn.Module):
    """(B, K) logits: products of K vectors of all else and one of the item, and how much an item
    is wanted whoever asks.
    """

    def __init__(self, declared: TwoTower, shapes: Shapes) -> None:
        super().__init__()
        for name in declared.item:
            if name not in shapes.columns:
                raise DeclarationError(
                    f"TwoTower.item names {name!r}, which is no input; there are "
                    f"{', '.join(shapes.columns)}.{closest(name, shapes.columns)}")
        others = [name for name in shapes.columns if name not in declared.item]
        if not others:
            raise DeclarationError("TwoTower.item names all inputs; expected some of who asks")
        self.width, self.logits = declared.width, shapes.logits
        self.asking = Tower(declared, shapes, shapes.only(others),
                            size=self.width * self.logits)
        self.item = Tower(declared, shapes, shapes.only(declared.item), size=self.width)
        self.wanted = nn.Linear(self.width, self.logits)

    def learn(self, arrays: Arrays) -> None:
        """What is learnt from the rows and not by the optimiser."""
        self.asking.columns.learn(arrays)
        self.item.columns.learn(arrays)

    def forward(self, **arrays: torch.Tensor) -> torch.Tensor:
        item_BW = self.item(arrays)
        asking_BKW = self.asking(arrays).unflatten(1, (self.logits, self.width))
        alike_BK = (asking_BKW * item_BW[:, None]).sum(dim=2) / self.width**0.5
        logits_BK: torch.Tensor = alike_BK + self.wanted(item_BW)
        return logits_BK
