"""More than fits: the same answer in pieces, as a stream, and whole or not at all."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, Field, FileSource, PushSource, StreamFeatureView
from feast.aggregation import Aggregation
from feast.types import Array, Float32, Int64, String

from ml_assets.features.feast_stores.retrieval import HistoricalJob
from ml_assets.features.history.lookup import Asked
from tests.features.history.events import INSTANT
from tests.features.history.kit import (
    HOUR,
    LAKE,
    ask,
    city,
    driver,
    feast_store,
    hours,
    ratings_view,
    stars_view,
)

pytestmark = [
    pytest.mark.slow,
    # Feast says so of stream and on-demand views; what we rely on of them is tested.
    pytest.mark.filterwarnings("ignore:.* experimental feature"),
]

ROWS, SPINE = 6000, 5000


def table(rows: int, seed: int) -> pa.Table:
    """Ratings of 300 drivers in 3 cities over ten days; some have no driver, many tie."""
    random = np.random.default_rng(seed)
    at = int(hours(0).timestamp()) * 1_000_000 + random.integers(0, 240, rows) * 3_600_000_000
    names = np.array([None, *(f"driver {number}" for number in range(300))], dtype=object)
    return pa.table({
        "driver": pa.array(random.choice(names, rows), pa.string()),
        "city": random.integers(0, 3, rows),
        "at": pa.array(at).cast(INSTANT),
        "created": pa.array(at + random.integers(0, 2, rows) * 36_000_000_000).cast(INSTANT),
        "rating": random.random(rows, dtype=np.float32),
        "trips": random.integers(0, 9, rows),
        "event_id": pa.array([f"e{number}" for number in random.integers(0, rows, rows)]),
    })


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    (folder / "ratings").mkdir()
    for day in range(3):
        pq.write_table(table(ROWS // 3, day), folder / "ratings" / f"{day}.parquet")
    spine = table(SPINE, 9).select(["driver", "city", "at", "event_id"])
    spine = spine.rename_columns(["driver", "city", "event_timestamp", "note"])
    pq.write_table(spine, folder / "spine.parquet")
    return folder


@cache
def store_of(folder: Path, **offline: str) -> FeatureStore:
    ratings = ratings_view("ratings")
    by_city = ratings_view("ratings", "by_city", keys=("driver", "city"), ttl=24 * HOUR)
    busy = StreamFeatureView(
        name="busy", entities=[driver], ttl=timedelta(0), timestamp_field="at",
        schema=[Field(name="driver", dtype=String), Field(name="rides", dtype=Int64),
                Field(name="lately", dtype=Array(Float32))],
        source=PushSource(name="rides", batch_source=FileSource(
            name="busy source", path="ratings", timestamp_field="at",
            created_timestamp_column="created",
        )),
        aggregations=[
            Aggregation(function="count", time_window=48 * HOUR, slide_interval=HOUR,
                        name="rides"),
            Aggregation(function="last_n(2)", column="rating", time_window=48 * HOUR,
                        slide_interval=HOUR, name="lately"),
        ],
    )
    return feast_store(
        folder, [driver, city, ratings, by_city, busy, stars_view(ratings)], type=LAKE, lake=".",
        **offline,
    )


def job(
    folder: Path, rows: pd.DataFrame | str, *, known: bool = False, **offline: str
) -> HistoricalJob:
    return ask(store_of(folder, **offline), rows, [
        "ratings:rating", "by_city:trips", "busy:rides", "busy:lately", "stars:stars",
    ], filter_by_created_timestamp=known)


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many answers were found at a time, as they are found."""
    found: list[int] = []
    read = Asked.of

    def of(rows: pa.Table) -> Asked:
        found.append(rows.num_rows)
        return read(rows)

    monkeypatch.setattr(Asked, "of", staticmethod(of))
    return found


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("spine", ["frame", "sql", "path"])
def test_with_little_memory_the_answer_is_the_same(
    folder: Path, spine: str, known: bool, pieces: list[int]
) -> None:
    spines: dict[str, pd.DataFrame | str] = {
        "frame": pd.read_parquet(folder / "spine.parquet"),
        "sql": "select * from 'spine.parquet'", "path": str(folder / "spine.parquet"),
    }
    whole = job(folder, spines[spine], known=known).to_arrow()
    assert len(pieces) == 3, "each view at once"
    pieces.clear()
    little = job(folder, spines[spine], known=known, memory_limit="200KB")
    assert little.to_arrow().equals(whole)
    assert len(pieces) > 12
    assert max(pieces) < SPINE / 2
    assert whole["note"].equals(pq.read_table(folder / "spine.parquet")["note"])
    assert whole.num_rows - whole["rating"].null_count > SPINE / 2


def test_a_stream_has_the_same_rows_with_on_demand_features(folder: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(folder / "spine.parquet")
    whole = job(folder, rows).to_arrow()
    for memory_limit in ("200KB", "1GB"):
        streaming = job(folder, rows, memory_limit=memory_limit)
        batches = list(streaming.to_record_batches(1024))
        assert [batch.num_rows for batch in batches] == [1024] * 4 + [SPINE - 4096]
        assert pa.Table.from_batches(batches).combine_chunks().equals(whole.combine_chunks())
        streaming.to_parquet(tmp_path / "set.parquet")
        assert pq.read_table(tmp_path / "set.parquet").equals(whole)
    none = list(job(folder, rows.head(0), memory_limit="200KB").to_record_batches())
    assert [batch.num_rows for batch in none] == [0]
    assert none[0].schema.names == whole.schema.names


def test_a_set_that_could_not_be_written_leaves_the_one_before(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "set.parquet"
    path.write_bytes(b"what was there")
    rows = pd.read_parquet(folder / "spine.parquet").drop(columns="city")
    with pytest.raises(ValueError, match="the spine lacks 'city'"):
        job(folder, rows).to_parquet(path)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_what_did_not_fit_is_gone_afterwards(folder: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(folder / "spine.parquet")
    scratch = tmp_path / "scratch"
    little = job(folder, rows, memory_limit="200KB", temp_directory=str(scratch))
    batches = little.to_record_batches(1024)
    next(batches)
    assert [each.name[:9] for each in scratch.iterdir()] == ["lake-job-"]
    batches.close()  # type: ignore[attr-defined]  # it is a generator
    assert list(scratch.iterdir()) == []
