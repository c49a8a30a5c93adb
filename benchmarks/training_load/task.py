"""The work that every loop does: which rows, which network, which steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from ml_assets.core.model.minibatch import Minibatch
from ml_assets.training.loop.blocks import RowBlock
from ml_assets.training.loop.losses import MeanLoss

NUMBERS, GROUP = 20, 2**15
COLUMNS = (*(f"number_{each}" for each in range(NUMBERS)), "wanted")
SEED, SHARE = 7, 0.1
LOSS = MeanLoss("binary_cross_entropy_with_logits")


def fit_of(epochs: int) -> Minibatch:
    """What is declared: as a user would, so that nothing is spared."""
    return Minibatch(batch=1024, epochs=epochs, patience=None, rate=2e-3, device="cpu",
                     validation=SHARE)


def write_rows(path: Path, rows: int) -> None:
    """Made rows of 20 numbers and a label, one each second, written group by group."""
    schema = pa.schema([*((name, pa.float32()) for name in COLUMNS),
                        ("event_timestamp", pa.timestamp("us", "UTC"))])
    random = np.random.default_rng(SEED)
    slope = random.normal(size=NUMBERS).astype(np.float32)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for start in range(0, rows, GROUP):
            count = min(GROUP, rows - start)
            numbers = random.normal(size=(count, NUMBERS)).astype(np.float32)
            logits = numbers @ slope + np.abs(numbers[:, 0]) - 1
            wanted = (random.random(count) < 1 / (1 + np.exp(-logits))).astype(np.float32)
            at = np.arange(start, start + count, dtype=np.int64) * 1_000_000
            file.write_table(pa.Table.from_arrays(
                [*map(pa.array, numbers.T.copy()), pa.array(wanted),
                 pa.array(at, pa.timestamp("us", "UTC"))], schema=schema), row_group_size=GROUP)


@dataclass(frozen=True)
class Encoded:
    """Rows of the file as the network takes them."""

    def __call__(self, table: pa.Table) -> RowBlock:
        numbers = np.stack([table[name].to_numpy() for name in COLUMNS[:-1]], axis=1)
        return RowBlock(inputs={"numbers": numbers}, wanted=table["wanted"].to_numpy())


class Judge(nn.Module):
    """20 numbers, two hidden layers, a logit: so small that a loop's own cost shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(NUMBERS, 64), nn.ReLU(), nn.Linear(64, 32),
                                    nn.ReLU(), nn.Linear(32, 1))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(numbers)
        return logits


def network() -> Judge:
    """With the weights that every loop begins with."""
    torch.manual_seed(SEED)
    return Judge()
