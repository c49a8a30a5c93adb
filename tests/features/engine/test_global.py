"""A view without keys counts all events, online as from history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.history.ask import windowed_at
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.counting import apply_rows
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.reader import FeatureReader, Wanted

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3_600_000_000
VIEW = WindowedView(
    name="all_sales", keys=(), timestamp="event_timestamp", aggregates=tuple(
        Aggregate(name=name, function=parse_function(function, "a test"), column=column,
                  window=6 * HOUR, slide=HOUR)
        for name, function, column in (("sales", "count", ""), ("sum", "sum", "amount"),
                                       ("shops", "approx_count_distinct", "shop"))))


@settings(max_examples=25, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minutes=st.lists(st.integers(0, 600), min_size=1, max_size=20),
       asked=st.lists(st.integers(0, 700), min_size=1, max_size=6))
def test_all_events_are_one_entitys(minutes: list[int], asked: list[int], tmp_path: Path) -> None:
    folder = tmp_path / "toy" / "events"
    folder.mkdir(parents=True, exist_ok=True)
    at = [START + timedelta(minutes=each) for each in minutes]
    rows = pa.table({
        "event_id": [f"e{n}" for n in range(len(at))],
        "event_timestamp": pa.array(at, pa.timestamp("us", "UTC")),
        "shop": [f"shop {n % 3}" if n % 4 else "" for n in range(len(at))],
        "amount": [float(n) for n in range(len(at))],
    })
    pq.write_table(rows, folder / "2024-01-01.parquet")
    when = [START + timedelta(minutes=each) for each in asked]
    micros = np.array([int(each.timestamp()) * 1_000_000 for each in when])
    history = windowed_at(VIEW, folder, pd.DataFrame({"shop": [""] * len(when)}), micros)
    for place, instant in enumerate(asked):
        first = max(0, -(-instant // 60) - 6) * 60 if instant else 0
        inside = [n for n, minute in enumerate(minutes) if first <= minute < instant]
        assert history[place, 0] == len(inside)
        assert history[place, 1] == sum(inside)

    for leftover in tmp_path.glob("online*"):
        leftover.unlink()
    backend = LmdbBackend(tmp_path / "online.lmdb")
    try:
        number = backend.register(VIEW.name, digest_of(VIEW))
        apply_rows(VIEW, backend, rows, view_id=number)
        reader = FeatureReader(backend, [Wanted(VIEW, VIEW.columns)])
        found = reader.read([{"shop": ""}] * len(when), when)
    finally:
        backend.close()
    # Online, an event may be so late that a later instant is answered.
    exact = found.as_of == micros
    np.testing.assert_array_equal(found.values[exact], history.astype(np.float32)[exact])
