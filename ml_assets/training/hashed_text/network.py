"""The network: linear in the hashed texts, a small layer over numbers and categories.

Wide-and-deep in the sense of Cheng et al., "Wide & Deep Learning for Recommender Systems"
(2016): the wide part is one weight for each hashed n-gram and field, the deep part one
hidden layer over the numbers' inputs and the categories' embeddings; their logits are added.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import nn

from ml_assets.training.hashed_text.bags import Bags
from ml_assets.training.sparse import times

WIDTH = 8
"""Inputs that a category becomes."""
SPREAD = 0.3
"""Of these inputs at first."""


class HashedTextNetwork(nn.Module):
    """K logits of a row: V text weights for each, `hidden` units over the inputs.

    numbers: inputs of a row's numbers; categories: the size of each category's table. Without
    hidden units it is linear.
    """

    def __init__(
        self, *, vocabulary: int, numbers: int, categories: Sequence[int], hidden: int, logits: int
    ) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.zeros(logits, vocabulary))
        inputs = numbers + WIDTH * len(categories)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Initializing zero-element tensors is a no-op")
            self.hidden = nn.Linear(inputs, hidden)
            self.output = nn.Linear(hidden, logits)
            self.linear = nn.Linear(inputs, logits, bias=False)
            nn.init.zeros_(self.linear.weight)
        tables = [nn.Embedding(size, WIDTH) for size in categories]
        for table in tables:
            nn.init.normal_(table.weight, std=SPREAD)
        self.categories = nn.ModuleList(tables)

    def forward(
        self, text_BV: torch.Tensor, text_VB: torch.Tensor | None, inputs_BN: torch.Tensor,
        codes_BC: torch.Tensor,
    ) -> torch.Tensor:
        """Logits (B, K) of B rows: their weighted n-grams (sparse), the inputs of their numbers
        and the codes of their categories.

        `text_VB` is the transpose of `text_BV`, needed for the backward pass alone.
        """
        found = [table(codes_BC[:, place]) for place, table in enumerate(self.categories)]
        inputs_BD = torch.cat([inputs_BN, *found], dim=1) if found else inputs_BN
        deep_BH = torch.tanh(self.hidden(inputs_BD))
        deep_BK: torch.Tensor = self.output(deep_BH) + self.linear(inputs_BD)
        return deep_BK + times(text_BV, text_VB, self.words)

    def penalty(self, *, text: float, dense: float) -> torch.Tensor:
        """Half the squared weights of the two parts, times their penalties; biases are free."""
        deep = [self.hidden.weight, self.output.weight, self.linear.weight,
                *self.categories.parameters()]
        squares = torch.stack([weight.square().sum() for weight in deep]).sum()
        return 0.5 * (text * self.words.square().sum() + dense * squares)


def sparse_rows(bags: Bags, *, fields: int, vocabulary: int) -> torch.Tensor:
    """The bags of B rows as a sparse matrix (B, V), without copying what they hold."""
    return torch.sparse_csr_tensor(
        torch.from_numpy(bags.offsets[:: max(1, fields)].copy()), torch.from_numpy(bags.buckets),
        torch.from_numpy(bags.weights),
        size=((len(bags.offsets) - 1) // max(1, fields), vocabulary), check_invariants=False,
    )
