"""Rows of a file are streamed: each once in an epoch, the latest for validation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import NotReady
from ml_assets.training.loop.parquet_rows import ParquetRows, parts_in_time
from tests.training.loop.made_up import Numbered, write_numbered


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("rows")
    return {group: write_numbered(folder / f"{group}.parquet", 1000, group=group)
            for group in (7, 100, 1000)}


def source(
    path: Path, start: int = 0, stop: int = 1000, *, buffer: int = 2**18
) -> ParquetRows:
    return ParquetRows(path=path, columns=("number",), encode=Numbered(), start=start, stop=stop,
                       buffer=buffer)


def numbers(rows: ParquetRows, epoch: int = 0, seed: int = 1) -> list[int]:
    return [round(row * 3000) for block in rows(epoch, seed) for row in block.wanted.tolist()]


@given(group=st.sampled_from([7, 100, 1000]), start=st.integers(0, 400),
       rows=st.integers(1, 600), buffer=st.integers(20, 1200))
def test_an_epoch_has_each_row_of_the_range_once(
    files: dict[int, Path], group: int, start: int, rows: int, buffer: int
) -> None:
    asked = source(files[group], start, start + rows, buffer=buffer)
    assert asked.rows == rows
    assert sorted(numbers(asked)) == list(range(start, start + rows))
    plain = ParquetRows(path=asked.path, columns=asked.columns, encode=asked.encode, start=start,
                        stop=start + rows, buffer=buffer, shuffle=False)
    assert numbers(plain) == list(range(start, start + rows))
    assert all(len(table) <= buffer for table in asked.tables())


def test_the_seed_and_the_epoch_decide_on_the_order(files: dict[int, Path]) -> None:
    asked = source(files[7], buffer=200)
    assert numbers(asked, 0, 1) == numbers(asked, 0, 1)
    assert numbers(asked, 0, 1) != numbers(asked, 1, 1) != numbers(asked, 1, 2)


def test_row_groups_of_all_times_mix(files: dict[int, Path]) -> None:
    """A file is in the order of time: the first fifth of an epoch must not be its first fifth."""
    first = numbers(source(files[7], buffer=200))[:200]
    assert min(first) < 150 and max(first) > 850
    assert abs(np.mean(first) - 500) < 150


def test_a_sample_is_spread_over_the_file(files: dict[int, Path]) -> None:
    sampled = source(files[7], 100, 1000, buffer=50).sample(90)["number"].to_pylist()
    assert sampled == list(range(100, 1000, 10))
    assert len(source(files[100]).sample(5000)) == 1000


def test_the_latest_rows_are_for_validation(files: dict[int, Path]) -> None:
    assert parts_in_time(files[7], 0.1) == (range(900), range(900, 1000))
    assert parts_in_time(files[7], 0.25, stop=400) == (range(300), range(300, 400))
    assert parts_in_time(files[7], 0) == (range(1000), range(0))


def test_rows_of_one_instant_are_on_one_side(tmp_path: Path) -> None:
    def written(*minutes: int) -> Path:
        pq.write_table(pa.table({"event_timestamp": pa.array(
            [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in minutes])}),
            tmp_path / "rows.parquet")
        return tmp_path / "rows.parquet"

    assert parts_in_time(written(1, 2, 3, 3, 3, 4), 0.4) == (range(2), range(2, 6))
    with pytest.raises(NotReady, match="cannot be divided in time"):
        parts_in_time(written(3, 3, 3), 0.4)
    with pytest.raises(NotReady, match="not in the order of 'event_timestamp'"):
        parts_in_time(written(3, 2, 4), 0.4)
