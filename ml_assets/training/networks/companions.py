"""Which items stand together in sequences, as a layer that no optimiser fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

SCALE = 10.0
"""Of what is learnt: most of it is some hundredths."""


class Companions(nn.Module):
    """(B, K) how much each of K items before it speaks for an item: 0 if nothing is known.

    The ridge regression of each item on all others over the sequences, which must not explain
    itself (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019), in closed
    form. An item is a row of a table, and row 0 is none.

    rows: of the table; most: items that are known, those of most sequences
    ridge: what is added to how often an item occurs, as a share of the number of sequences
    """

    slot_R: torch.Tensor
    known_MM: torch.Tensor

    def __init__(self, rows: int, *, most: int, ridge: float) -> None:
        super().__init__()
        self.ridge, self.most = ridge, min(most, rows - 1)
        self.register_buffer("slot_R", torch.zeros(rows, dtype=torch.int64))
        self.register_buffer("known_MM", torch.zeros(self.most + 1, self.most + 1))

    def forward(self, item_B: torch.Tensor, before_BK: torch.Tensor) -> torch.Tensor:
        width = self.most + 1
        pair_BK = self.slot_R[before_BK] * width + self.slot_R[item_B][:, None]
        found_BK: torch.Tensor = self.known_MM.flatten()[pair_BK]
        return found_BK

    @torch.no_grad()
    def remember(self, sequences: Iterable[torch.Tensor]) -> None:
        """Learn from sequences, each block of them (S, K), anew.

        A sequence that stands several times in a block, as it does in each row of a slate, counts
        once.
        """
        blocks = [torch.unique(block_SK, dim=0) for block_SK in sequences]
        self._choose(blocks)
        size, count = self.most + 1, 0
        gram_MM = torch.zeros(size, size, dtype=torch.float64)
        for block_SK in blocks:
            there_SM = torch.zeros(len(block_SK), size)
            there_SM.scatter_(1, self.slot_R[block_SK], 1.0)
            there_SM[:, 0] = 0
            gram_MM += (there_SM.T @ there_SM).double()
            count += len(block_SK)
        self.known_MM.copy_(_regression(gram_MM, self.ridge * max(count, 1)) * SCALE)

    def _choose(self, blocks: Sequence[torch.Tensor]) -> None:
        """The items that are known, those of most sequences, in the order of their rows."""
        times_R = torch.zeros(len(self.slot_R), dtype=torch.int64)
        for block_SK in blocks:
            times_R += torch.bincount(block_SK.flatten(), minlength=len(times_R))
        times_R[0] = 0
        often = torch.argsort(times_R, descending=True, stable=True)[: self.most]
        often = often[times_R[often] > 0].sort().values
        self.slot_R.zero_()
        self.slot_R[often] = torch.arange(1, len(often) + 1)


def _regression(gram_MM: torch.Tensor, ridge: float) -> torch.Tensor:
    """(M, M) how much the item of a row speaks for that of a column, 0 for itself."""
    inverse_MM = torch.linalg.inv(gram_MM + ridge * torch.eye(len(gram_MM), dtype=torch.float64))
    found_MM: torch.Tensor = -inverse_MM / inverse_MM.diagonal()
    found_MM.fill_diagonal_(0)
    found_MM[0], found_MM[:, 0] = 0, 0
    return found_MM
