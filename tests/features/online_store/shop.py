"""A shop's feature repository: a windowed view, a plain one with every kind of type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureService,
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
from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)

from ml_assets.core.time import EventClock

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)

customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)


def aggregation(name: str, function: str, column: str = "", days: int = 7) -> Aggregation:
    return Aggregation(
        name=name, function=function, column=column, time_window=days * DAY, slide_interval=DAY
    )


ORDERS = pa.schema([
    ("buyer", pa.string()), ("bought_at", pa.timestamp("us", tz="UTC")),
    ("arrived_at", pa.timestamp("us", tz="UTC")), ("event_id", pa.string()),
    ("amount", pa.float64()), ("shop", pa.string()),
])

PROFILES = pa.schema([
    ("customer", pa.string()), ("since", pa.timestamp("us", tz="UTC")),
    ("written", pa.timestamp("us", tz="UTC")), ("age", pa.int64()), ("height", pa.float32()),
    ("wealth", pa.float64()), ("floors", pa.int32()), ("is_member", pa.bool_()),
    ("name", pa.string()), ("secret", pa.binary()), ("tags", pa.list_(pa.string())),
    ("scores", pa.list_(pa.float32())), ("joined", pa.timestamp("us", tz="UTC")),
])


class Shop:
    """The repository in a folder, its tables, and stores opened on it."""

    def __init__(self, folder: Path, online: dict[str, Any], clock: datetime = NOW) -> None:
        self.folder, self._online = folder, online
        self.clock = EventClock(folder / "clock.json")
        self.clock.set(clock)
        self.orders = FileSource(
            name="orders", path=str(folder / "orders.parquet"), timestamp_field="bought_at",
            created_timestamp_column="arrived_at", field_mapping={"buyer": "customer"},
        )
        self.order_stream = PushSource(name="order_stream", batch_source=self.orders)
        self.memory = self.memory_of(
            aggregation("orders_7d", "count"),
            aggregation("spent_7d", "sum", "amount"),
            aggregation("last_amounts", "last_n(2)", "amount"),
            aggregation("shops_7d", "approx_count_distinct", "shop"),
            aggregation("dearest_30d", "max", "amount", days=30),
        )
        self.profile = FeatureView(
            name="profile", entities=[customer], ttl=10 * DAY,
            source=FileSource(
                name="profiles", path=str(folder / "profiles.parquet"), timestamp_field="since",
                created_timestamp_column="written",
            ),
            schema=[
                Field(name="age", dtype=Int64), Field(name="height", dtype=Float32),
                Field(name="wealth", dtype=Float64), Field(name="floors", dtype=Int32),
                Field(name="is_member", dtype=Bool), Field(name="name", dtype=String),
                Field(name="secret", dtype=Bytes), Field(name="tags", dtype=Array(String)),
                Field(name="scores", dtype=Array(Float32)),
                Field(name="joined", dtype=UnixTimestamp), Field(name="customer", dtype=String),
            ],
        )
        self.service = FeatureService(
            name="shopping", features=[self.memory, self.profile[["age", "name"]]]
        )

    def memory_of(self, *aggregations: Aggregation, **more: Any) -> StreamFeatureView:
        types: dict[str, Any] = {
            "count": Int64, "approx_count_distinct": Int32, "last_n(2)": Array(Float64),
        }
        return StreamFeatureView(
            name="memory", entities=[customer], source=self.order_stream, ttl=timedelta(0),
            timestamp_field="bought_at", aggregations=list(aggregations),
            schema=[Field(name="customer", dtype=String), *(
                Field(name=each.name, dtype=types.get(each.function, Float64))
                for each in aggregations
            )], **more,
        )

    @property
    def objects(self) -> list[Any]:
        return [customer, self.order_stream, self.memory, self.profile]

    @property
    def config(self) -> dict[str, Any]:
        return {
            "project": "shop", "entity_key_serialization_version": 3,
            "provider": "ml_assets.features.feast_stores.provider.PackedProvider",
            "registry": {"registry_type": "sql", "path": f"sqlite:///{self.folder}/registry.db"},
            "offline_store": {
                "type": "ml_assets.features.feast_stores.offline.LakeOfflineStore", "lake": ".",
            },
            "online_store": {"clock_file": "clock.json", **self._online},
            "batch_engine": {"type": "ml_assets.features.feast_stores.loading.PackedComputeEngine"},
        }

    def open(self) -> FeatureStore:
        """As another process would."""
        config = RepoConfig(**self.config)
        config.repo_path = self.folder
        store = FeatureStore(config=config)
        # Feast remembers what it parsed by the address of the registry's contents and their
        # version, which is empty: without one it may take another store's for this one's.
        registry: Any = store.registry
        registry.cached_registry_proto.version_id = uuid4().hex
        return store

    def apply(self) -> FeatureStore:
        store = self.open()
        store.apply([*self.objects, self.service])
        return store

    def write_orders(self, *rows: tuple[str | None, datetime, str, float | None, str]) -> None:
        """(buyer, bought_at, event_id, amount, shop); all arrived when they happened."""
        names = ("buyer", "bought_at", "event_id", "amount", "shop")
        table = pa.Table.from_pylist(
            [{**dict(zip(names, row, strict=True)), "arrived_at": row[1]} for row in rows],
            schema=ORDERS,
        )
        pq.write_table(table, self.folder / "orders.parquet")

    def write_profiles(self, *rows: dict[str, Any]) -> None:
        pq.write_table(
            pa.Table.from_pylist(list(rows), schema=PROFILES), self.folder / "profiles.parquet"
        )


def profile(customer: str | None, since: datetime, age: int | None = 30) -> dict[str, Any]:
    return {
        "customer": customer, "since": since, "written": since, "age": age, "height": 1.5,
        "wealth": 2.0**60, "floors": 3, "is_member": True, "name": "Zoë", "secret": b"\0\xff",
        "tags": ["a", ""], "scores": [0.5, 1.5], "joined": datetime(2020, 1, 1, tzinfo=UTC),
    }


def orders_frame(*rows: tuple[str | None, datetime, str, float, str]) -> pd.DataFrame:
    """Raw events as they are pushed, called as the view calls them."""
    names = ("customer", "bought_at", "event_id", "amount", "shop")
    frame = pd.DataFrame(rows, columns=list(names))
    return frame.assign(arrived_at=frame["bought_at"])
