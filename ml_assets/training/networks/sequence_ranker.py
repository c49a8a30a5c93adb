"""The built-in network of what is wanted next."""

from __future__ import annotations

import torch
from torch import nn

from ml_assets.core.declaration import listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import SequenceRanker
from ml_assets.training.encoding.shapes import Shapes
from ml_assets.training.networks.columns import Arrays, Columns, table
from ml_assets.training.networks.tabular import Trunk


class SequenceRankerNetwork(nn.Module):
    """(B, K) logits of an item after those before it, and of all else.

    The item attends to each sequence of items by what they mean and how long ago they were; of no
    item, a meaning of its own is there to attend to (Zhou et al., "Deep Interest Network", 2018).
    """

    def __init__(self, declared: SequenceRanker, shapes: Shapes) -> None:
        super().__init__()
        self.before = [name for name, of in shapes.of.items() if of == declared.item]
        if not self.before:
            sequences = listed(shapes.sequences) if shapes.sequences else "there is none"
            raise DeclarationError(
                f"SequenceRanker ranks {declared.item!r}, and no input is a sequence of it: "
                f"declare Sequence(..., of={declared.item!r}); sequences: {sequences}")
        self.at = list(shapes.categories).index(declared.item)
        width, others = declared.width, [
            name for name in shapes.columns if name != declared.item and name not in self.before]
        self.items = table(shapes.categories[declared.item], width)
        self.ago = nn.ParameterList(
            torch.zeros(shapes.sequences[name][0], width) for name in self.before)
        self.nothing = nn.Parameter(torch.zeros(width))
        self.question = nn.Linear(width, width, bias=False)
        self.columns = Columns(shapes, shapes.only(others), width=width,
                               pieces=declared.pieces) if others else None
        size = width * (1 + 2 * len(self.before)) + (self.columns.size if self.columns else 0)
        self.trunk = Trunk(size, hidden=declared.hidden, blocks=1, dropout=declared.dropout,
                           out=shapes.logits)

    def learn(self, arrays: Arrays) -> None:
        """What is learnt from the rows and not by the optimiser."""
        if self.columns is not None:
            self.columns.learn(arrays)

    def forward(self, **arrays: torch.Tensor) -> torch.Tensor:
        item_BW = self.items(arrays["categories"][:, self.at])
        found = [item_BW]
        for name, ago_KW in zip(self.before, self.ago, strict=True):
            seen_BW = self._attended(item_BW, arrays[name], ago_KW)
            found += [seen_BW, item_BW * seen_BW]
        if self.columns is not None:
            found.append(self.columns(arrays))
        logits_BK: torch.Tensor = self.trunk(torch.cat(found, dim=1))
        return logits_BK

    def _attended(
        self, item_BW: torch.Tensor, ids_BK: torch.Tensor, ago_KW: torch.Tensor
    ) -> torch.Tensor:
        """(B, W) the mean of what was seen, by how much it answers the item's question."""
        seen_BKW = self.items(ids_BK) + ago_KW
        question_BW = self.question(item_BW) / item_BW.shape[1] ** 0.5
        answers_BK = (seen_BKW * question_BW[:, None]).sum(dim=2)
        answers_BK = answers_BK.masked_fill(ids_BK == 0, -1e9)
        of_nothing_B1 = (question_BW * self.nothing).sum(dim=1, keepdim=True)
        weights_BK = torch.softmax(torch.cat([of_nothing_B1, answers_BK], dim=1), dim=1)
        seen_BW: torch.Tensor = (weights_BK[:, 1:, None] * seen_BKW).sum(dim=1)
        return seen_BW + weights_BK[:, :1] * self.nothing
