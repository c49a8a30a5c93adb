"""A repository whose views have one to four keys, in every order in which one may name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    StreamFeatureView,
    ValueType,
)
from feast.aggregation import Aggregation
from feast.types import Float64, Int64, String

from ml_assets.core.time import EventClock

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)
INSTANT = pa.timestamp("us", tz="UTC")

KEYS = {"shop": String, "card": Int64, "user": String, "area": Int64}
ENTITIES = {
    name: Entity(name=name, join_keys=[name], value_type=(
        ValueType.STRING if kind == String else ValueType.INT64
    )) for name, kind in KEYS.items()
}
ORDERS = [
    *(order for size in (1, 2, 3) for order in permutations(("shop", "card", "user"), size)),
    ("user", "shop", "card", "area"), ("area", "card", "shop", "user"),
    ("shop", "user", "card", "area"), ("card", "user", "shop", "area"),
]
"""The keys of the views, each in the order of its entities."""

PAID = pa.schema([
    ("shop", pa.string()), ("card_number", pa.int64()), ("user", pa.string()),
    ("area", pa.int64()), ("paid_at", INSTANT), ("written", INSTANT), ("event_id", pa.string()),
    ("euros", pa.float64()),
])
"""As in the files: two columns are called otherwise there than in the views."""


class Keyed:
    """The repository in `folder`: for each order of keys a windowed view and a plain one."""

    def __init__(self, folder: Path, online: Mapping[str, Any]) -> None:
        self.folder, self._online = folder, online
        self.clock = EventClock(folder / "clock.json")
        self.clock.set(NOW)
        source = FileSource(
            name="payments", path="payments.parquet", timestamp_field="paid_at",
            created_timestamp_column="written",
            field_mapping={"card_number": "card", "euros": "amount"},
        )
        stream = PushSource(name="payment_stream", batch_source=source)
        self.windowed = [_windowed(keys, stream) for keys in ORDERS]
        self.plain = [_plain(keys, source) for keys in ORDERS]

    def apply(self) -> FeatureStore:
        config = RepoConfig(
            project="keyed", provider="local", entity_key_serialization_version=3,
            registry=str(self.folder / "registry.db"),
            offline_store={"type": "ml_assets.features.feast_stores.offline.LakeOfflineStore"},
            online_store={"clock_file": "clock.json", **self._online},
            batch_engine={"type": "ml_assets.features.feast_stores.loading.PackedComputeEngine"},
        )
        config.repo_path = self.folder
        store = FeatureStore(config=config)
        store.apply([*ENTITIES.values(), *self.windowed, *self.plain])
        return store

    def write(self, rows: Sequence[Mapping[str, object]]) -> None:
        pq.write_table(
            pa.Table.from_pylist([dict(row) for row in rows], PAID),
            self.folder / "payments.parquet",
        )


def name_of(keys: Sequence[str]) -> str:
    return "_".join(keys)


def _windowed(keys: Sequence[str], stream: PushSource) -> StreamFeatureView:
    return StreamFeatureView(
        name=f"{name_of(keys)}_windows", entities=[ENTITIES[key] for key in keys], source=stream,
        ttl=timedelta(0), timestamp_field="paid_at",
        aggregations=[
            Aggregation(name="payments", function="count", time_window=7 * DAY,
                        slide_interval=DAY),
            Aggregation(name="spent", function="sum", column="amount", time_window=7 * DAY,
                        slide_interval=HOUR),
            Aggregation(name="latest", function="last", column="amount", time_window=7 * DAY,
                        slide_interval=DAY),
        ],
        schema=[*(Field(name=key, dtype=KEYS[key]) for key in keys),
                Field(name="payments", dtype=Int64), Field(name="spent", dtype=Float64),
                Field(name="latest", dtype=Float64)],
    )


def _plain(keys: Sequence[str], source: FileSource) -> FeatureView:
    return FeatureView(
        name=f"{name_of(keys)}_row", entities=[ENTITIES[key] for key in keys], ttl=5 * DAY,
        schema=[*(Field(name=key, dtype=KEYS[key]) for key in keys),
                Field(name="amount", dtype=Float64)],
        source=source,
    )
