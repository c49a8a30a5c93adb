"""Feast repositories to test with, written to a folder."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

CONFIG = """
project: drivers
provider: local
registry:
  registry_type: sql
  path: sqlite:///registry.sqlite
online_store:
  type: sqlite
  path: online.sqlite
offline_store:
  type: {offline}
entity_key_serialization_version: 3
"""

EVERY_KIND = '''
"""Every kind of object that Feast knows."""

from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import (
    BatchFeatureView, Entity, FeatureService, FeatureView, Field, FileSource, KafkaSource,
    PushSource, RequestSource, StreamFeatureView, ValueType,
)
from feast.aggregation import Aggregation
from feast.data_format import JsonFormat
from feast.labeling import LabelView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Float64, Int64, String

print("a repository may print")
DAY = timedelta(days=1)

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64,
                description="who drives")
trips = FileSource(
    name="trips", path=str(Path(__file__).parent / "data" / "trips.parquet"),
    timestamp_field="event_timestamp", tags={"dagster/asset_key": "lake/trips"},
)
ratings = FileSource(name="ratings", path="data/ratings.parquet",
                     timestamp_field="event_timestamp", description="What riders said.")
trip_push = PushSource(name="trip_push", batch_source=trips)
clicks = KafkaSource(
    name="clicks", kafka_bootstrap_servers="broker:9092", topic="clicks",
    timestamp_field="event_timestamp", batch_source=ratings,
    message_format=JsonFormat("driver_id int, clicked int, event_timestamp timestamp"),
    watermark_delay_threshold=timedelta(minutes=5),
)
key = Field(name="driver_id", dtype=Int64)

driver_stats = FeatureView(
    name="driver_stats", entities=[driver], ttl=DAY, source=trips,
    schema=[key, Field(name="rate", dtype=Float64, description="share of trips accepted"),
            Field(name="past", dtype=Array(Float64))],
    description="How a driver did.", owner="drivers@example.org",
    tags={"system": "fraud", "cost centre": "a & b"},
)
driver_windows = StreamFeatureView(
    name="driver_windows", entities=[driver], ttl=timedelta(0), source=trip_push,
    timestamp_field="event_timestamp", owner="The Drivers",
    schema=[key, Field(name="n", dtype=Int64), Field(name="km_7d", dtype=Float64),
            Field(name="max_km_129600s", dtype=Float64)],
    aggregations=[
        Aggregation(function="count", time_window=timedelta(hours=36), name="n"),
        Aggregation(function="sum", column="km", time_window=7 * DAY, slide_interval=DAY,
                    name="km_7d"),
        Aggregation(function="max", column="km", time_window=timedelta(hours=36)),
    ],
)
driver_clicks = StreamFeatureView(
    name="driver_clicks", entities=[driver], ttl=timedelta(0), source=clicks,
    timestamp_field="event_timestamp", schema=[key, Field(name="clicked", dtype=Int64)],
)


def cleaned(rows):
    """What this says does not matter."""
    return rows.dropna()


driver_trips = BatchFeatureView(
    name="driver_trips", entities=[driver], source=ratings, mode="pandas", udf=cleaned,
    schema=[key, Field(name="trips", dtype=Int64)], online=True,
)
driver_summary = BatchFeatureView(
    name="driver_summary", entities=[driver], source=[driver_trips], sink_source=trips,
    mode="pandas", udf=cleaned, schema=[key, Field(name="trips", dtype=Int64)], online=True,
)
everywhere = FeatureView(name="everywhere", entities=[], source=ratings, online=False,
                         schema=[Field(name="mean_rating", dtype=Float64)])
ride = RequestSource(name="ride", schema=[Field(name="km", dtype=Float64)])


@on_demand_feature_view(
    sources=[driver_stats, ride], schema=[Field(name="score", dtype=Float64)], mode="pandas",
    description="What a ride is worth.",
)
def ride_score(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"score": inputs["rate"] * inputs["km"]})


driver_fraud = LabelView(
    name="driver_fraud", entities=[driver], source=trip_push,
    schema=[key, Field(name="fraud", dtype=Int64), Field(name="labeler", dtype=String)],
)
ranking = FeatureService(
    name="ranking", features=[driver_stats[["rate"]], driver_windows, ride_score, driver_fraud],
    description="Who is asked first.", owner="team:ranking",
)
pairs = FeatureService(name="pairs", features=[
    driver_stats.with_name("other").with_join_key_map({"driver_id": "other_driver_id"}),
])
hidden = [Entity(name="rider", join_keys=["rider_id"], value_type=ValueType.INT64)]
'''

TWO_VIEWS = '''
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


def view(name: str, column: str, ttl: timedelta) -> FeatureView:
    source = FileSource(name=f"{name}_rows", path=f"{ROOT}data/{name}.parquet",
                        timestamp_field="event_timestamp")
    return FeatureView(
        name=name, entities=[driver], ttl=ttl, source=source,
        schema=[Field(name="driver_id", dtype=Int64), Field(name=column, dtype=Float64)],
    )


a_rates = view("a_rates", "rate", timedelta(days=3650))
b_trips = view("b_trips", "trips", timedelta(0))
ranking = FeatureService(name="ranking", features=[a_rates, b_trips])
'''


def write_repo(
    folder: Path, definitions: str, *, offline: str = "dask", **files: pd.DataFrame
) -> Path:
    """A repository in `folder`; `files` become Parquet files under its `data`."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(CONFIG.format(offline=offline))
    (folder / "definitions.py").write_text(definitions)
    for name, rows in files.items():
        rows.to_parquet(folder / "data" / f"{name}.parquet", index=False, coerce_timestamps="us")
    return folder


def table(column: str, *rows: tuple[int, str, float]) -> pd.DataFrame:
    """Rows of (driver, day such as 2026-01-05T12:00, value)."""
    return pd.DataFrame({
        "driver_id": [row[0] for row in rows],
        "event_timestamp": [instant(row[1]) for row in rows],
        column: [row[2] for row in rows],
    })


def instant(said: str) -> datetime:
    return datetime.fromisoformat(said).replace(tzinfo=UTC)
