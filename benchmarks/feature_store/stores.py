"""Feast stores over synthetic tables: the peer's plug-ins or ours, everything else alike."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from feast import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    StreamFeatureView,
    ValueType,
)
from feast.aggregation import Aggregation
from feast.repo_config import RepoConfig
from feast.types import Float32, Int64

from benchmarks.feature_store.data import feature_names
from ml_assets.features.declaration import windowed_view

Engine = Literal["ours", "feast"]

PACKAGE = "ml_assets.features.feast_stores"
PROJECT = "bench"

CUSTOMER = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
BUYER = Entity(name="buyer", join_keys=["customer"], value_type=ValueType.STRING)


def open_store(
    folder: Path, engine: Engine, declared: Sequence[Any], *, online: dict[str, Any] | None = None
) -> FeatureStore:
    """A store in `folder` that holds `declared`; online in a file unless said otherwise.

    online: `redis_online` of the same engine
    """
    plugged: dict[str, Any] = {"offline_store": "duckdb"}
    if engine == "ours":
        plugged = {
            "offline_store": {"type": f"{PACKAGE}.offline.LakeOfflineStore", "lake": str(folder)},
            "batch_engine": {"type": f"{PACKAGE}.loading.PackedComputeEngine"},
        }
    config = RepoConfig(
        project=PROJECT, provider="local", registry=str(folder / f"{engine}-registry.db"),
        entity_key_serialization_version=3,
        online_store=online or online_file(engine, folder), **plugged,
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store.apply([CUSTOMER, BUYER, *declared])
    return store


def online_file(engine: Engine, folder: Path) -> dict[str, Any]:
    """Feast's own store in a file is in SQLite."""
    if engine == "feast":
        return {"type": "sqlite", "path": str(folder / "feast.sqlite")}
    return {"type": f"{PACKAGE}.online.PackedLmdbOnlineStore", "path": str(folder / "ours.lmdb")}


def redis_online(engine: Engine, port: int) -> dict[str, Any]:
    """Both may use the same server: each has its own database."""
    if engine == "feast":
        return {"type": "redis", "connection_string": f"127.0.0.1:{port},db=1"}
    return {
        "type": f"{PACKAGE}.redis_online.PackedRedisOnlineStore",
        "url": f"redis://127.0.0.1:{port}/0",
    }


def plain_view(number: int, path: Path) -> FeatureView:
    """`view<number>`: ten features from `path`, a table of `data`, without a time to live."""
    return FeatureView(
        name=f"view{number}",
        entities=[CUSTOMER],
        ttl=None,
        schema=[
            Field(name="customer", dtype=Int64),
            *(Field(name=feature, dtype=Float32) for feature in feature_names(number)),
        ],
        source=FileSource(
            name=f"view{number}_source", path=str(path), timestamp_field="event_timestamp",
            created_timestamp_column="created",
        ),
    )


def stream_view(name: str, path: Path, aggregations: Sequence[Aggregation]) -> StreamFeatureView:
    """`bench_<name>`: aggregates of the events in `path`, a table of `data.write_events`."""
    batch = FileSource(
        name=f"{name}_events", path=str(path), timestamp_field="event_timestamp",
        created_timestamp_column="accepted_at",
    )
    return windowed_view(
        name, system="bench", entities=[BUYER], aggregations=aggregations,
        source=PushSource(name=f"{name}_stream", batch_source=batch),
    )
