"""Two unlike tenants of the training loop: an order that is returned, and a delay in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import InMemory, RowBlock
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.loop.losses import MeanLoss
from ml_assets.training.loop.train import train

YES_OR_NO, AMOUNT = MeanLoss("binary_cross_entropy_with_logits"), MeanLoss("mse_loss")
CITIES = 7


class Returned(nn.Module):
    """Numbers and a category in, one logit out; draws anew which units it drops at each step."""

    def __init__(self, drop: float = 0.2) -> None:
        super().__init__()
        self.city = nn.Embedding(CITIES, 3)
        self.layers = nn.Sequential(
            nn.Linear(4 + 3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(drop),
            nn.Linear(16, 1))

    def forward(self, numbers: torch.Tensor, city: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(torch.cat([numbers, self.city(city)], dim=1))
        return logits


class Delay(nn.Module):
    """A linear network that says itself what it loses: the mean error's size."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        minutes: torch.Tensor = self.line(distance).squeeze(1)
        return minutes

    def loss(
        self, logits: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor | None
    ) -> torch.Tensor:
        return (logits - wanted).abs().mean()


def returned(rows: int, seed: int = 1) -> RowBlock:
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, 4)).astype(np.float32)
    city = random.integers(0, CITIES, rows)
    logit = 2 * numbers[:, 0] - numbers[:, 1] + (city % 3 - 1)
    wanted = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    return RowBlock(inputs={"numbers": numbers, "city": city}, wanted=wanted)


def delays(rows: int, seed: int = 1) -> RowBlock:
    random = np.random.default_rng(seed)
    distance = random.normal(size=(rows, 2)).astype(np.float32)
    return RowBlock(inputs={"distance": distance},
                    wanted=distance @ np.array([3, -1], np.float32) + 1)


def a_network(seed: int = 3, drop: float = 0.2) -> Returned:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Returned(drop)


def fitted(
    network: nn.Module, fit: Minibatch, *, rows: int = 1500, folder: Path | None = None,
    seed: int = 5,
) -> FitHistory:
    """The network trained on made-up orders, and how it went."""
    return train(network, fit, InMemory(block=returned(rows)),
                 InMemory(block=returned(400, seed=2), shuffle=False), loss=YES_OR_NO, seed=seed,
                 folder=folder)


def weights(network: nn.Module) -> dict[str, bytes]:
    """Each tensor's bits."""
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@dataclass(frozen=True)
class Numbered:
    """Encodes rows of `write_numbered`."""

    def __call__(self, table: pa.Table) -> RowBlock:
        number = table["number"].to_numpy()
        return RowBlock(inputs={"number": number.astype(np.float32)[:, None] / 3000},
                        wanted=number.astype(np.float32) / 3000)


def write_numbered(path: Path, rows: int, *, group: int) -> Path:
    """Rows numbered from 0, one each minute, in row groups of `group`."""
    at = np.arange(rows, dtype=np.int64)
    table = pa.table({
        "number": at, "event_timestamp": pa.array(at * 60_000_000, pa.timestamp("us", "UTC"))})
    pq.write_table(table, path, row_group_size=group)
    return path
