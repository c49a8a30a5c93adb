"""Networks as users write them: plain modules that know nothing of this project."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Mixed(nn.Module):
    """Numbers, categories, a text, a vector and what was seen before."""

    def __init__(self, inputs: Any, hidden: int = 8) -> None:
        super().__init__()
        words, films = inputs.texts["note"][1], inputs.sequences["seen"][1]
        self.categories = nn.ModuleList(nn.Embedding(n, 4) for n in inputs.categories.values())
        self.words = nn.Embedding(words, 4, padding_idx=0)
        self.films = nn.Embedding(films, 4, padding_idx=0)
        self.recent = nn.GRU(4, 4, batch_first=True)
        size = 2 * len(inputs.numbers) + 4 * len(inputs.categories) + 8
        size += inputs.vectors["look"]
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.GELU(),
                                    nn.Linear(hidden, inputs.logits))

    def forward(
        self, numbers: torch.Tensor, missing: torch.Tensor, categories: torch.Tensor,
        note: torch.Tensor, seen: torch.Tensor, clicks: torch.Tensor, look: torch.Tensor,
    ) -> torch.Tensor:
        found = [table(categories[:, i]) for i, table in enumerate(self.categories)]
        _, recent = self.recent(self.films(seen).flip(1))
        x = torch.cat([numbers, missing, *found, self.words(note).mean(1), recent[0], look],
                      dim=1)
        logits: torch.Tensor = self.layers(x) + (clicks > 0).float().mean(1, keepdim=True)
        return logits


class OneLayer(nn.Module):
    """Its logits have one dimension; it has a loss of its own."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, 1)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(numbers).squeeze(1)
        return logits

    def loss(
        self, logits: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor | None
    ) -> torch.Tensor:
        return (torch.sigmoid(logits.flatten()) - wanted).square().mean()


class LooksAtOthers(nn.Module):
    """Wrong: a row's answer depends on the rest of its batch."""

    def __init__(self, inputs: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(len(inputs.numbers), inputs.logits)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(numbers - numbers.mean(dim=0))
        return logits


class Branches(nn.Module):
    """Wrong: what it does depends on a value."""

    def __init__(self, inputs: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(len(inputs.numbers), inputs.logits)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(numbers)
        return logits if float(numbers.sum()) > 0 else -logits


class Wide(nn.Module):
    """Wrong: three logits, whatever is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(3)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(numbers)
        return logits


class Unknown(nn.Module):
    """Wrong: there is no `nubmers`."""

    def forward(self, nubmers: torch.Tensor) -> torch.Tensor:
        return nubmers


class NoModule:
    """Wrong: no `nn.Module`."""


class Small(nn.Module):
    """Numbers, and the words of a note."""

    def __init__(self, inputs: Any, hidden: int) -> None:
        super().__init__()
        self.words = nn.Embedding(inputs.texts["note"][1], hidden, padding_idx=0)
        self.layer = nn.Linear(2 * len(inputs.numbers), hidden)
        self.last = nn.Linear(hidden, inputs.logits)

    def forward(
        self, numbers: torch.Tensor, missing: torch.Tensor, note: torch.Tensor
    ) -> torch.Tensor:
        hidden = self.layer(torch.cat([numbers, missing], dim=1)) + self.words(note).mean(1)
        logits: torch.Tensor = self.last(torch.relu(hidden))
        return logits
