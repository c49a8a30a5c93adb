"""Every work of `ml-assets bench features` at a tiny size: equal results, goals stated.

Nothing here looks at a cost: that is what the benchmark itself is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.feature_store import growth, loading, offline, reading, streaming, windowed
from benchmarks.feature_store.data import write_entities, write_history
from benchmarks.feature_store.redis_server import running_redis, why_not
from benchmarks.features import WORKS
from ml_assets.bench import Measurement

pytestmark = pytest.mark.slow


def test_as_of_joins_equal_those_of_feast_and_of_sql() -> None:
    cell = offline.Cell(rows=3_000, views=2, spine_rows=500, goals=True)
    found = _sound(offline.measure_cell(cell, runs=1))
    assert [each.unit for each in found] == ["CPU s", "GB", "CPU s"]


def test_windowed_aggregates_equal_those_of_pandas() -> None:
    _sound(windowed.measure_beside_pandas(3_000, times=10, runs=1))


def test_windowed_aggregates_are_measured_at_the_slides_one_would_declare() -> None:
    found = list(windowed.measure_alone(3_000, runs=1))
    assert [each.unit for each in found] == ["s", "GB"]


def test_a_loaded_store_answers_as_feasts_own_and_holds_a_row_for_each_entity() -> None:
    _sound(loading.measure_entities(1_000, (300, 600), times=20, runs=1))


def test_all_ways_to_read_from_files_agree(tmp_path: Path) -> None:
    found = _sound(reading.measure_reads(tmp_path, None, 200, runs=1, stretch_s=0.001))
    assert len(found) == 9


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is a Redis")
def test_all_ways_to_read_from_redis_agree(tmp_path: Path) -> None:
    with running_redis(tmp_path) as port:
        found = _sound(reading.measure_reads(tmp_path, port, 200, runs=1, stretch_s=0.001))
    assert len(found) == 9


def test_streamed_events_are_all_counted() -> None:
    _sound(streaming.measure_batches(64, 25, events=512, runs=1))


def test_growth_is_measured_for_three_works_and_drawn(tmp_path: Path) -> None:
    plot = tmp_path / "benchmarks" / "growth.png"
    found = list(growth.measure_sizes((300, 3_000), plot))
    assert len(found) == len(growth.WORKS)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_door_knows_every_work() -> None:
    assert set(WORKS) == {"as-of", "windowed", "loading", "reading", "streaming", "growth"}


def test_a_longer_table_of_entities_starts_with_a_shorter_one(tmp_path: Path) -> None:
    """Else Feast, measured on fewer, could not be compared."""
    write_entities(tmp_path / "short.parquet", view=0, rows=50)
    write_entities(tmp_path / "long.parquet", view=0, rows=80)
    long = pq.read_table(tmp_path / "long.parquet")
    assert pq.read_table(tmp_path / "short.parquet").equals(long.slice(0, 50))


def test_one_row_in_a_hundred_repeats_an_instant_and_the_latest_of_them_is_one(
    tmp_path: Path,
) -> None:
    write_history(tmp_path / "view.parquet", view=0, rows=20_000, entities=200)
    rows = pq.read_table(tmp_path / "view.parquet").to_pandas()
    key = ["customer", "event_timestamp"]
    assert 0.005 < rows.duplicated(key).mean() < 0.02
    assert not rows.duplicated([*key, "created"]).any()


def _sound(measurements: Iterable[Measurement]) -> list[Measurement]:
    """They are there, their results are equal, and each has a goal."""
    found = list(measurements)
    assert found
    for each in found:
        assert each.equal is True, each.bench
        assert each.goal and each.ours >= 0
    return found
