"""A training as the asset `model` does it: `python -m benchmarks.training_load.product VAR`.

A training set's file in, a registered version out: encoder, loop with checkpoints, export,
comparison with simple models, MLflow.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.serving_load.system import NUMBERS, PAYMENTS
from benchmarks.training_load.used import Used
from ml_assets.core.model import Categories, Minibatch, Model, Tabular
from ml_assets.core.model import Numbers as Read
from ml_assets.core.settings import Settings
from ml_assets.features.training_sets import GROUP
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.registry.models import ModelRegistry
from ml_assets.training.run import train

FEATURES = tuple(f"feature_{each}" for each in range(10))
SYSTEM = replace(PAYMENTS, model=Model(
    inputs=(Read(*NUMBERS), Categories("shop")), network=Tabular(hidden=32, blocks=1, pieces=8),
    fit=Minibatch(epochs=1, device="cpu")))
"""Ten numbers and a category of the event, ten features of the store."""
SHOPS, HELD_OUT, SEED = 5_000, 0.03, 7
LAST = datetime(2024, 6, 1, tzinfo=UTC)


def write_training_set(var: Path, rows: int) -> Path:
    """As `TrainingSets.build` leaves it, of made rows, one each second; returns the file."""
    folder = TrainingSets(Settings(var=var), SYSTEM).folder
    folder.mkdir(parents=True)
    numbers = (*NUMBERS, *FEATURES)
    schema = pa.schema([
        ("event_timestamp", pa.timestamp("us", "UTC")), ("label", pa.bool_()),
        ("split", pa.string()), ("shop", pa.string()),
        *((name, pa.float64()) for name in NUMBERS), *((name, pa.float32()) for name in FEATURES)])
    random, first = np.random.default_rng(SEED), int(LAST.timestamp()) - rows
    slope, shops = random.normal(size=len(numbers)), random.normal(size=SHOPS)
    with pq.ParquetWriter(folder / "made.parquet", schema, compression="zstd") as file:
        for start in range(0, rows, GROUP):
            count = min(GROUP, rows - start)
            drawn, shop = random.normal(size=(count, len(numbers))), random.integers(
                SHOPS, size=count)
            odds = (drawn @ slope) / 3 + np.abs(drawn[:, 0]) + shops[shop] - 1
            at = (first + start + np.arange(count)) * 1_000_000
            file.write_table(pa.Table.from_arrays([
                pa.array(at, pa.timestamp("us", "UTC")),
                pa.array(random.random(count) < 1 / (1 + np.exp(-odds))),
                pa.array(np.where(start + np.arange(count) < (1 - HELD_OUT) * rows, "train",
                                  "holdout")),
                pa.array([f"shop {each}" for each in shop]),
                *(pa.array(np.where(drawn[:, at] < -2, np.nan, drawn[:, at]), kind,
                           from_pandas=True)
                  for at, kind in enumerate(schema.types[4:])),
            ], schema=schema), row_group_size=GROUP)
    (folder / "latest.json").write_text(json.dumps({
        "version": "made", "as_of": LAST.isoformat(), "feature_names": numbers, "texts": ["shop"],
        "partitions": ["2024-01-01", "2024-06-01"], "feature_service": "made", "labels": rows,
        "events_lacking": 0, "coded": []}))
    return folder / "made.parquet"


def main(var: Path) -> None:
    """Train, and say what it took."""
    used, settings = Used(), Settings(var=var)
    registry = ModelRegistry(settings)
    version, trained = train(
        SYSTEM, TrainingSets(settings, SYSTEM).latest(), registry, tags={})
    weights = registry.folder(SYSTEM.name, version.version) / "network.safetensors"
    used.say(losses=[*trained.convergence.losses,
                     *([] if trained.held_out is None else trained.held_out.named().values())],
             weights=hashlib.sha256(weights.read_bytes()).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
