"""Spines that are not a DataFrame: SQL, a file, nothing but a stretch of time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureStore
from feast.errors import EntityTimestampInferenceException

from ml_assets.core.errors import InvalidRequest
from tests.features.history.events import INSTANT
from tests.features.history.kit import (
    HOUR,
    ask,
    city,
    driver,
    feast_store,
    hours,
    rating,
    ratings_view,
    spine,
    values,
    write,
)

pytestmark = pytest.mark.slow

ASKED = pa.schema([("driver", pa.string()), ("event_timestamp", INSTANT), ("note", pa.string())])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("spines")
    write(folder / "lake" / "ratings" / "1.parquet", [
        rating("ann", 0, 1.0), rating("bob", 2, 2.0, city=2), rating("cem", 9, 3.0),
        rating(None, 1, 4.0),
    ])
    write(folder / "lake" / "asked.parquet", [
        {"driver": who, "event_timestamp": hours(at), "note": note}
        for who, at, note in (("bob", 3, "x"), ("ann", 3, "y"), ("bob", 1, "z"), (None, 3, None))
    ], ASKED)
    return feast_store(
        folder, [driver, city, ratings_view("ratings", ttl=24 * HOUR),
                 ratings_view("ratings", "by_city", keys=("city",)),
                 ratings_view("ratings", "both", keys=("city", "driver"))],
        type="ml_assets.features.feast_stores.offline.LakeOfflineStore", lake="lake",
    )


@pytest.mark.parametrize("text", [
    "select * from 'asked.parquet'", "from 'asked.parquet';", "asked.parquet",
    "select driver, event_timestamp::timestamp as event_timestamp, note from 'asked.parquet'",
    "select driver, event_timestamp::varchar as event_timestamp, note from 'asked.parquet'",
])
def test_sql_over_the_lake_and_a_file_of_it_are_spines(store: FeatureStore, text: str) -> None:
    job = ask(store, text, ["ratings:rating"])
    found = job.to_arrow()
    assert found.schema.names == ["driver", "event_timestamp", "note", "rating"]
    assert found.schema.field("event_timestamp").type == INSTANT
    assert values(found, "note") == ["x", "y", "z", None]
    assert values(found, "event_timestamp") == [hours(at) for at in (3, 3, 1, 3)]
    assert values(found, "rating") == [2.0, 1.0, None, None]
    assert job.metadata.keys == ["driver", "note"]
    assert job.metadata.min_event_timestamp == hours(1)
    assert job.metadata.max_event_timestamp == hours(3)


def test_sql_finds_paths_where_the_process_works(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine.parquet", [{"driver": "ann", "event_timestamp": hours(1)}], ASKED)
    found = ask(store, "select * from 'mine.parquet' where driver = 'ann'", ["ratings:rating"])
    assert values(found.to_arrow(), "rating") == [1.0]


def test_python_variables_are_not_tables(store: FeatureStore) -> None:
    frame = spine(("ann", 1))
    assert len(frame) == 1
    with pytest.raises(Exception, match="frame does not exist"):
        ask(store, "select * from frame", ["ratings:rating"]).to_df()


def test_a_spine_that_says_no_instant_is_refused(store: FeatureStore) -> None:
    with pytest.raises(InvalidRequest, match="the spine's 'event_timestamp' is INTEGER"):
        ask(store, "select 'ann' as driver, 1 as event_timestamp", ["ratings:rating"]).to_df()
    with pytest.raises(EntityTimestampInferenceException):
        ask(store, "select 'ann' as driver", ["ratings:rating"]).to_df()
    with pytest.raises(InvalidRequest, match="the spine is a list; expected a DataFrame, SQL, or"):
        ask(store, [1], ["ratings:rating"]).to_df()  # type: ignore[arg-type]


def test_a_row_that_says_no_instant_is_kept_and_knows_nothing(store: FeatureStore) -> None:
    rows = pd.DataFrame({"driver": ["ann", "ann"], "event_timestamp": [hours(1), pd.NaT]})
    found = ask(store, rows, ["ratings:rating"])
    assert values(found.to_arrow(), "rating") == [1.0, None]
    assert found.metadata.max_event_timestamp == hours(1)


def test_without_a_spine_every_entity_of_the_time_is_asked_for(store: FeatureStore) -> None:
    found = ask(
        store, None, ["ratings:rating"], start_date=hours(-1), end_date=hours(3)
    ).to_arrow()
    assert found.to_pylist() == [
        {"driver": who, "event_timestamp": hours(3), "rating": value}
        for who, value in (("ann", 1.0), ("bob", 2.0))
    ]
    both = ask(
        store, None, ["by_city:rating", "both:trips"], start_date=hours(-1), end_date=hours(30)
    ).to_arrow()
    assert both.select(["city", "driver", "rating", "trips"]).to_pylist() == [
        {"city": 1, "driver": "ann", "rating": 3.0, "trips": 0},
        {"city": 1, "driver": "cem", "rating": 3.0, "trips": 0},
        {"city": 1, "driver": None, "rating": 3.0, "trips": None},
        {"city": 2, "driver": "bob", "rating": 2.0, "trips": 0},
        {"city": 2, "driver": None, "rating": 2.0, "trips": None},
    ]


def test_without_a_start_the_views_ttl_says_how_far_back(store: FeatureStore) -> None:
    late = datetime(2024, 3, 2, 1, tzinfo=UTC)
    found = ask(store, None, ["ratings:rating"], end_date=late).to_arrow()
    assert values(found, "driver") == ["bob", "cem"], "what ann had is older than a day"
