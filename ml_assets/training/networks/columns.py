"""The first layer of the built-in networks: all arrays of a row as one vector."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from ml_assets.training.encoding.shapes import Shapes

Arrays = Mapping[str, torch.Tensor]
SPREAD = 0.3
"""Of what categories, words and items mean at first."""


class BrokenLines(nn.Module):
    """How much of each of P equally filled pieces of its range a number has passed, (B, N * P).

    See Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", 2022;
    of a missing number all are 0. `edges` are learnt from the rows, not by the optimiser.
    """

    edges_NP: torch.Tensor
    slopes_NP: torch.Tensor

    def __init__(self, numbers: int, pieces: int) -> None:
        super().__init__()
        self.register_buffer("edges_NP", torch.zeros(numbers, pieces))
        self.register_buffer("slopes_NP", torch.zeros(numbers, pieces))

    def learn(self, numbers_BN: torch.Tensor, missing_BN: torch.Tensor) -> None:
        """From the rows: a number with fewer different values has fewer pieces."""
        count = self.edges_NP.shape[1]
        shares = np.linspace(0, 1, count + 1)
        for at in range(len(self.edges_NP)):
            present = numbers_BN[missing_BN[:, at] == 0, at].numpy()
            if not len(present):
                continue
            edges = np.quantile(present, shares)
            widths = np.diff(edges)
            self.edges_NP[at] = torch.from_numpy(edges[:-1].astype(np.float32))
            slopes = np.divide(1, widths, out=np.zeros(count), where=widths > 1e-5)
            self.slopes_NP[at] = torch.from_numpy(slopes.astype(np.float32))

    def forward(self, numbers_BN: torch.Tensor, missing_BN: torch.Tensor) -> torch.Tensor:
        passed = (numbers_BN[:, :, None] - self.edges_NP) * self.slopes_NP
        there = passed.clamp(0, 1) * (1 - missing_BN)[:, :, None]
        return there.flatten(1)


class Columns(nn.Module):
    """(B, `size`): numbers, their pieces, whether they are missing; what categories mean; of texts
    and sequences the mean of what their tokens and items mean; vectors as they are.

    shapes: of all arrays that come in; read: those columns of them that this reads
    """

    def __init__(self, shapes: Shapes, read: Shapes, *, width: int, pieces: int) -> None:
        super().__init__()
        self.numbers = [shapes.numbers.index(name) for name in read.numbers]
        self.every_number = len(self.numbers) == len(shapes.numbers)
        self.categories = [list(shapes.categories).index(name) for name in read.categories]
        self.listed, self.vectors = {**read.texts, **read.sequences}, list(read.vectors)
        self.pieces = BrokenLines(len(self.numbers), pieces) if self.numbers and pieces else None
        self.tables = nn.ModuleList(table(rows, width) for rows in read.categories.values())
        self.lists = nn.ModuleDict({
            _key(name): table(rows, width) for name, (_, rows) in self.listed.items()})
        self.size = (len(self.numbers) * (2 + pieces)
                     + width * (len(self.categories) + len(self.listed))
                     + sum(read.vectors.values()))

    def learn(self, arrays: Arrays) -> None:
        """What is learnt from the rows and not by the optimiser."""
        if self.pieces is not None:
            self.pieces.learn(self._of(arrays["numbers"]), self._of(arrays["missing"]))

    def forward(self, arrays: Arrays) -> torch.Tensor:
        found = list[torch.Tensor]()
        if self.numbers:
            numbers_BN, missing_BN = self._of(arrays["numbers"]), self._of(arrays["missing"])
            found += [numbers_BN, missing_BN]
            if self.pieces is not None:
                found.append(self.pieces(numbers_BN, missing_BN))
        found += [means(arrays["categories"][:, at])
                  for at, means in zip(self.categories, self.tables, strict=True)]
        found += [mean_of(arrays[name], self.lists[_key(name)]) for name in self.listed]
        found += [arrays[name] for name in self.vectors]
        return torch.cat(found, dim=1)

    def _of(self, array_BN: torch.Tensor) -> torch.Tensor:
        return array_BN if self.every_number else array_BN[:, self.numbers]


def table(rows: int, width: int) -> nn.Embedding:
    """What each row of a table means at first: little."""
    made = nn.Embedding(rows, width)
    nn.init.normal_(made.weight, std=SPREAD)
    return made


def mean_of(ids_BK: torch.Tensor, means: nn.Module) -> torch.Tensor:
    """(B, W) the mean of what those ids that are not 0 mean; 0 if there are none."""
    there_BK = (ids_BK != 0).float()
    weights_BK = there_BK / there_BK.sum(dim=1, keepdim=True).clamp_min(1)
    mean_BW: torch.Tensor = (means(ids_BK) * weights_BK[:, :, None]).sum(dim=1)
    return mean_BW


def _key(name: str) -> str:
    """A name that no attribute of a module has."""
    return f"of_{name}"
