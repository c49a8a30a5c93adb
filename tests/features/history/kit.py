"""Small Feast repositories for the tests of the offline store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.transformation.pandas_transformation import PandasTransformation
from feast.types import Float32, Float64, Int64, String

from ml_assets.features.feast_stores.retrieval import HistoricalJob
from tests.features.history.events import INSTANT, START

LAKE = "ml_assets.features.feast_stores.offline.LakeOfflineStore"
HOUR = timedelta(hours=1)

driver = Entity(name="driver", join_keys=["driver"], value_type=ValueType.STRING)
city = Entity(name="city", join_keys=["city"], value_type=ValueType.INT64)

KEYS = {"driver": Field(name="driver", dtype=String), "city": Field(name="city", dtype=Int64)}

RATINGS = pa.schema([
    ("driver", pa.string()), ("city", pa.int64()), ("at", INSTANT), ("created", INSTANT),
    ("rating", pa.float32()), ("trips", pa.int64()),
])


def feast_store(folder: Path, objects: Sequence[Any], **offline: object) -> FeatureStore:
    """A store with its registry in `folder`; over the lake there unless `offline` says else."""
    folder.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(
        project="fleet", provider="local", registry=str(folder / "registry.db"),
        offline_store=offline or {"type": LAKE, "lake": "."}, online_store=None,
        entity_key_serialization_version=3,
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    store.apply(list(objects))
    return store


def ratings_view(
    path: Path | str, name: str = "ratings", *, keys: Sequence[str] = ("driver",),
    ttl: timedelta = timedelta(0), created: bool = True, **more: Any,
) -> FeatureView:
    """`rating` and `trips` of what `keys` name."""
    return FeatureView(
        name=name, entities=[{"driver": driver, "city": city}[key] for key in keys], ttl=ttl,
        schema=[*(KEYS[key] for key in keys), Field(name="rating", dtype=Float32),
                Field(name="trips", dtype=Int64)],
        source=FileSource(name=f"{name} source", path=str(path), timestamp_field="at",
                          created_timestamp_column="created" if created else "", **more),
    )


def stars_view(ratings: FeatureView) -> OnDemandFeatureView:
    """Five stars for each point of a rating, computed with pandas."""
    return OnDemandFeatureView(
        name="stars", sources=[ratings[["rating"]]], mode="pandas",
        schema=[Field(name="stars", dtype=Float64)],
        feature_transformation=PandasTransformation(udf=_stars, udf_string="five a point"),
    )


def _stars(found: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"stars": found["rating"].astype("float64") * 5})


def hours(number: float) -> datetime:
    """So many hours after the start."""
    return START + number * HOUR


def write(path: Path, rows: Sequence[Mapping[str, object]], schema: pa.Schema = RATINGS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)
    return path


def rating(
    driver: str | None, at: float, rating: float | None, *, created: float | None = None,
    city: int | None = 1, trips: int | None = 0,
) -> dict[str, object]:
    return {"driver": driver, "city": city, "at": hours(at), "rating": rating, "trips": trips,
            "created": hours(at if created is None else created)}


def spine(*rows: tuple[str | None, float], **columns: Sequence[object]) -> pd.DataFrame:
    """Who and when, in hours after the start."""
    return pd.DataFrame({
        "driver": pd.Series([who for who, _ in rows], dtype=object),
        "event_timestamp": pd.Series([hours(at) for _, at in rows], dtype="datetime64[ns, UTC]"),
        **columns,
    })


def ask(
    store: FeatureStore, rows: pd.DataFrame | str | None, features: Sequence[str], **more: Any
) -> HistoricalJob:
    job = store.get_historical_features(entity_df=rows, features=list(features), **more)
    assert isinstance(job, HistoricalJob)
    return job


@contextmanager
def feasts_own_engine() -> Iterator[None]:
    """Lets go of what Feast's own store opens: else DuckDB prints pages when the process ends."""
    try:
        yield
    finally:
        import ibis  # type: ignore[import-untyped]  # comes with Feast, ships no types

        ibis.options.default_backend = None


def values(found: pa.Table, name: str) -> list[object]:
    listed: list[object] = found[name].to_pylist()
    return listed
