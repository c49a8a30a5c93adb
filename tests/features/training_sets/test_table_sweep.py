"""What the rows of a table were known to say: walked through, and asked of history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.settings import Settings
from ml_assets.features.history.kept import kept_at
from ml_assets.features.online_store.versions import Column, PlainView
from ml_assets.features.service import ChosenRows, TableView
from ml_assets.features.training_sets.table_sweep import rows_from_the_past
from ml_assets.ingest.lake import Lake

MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)
ZERO = int(MIDNIGHT.timestamp()) * 1_000_000
HOUR = timedelta(hours=1) // timedelta(microseconds=1)
NAMES = ("size", "kind", "built")

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 20), st.integers(0, 20)),
                min_size=1, max_size=12)
"""Key, hour from when on it holds, hour when it became known."""
READERS = st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 23)), min_size=1, max_size=9)


def view(ttl: int) -> ChosenRows:
    plain = PlainView(name="toy_shops_latest", keys=("shop",), ttl=ttl, columns=(
        Column("size", "Float64"), Column("kind", "String"), Column("built", "UnixTimestamp")))
    return ChosenRows(columns=NAMES, view=TableView(
        name=plain.name, system="toy", table="shops", plain=plain, definition=""))


def write(folder: Path, rows: list[tuple[int, int, int]]) -> None:
    instant = pa.timestamp("us", "UTC")
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({
        "shop": pa.array([f"s{row[0]}" for row in rows]),
        "event_timestamp": pa.array([ZERO + row[1] * HOUR for row in rows]).cast(instant),
        "known_at": pa.array([ZERO + row[2] * HOUR for row in rows]).cast(instant),
        "size": pa.array([None if row[1] == 3 else row[1] + row[2] / 7 for row in rows]),
        "kind": pa.array([None if row[2] == 3 else f"k{row[2]}" for row in rows], pa.string()),
        "built": pa.array([ZERO - row[1] * 10**9 for row in rows]).cast(instant),
    }), folder / "2024-01-01.parquet")


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, readers=READERS, ttl=st.sampled_from([0, 4 * HOUR]))
def test_a_reader_sees_the_latest_row_that_was_known(
    rows: list[tuple[int, int, int]], readers: list[tuple[int, int]], ttl: int, tmp_path: Path
) -> None:
    """Of the same instant the one that became known last."""
    rows = list(dict.fromkeys(rows))
    var = Settings(var=tmp_path)
    folder = Lake(var.lake).table("toy", "shops")
    write(folder, rows)
    at = np.array([ZERO + hour * HOUR for _, hour in readers])
    keys = [f"s{key}".encode() if key < 3 else None for key, _ in readers]
    shops = pd.DataFrame({"shop": [None if key is None else key.decode() for key in keys]},
                         dtype=object)
    wanted = kept_at(folder, ["shop"], NAMES, ttl, shops, at).astype(np.float32)
    np.testing.assert_array_equal(rows_from_the_past(var, view(ttl), keys, at), wanted)


def test_nobody_asks_nothing(tmp_path: Path) -> None:
    nobody = rows_from_the_past(Settings(var=tmp_path), view(0), [], np.empty(0, np.int64))
    assert nobody.shape == (0, 3)
