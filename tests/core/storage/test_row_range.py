"""Rows of a file are read a few at a time, each once, and divided in time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import NotReady
from ml_assets.core.storage.row_range import RowRange


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """1,000 rows, in groups of so many."""
    folder, start = tmp_path_factory.mktemp("rows"), datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    rows = pa.table({"number": np.arange(1000), "twice": 2 * np.arange(1000),
                     "event_timestamp": pa.array(
                         [datetime.fromtimestamp(start + each, UTC) for each in range(1000)])})
    for group in (7, 100, 1000):
        pq.write_table(rows, folder / f"{group}.parquet", row_group_size=group)
    return {group: folder / f"{group}.parquet" for group in (7, 100, 1000)}


@given(group=st.sampled_from([7, 100, 1000]), start=st.integers(0, 400),
       rows=st.integers(0, 600), most=st.integers(20, 1200))
@settings(deadline=None)  # a busy machine reads files slowly
def test_all_rows_of_a_range_come_in_order(
    files: dict[int, Path], group: int, start: int, rows: int, most: int
) -> None:
    asked = RowRange.of(files[group]).part(10, 1000).part(start, start + rows)
    tables = list(asked.tables(["twice", "number"], most=most))
    assert all(table.column_names == ["twice", "number"] for table in tables)
    assert all(len(table) <= most for table in tables)
    numbers = [each for table in tables for each in table["number"].to_pylist()]
    assert numbers == list(range(10 + start, 10 + start + rows)) == \
        asked.table(["number"])["number"].to_pylist()


def test_a_sample_is_spread_over_the_range(files: dict[int, Path]) -> None:
    rows = RowRange(path=files[7], start=100, stop=1000)
    assert rows.sample(90)["number"].to_pylist() == list(range(100, 1000, 10))
    assert RowRange.of(files[100]).sample(5000, ["number"]).column_names == ["number"]
    assert len(RowRange.of(files[100]).sample(5000)) == 1000


def test_the_latest_rows_are_for_validation(files: dict[int, Path]) -> None:
    for range_, share, cut in ((RowRange.of(files[7]), 0.1, 900), (RowRange.of(files[7]), 0, 1000),
                               (RowRange(path=files[7], start=100, stop=400), 0.25, 325)):
        early, late = range_.divided_in_time(share)
        assert (early.start, early.stop, late.start, late.stop) == (
            range_.start, cut, cut, range_.stop)


def test_rows_of_one_instant_are_on_one_side(tmp_path: Path) -> None:
    def written(*minutes: int) -> RowRange:
        pq.write_table(pa.table({"event_timestamp": pa.array(
            [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in minutes])}),
            tmp_path / "rows.parquet")
        return RowRange.of(tmp_path / "rows.parquet")

    assert list(map(len, written(1, 2, 3, 3, 3, 4).divided_in_time(0.4))) == [2, 4]
    with pytest.raises(NotReady, match="cannot be divided in time"):
        written(3, 3, 3).divided_in_time(0.4)
    with pytest.raises(NotReady, match="not in the order of 'event_timestamp'"):
        written(3, 2, 4).divided_in_time(0.4)
