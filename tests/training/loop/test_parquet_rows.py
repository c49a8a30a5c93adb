"""Rows of a file are streamed: each once in an epoch, in an order of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.storage.row_range import RowRange
from ml_assets.training.loop.parquet_rows import ParquetRows
from tests.training.loop.made_up import Numbered, write_numbered


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("rows")
    return {group: write_numbered(folder / f"{group}.parquet", 1000, group=group)
            for group in (7, 100, 1000)}


def source(
    path: Path, start: int = 0, stop: int = 1000, *, buffer: int = 2**18
) -> ParquetRows:
    return ParquetRows(stored=RowRange(path=path, start=start, stop=stop), columns=("number",),
                       encode=Numbered(), buffer=buffer)


def numbers(rows: ParquetRows, epoch: int = 0, seed: int = 1) -> list[int]:
    return [round(row * 3000) for block in rows(epoch, seed) for row in block.wanted.tolist()]


@given(group=st.sampled_from([7, 100, 1000]), start=st.integers(0, 400),
       rows=st.integers(1, 600), buffer=st.integers(20, 1200))
@settings(deadline=None)  # a busy machine reads files slowly
def test_an_epoch_has_each_row_of_the_range_once(
    files: dict[int, Path], group: int, start: int, rows: int, buffer: int
) -> None:
    asked = source(files[group], start, start + rows, buffer=buffer)
    assert asked.rows == rows
    assert sorted(numbers(asked)) == list(range(start, start + rows))
    plain = replace(asked, shuffle=False)
    assert numbers(plain) == list(range(start, start + rows))


def test_the_seed_and_the_epoch_decide_on_the_order(files: dict[int, Path]) -> None:
    asked = source(files[7], buffer=200)
    assert numbers(asked, 0, 1) == numbers(asked, 0, 1)
    assert numbers(asked, 0, 1) != numbers(asked, 1, 1) != numbers(asked, 1, 2)


def test_row_groups_of_all_times_mix(files: dict[int, Path]) -> None:
    """A file is in the order of time: the first fifth of an epoch must not be its first fifth."""
    first = numbers(source(files[7], buffer=200))[:200]
    assert min(first) < 150 and max(first) > 850
    assert abs(np.mean(first) - 500) < 150
