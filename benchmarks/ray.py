"""Windowed features by 1, 2 and 4 workers of a Ray cluster on this machine, beside none.

    ml-assets bench ray --quick

WorkerPool on one machine share its cores, so more of them than there are cores cannot gain: what is
measured is what sharding costs. Each cluster is started, warmed up and stopped outside the clock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.feature_store.data import HISTORY, make_spine, write_events
from benchmarks.ray_cluster import cluster
from ml_assets.bench import Measurement
from ml_assets.core.runtime.workers import WorkerPool, workers_at
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.history.ask import WindowedNumbers
from ml_assets.features.history.pieces import write_features
from ml_assets.features.history.relations.duck import Limits, opened
from ml_assets.features.history.sharded.answering import answering_of
from ml_assets.features.history.spine import spine_of_file

WORKERS = (1, 2, 4)
FILES = 16
MEMORY = 2**31
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
VIEW = WindowedView(
    name="bench", keys=("customer",), timestamp="event_timestamp",
    aggregates=tuple(
        Aggregate(name=f"{function}_{days}d", function=parse_function(function, "a benchmark"),
                  column="amount", window=days * DAY_US, slide=HOUR_US)
        for function in ("count", "sum", "std") for days in (1, 7, 30)),
)


def measure(*, quick: bool) -> Iterator[Measurement]:
    if find_spec("ray") is None:
        yield _line("features on Ray", 0.0, None, None, not_measured="Ray is not installed")
        return
    events = 300_000 if quick else 4_000_000
    with TemporaryDirectory(prefix="ml-assets-bench-") as name:
        folder = Path(name)
        _write(folder, events)
        _features(folder, "warm.parquet", None)
        alone_s, expected = _features(folder, "spine.parquet", None)
        bench = f"windowed features of {events:,} events"
        yield _line(f"{bench}, this process", events / alone_s, None, None)
        for count in WORKERS:
            with cluster(cores=count) as address:
                workers = workers_at(address)
                _features(folder, "warm.parquet", workers)
                seconds, found = _features(folder, "spine.parquet", workers)
            yield _line(f"{bench}, {count} worker{'s' * (count > 1)}", events / seconds,
                        events / alone_s, np.array_equal(found, expected))


def _line(
    bench: str, ours: float, peer: float | None, equal: bool | None, *,
    not_measured: str | None = None,
) -> Measurement:
    return Measurement(
        bench=bench, ours=ours, peer=peer, unit="events/s",
        ratio=None if peer is None or not ours else ours / peer,
        goal="the same bits as this process", met=equal is not False, equal=equal,
        note=f"{os.cpu_count()} cores", not_measured=not_measured)


def _write(folder: Path, events: int) -> None:
    """The events in files, as days are, and a spine of a tenth as many rows."""
    (folder / "bench" / "events").mkdir(parents=True)
    write_events(folder / "events.parquet", rows=events)
    table = pq.read_table(folder / "events.parquet")
    table = table.sort_by("event_timestamp")
    for number in range(FILES):
        start, end = (events * part // FILES for part in (number, number + 1))
        pq.write_table(table.slice(start, end - start),
                       folder / "bench" / "events" / f"{number:02}.parquet")
    for name, rows in (("warm", 100), ("spine", events // 10)):
        spine = make_spine(rows=rows, entities=max(1, events // HISTORY), text=True)
        pq.write_table(pa.Table.from_pandas(spine, preserve_index=False),
                       folder / f"{name}.parquet")


def _features(
    folder: Path, spine: str, workers: WorkerPool | None
) -> tuple[float, npt.NDArray[np.uint32]]:
    """Wall seconds, and the bits (n, columns) of all features."""
    with (
        TemporaryDirectory(dir=folder) as scratch,
        opened(Limits(memory=MEMORY, scratch=Path(scratch, "duckdb"))) as con,
    ):
        started = perf_counter()
        rows = spine_of_file(con, folder / spine, "event_timestamp", ["customer"])
        lookup = WindowedNumbers(con, VIEW, folder / "bench" / "events", VIEW.columns, rows)
        write_features(con, lookup, Path(scratch, "found.parquet"), MEMORY,
                       answering_of(workers, Path(scratch)))
        seconds = perf_counter() - started
        found = pq.read_table(Path(scratch, "found.parquet"))
        return seconds, np.stack(
            [column.to_numpy().view(np.uint32) for column in found.columns], axis=1)
