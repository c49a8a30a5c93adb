"""Rows of tables as of an instant: the latest that held, of those known or loaded by then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.codes import code_of
from ml_assets.core.errors import NotReady
from ml_assets.features.history.kept import kept_at
from ml_assets.features.history.prefix import LoadedRows
from ml_assets.ingest.log.positions import Load

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1) // timedelta(microseconds=1)
ZERO = int(START.timestamp()) * 1_000_000

Row = tuple[int, int, int, float | None]
"""Key, event hour, known hour, value."""
ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 20),
              st.none() | st.floats(-5, 5)).map(lambda r: (r[0], r[1], max(r[1], r[2]), r[3])),
    min_size=1, max_size=12,
)
ASKED = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 25), st.integers(0, 6)),
                 min_size=1, max_size=8)


def write(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(exist_ok=True)
    instant = pa.timestamp("us", "UTC")
    pq.write_table(pa.table({
        "shop": pa.array([row[0] for row in rows], pa.int64()),
        "event_timestamp": pa.array([ZERO + row[1] * HOUR for row in rows]).cast(instant),
        "known_at": pa.array([ZERO + row[2] * HOUR for row in rows]).cast(instant),
        "size": pa.array([row[3] for row in rows], pa.float64()),
        "open": pa.array([row[1] % 2 == 0 for row in rows], pa.bool_()),
        "kind": pa.array([None if row[1] % 3 == 0 else f"k{row[1]}" for row in rows], pa.string()),
        "built": pa.array([None if row[1] % 5 == 0 else built(row[1]) for row in rows]
                          ).cast(instant),
    }), folder / "2024-01-01.parquet")


def built(hour: int) -> int:
    return ZERO - hour * 1_234_567_890


def expected(rows: list[Row], key: int, at: int, ttl: int, seen: list[bool]) -> list[float]:
    held = [
        (row[1], row[2], place) for place, row in enumerate(rows)
        if seen[place] and row[0] == key and row[1] <= at
    ]
    if not held:
        return [np.nan] * 4
    happened, _, place = max(held)
    if ttl and at - happened > ttl:
        return [np.nan] * 4
    size = rows[place][3]
    return [
        np.nan if size is None else size, float(happened % 2 == 0),
        np.nan if happened % 3 == 0 else float(code_of(f"k{happened}")),
        # Feast keeps whole seconds.
        np.nan if happened % 5 == 0 else
        (ZERO + at * HOUR - built(happened) // 1_000_000 * 1_000_000) / 1e6,
    ]


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, asked=ASKED, ttl=st.sampled_from([0, 3]), by_loads=st.booleans())
def test_the_latest_row_that_held_and_was_known_answers(
    rows: list[Row], asked: list[tuple[int, int, int]], ttl: int, by_loads: bool,
    tmp_path: Path,
) -> None:
    """Known by the instant asked about or, for parity, by the loads up to a position."""
    write(tmp_path, rows)
    loads = [Load(seq=seq, since=ZERO + first * HOUR, until=ZERO + end * HOUR)
             for seq, first, end in ((2, -5, 6), (4, 6, 12), (5, 12, 25))]
    upto = np.array([each[2] for each in asked], dtype=np.int64)
    found = kept_at(
        tmp_path, ["shop"], ["size", "open", "kind", "built"], ttl * HOUR,
        pd.DataFrame({"shop": [each[0] for each in asked]}),
        np.array([ZERO + each[1] * HOUR for each in asked]),
        loaded=LoadedRows(upto=upto, loads=loads) if by_loads else None,
    )
    for (key, at, position), answer in zip(asked, found, strict=True):
        until = {0: -1, 1: -1, 2: 6, 3: 6, 4: 12}.get(position, 25)
        seen = [row[2] < until if by_loads else row[2] <= at for row in rows]
        np.testing.assert_array_equal(answer, expected(rows, key, at, ttl, seen))


def test_a_missing_key_has_no_row(tmp_path: Path) -> None:
    write(tmp_path, [(1, 0, 0, 2.0)])
    shops = pd.DataFrame({"shop": [None, 1]}, dtype=object)
    found = kept_at(tmp_path, ["shop"], ["size"], 0, shops, np.array([ZERO + HOUR] * 2))
    np.testing.assert_array_equal(found, [[np.nan], [2.0]])


def test_a_table_that_was_never_stored_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="materialise the asset"):
        kept_at(tmp_path / "toy" / "shops", ["shop"], ["size"], 0, pd.DataFrame({"shop": [1]}),
                np.array([ZERO]))
