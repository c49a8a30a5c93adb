"""The built-in network of the next item: evidence, weighed by the context."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ml_assets.core.declaration import closest, listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import NextItem
from ml_assets.training.encoding.shapes import Shapes
from ml_assets.training.networks.columns import Arrays, Columns
from ml_assets.training.networks.companions import Companions

HALVED = (2.0, 8.0)
"""After so many items what was taken counts half at first: a moment and an evening."""


class NextItemNetwork(nn.Module):
    """(B, K) logits: the sum of what speaks for an item, each part times its weight.

    A weight is one of the part alone, and what a layer makes of the context.
    """

    def __init__(self, declared: NextItem, shapes: Shapes) -> None:
        super().__init__()
        for name in declared.context:
            if name not in shapes.columns:
                raise DeclarationError(
                    f"NextItem.context names {name!r}, which is no input; there are "
                    f"{', '.join(shapes.columns)}.{closest(name, shapes.columns)}")
        self.before = [name for name, of in shapes.of.items() if of == declared.item]
        if not self.before:
            sequences = listed(shapes.sequences) if shapes.sequences else "there is none"
            raise DeclarationError(
                f"NextItem ranks {declared.item!r}, and no input is a sequence of it: "
                f"declare Sequence(..., of={declared.item!r}); sequences: {sequences}")
        self.at = list(shapes.categories).index(declared.item)
        self.companions = Companions(shapes.categories[declared.item], most=declared.most,
                                 ridge=declared.ridge)
        self.ago = nn.ParameterList(
            torch.stack([0.5 ** (torch.arange(shapes.sequences[name][0]) / half)
                         for half in HALVED]) for name in self.before)
        spoken = [name for name in shapes.columns
                  if name not in (declared.item, *self.before, *declared.context)]
        self.evidence = Columns(shapes, shapes.only(spoken), width=declared.width,
                                pieces=0) if spoken else None
        self.context = Columns(shapes, shapes.only(declared.context), width=declared.width,
                               pieces=0)
        self.logits = shapes.logits
        parts = len(HALVED) * len(self.before) + (self.evidence.size if self.evidence else 0)
        self.plain = nn.Linear(parts, self.logits)
        self.weighing = nn.Sequential(
            nn.Linear(self.context.size, declared.hidden), nn.ReLU(),
            nn.Dropout(declared.dropout), nn.Linear(declared.hidden, self.logits * (parts + 1)))

    def remember(self, blocks: Iterable[Arrays]) -> None:
        """What stands together in the sequences of these rows."""
        self.companions.remember(arrays[name] for arrays in blocks for name in self.before)

    def forward(self, **arrays: torch.Tensor) -> torch.Tensor:
        item_B = arrays["categories"][:, self.at]
        parts = [self.companions(item_B, arrays[name]) @ ago_HK.T
                 for name, ago_HK in zip(self.before, self.ago, strict=True)]
        if self.evidence is not None:
            parts.append(self.evidence(arrays))
        parts_BP = torch.cat(parts, dim=1)
        weights_BKP = self.weighing(self.context(arrays)).unflatten(1, (self.logits, -1))
        spoken_BK = (weights_BKP[:, :, :-1] * parts_BP[:, None]).sum(dim=2) + weights_BKP[:, :, -1]
        logits_BK: torch.Tensor = spoken_BK + self.plain(parts_BP)
        return logits_BK
