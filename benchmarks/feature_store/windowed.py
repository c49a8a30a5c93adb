"""Windowed aggregates: ours at full size, and beside pandas for windows it supports.

The `rolling` of pandas knows only windows that end at each instant t and reach back a fixed
time, `[t - window, t)`. Ours start at a multiple of the slide; with a slide of one
microsecond that is the same window. So pandas is compared at that slide, and the figures at
full size are taken at slides that one would declare, an hour and a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.feature_store.data import HISTORY, make_spine, write_events
from benchmarks.feature_store.goals import against, below
from benchmarks.feature_store.jobs import Meter, Outcome, median_of, run
from benchmarks.feature_store.results import Floats, digest, matrix
from ml_assets.bench import Measurement

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.aggregation import Aggregation

WINDOWS = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
FUNCTIONS = ("count", "sum", "mean", "std")
COLUMNS = [f"{function}_{window}" for window in WINDOWS for function in FUNCTIONS]
SLIDES = {"1d": timedelta(hours=1), "7d": timedelta(days=1), "30d": timedelta(days=1)}
NO_SLIDES = dict.fromkeys(WINDOWS, timedelta(microseconds=1))

TOLERANCE = 1e-6
"""pandas computes variances in float64 by adding and removing; its counts must be equal."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    if quick:
        yield from measure_alone(100_000, runs=1)
        yield from measure_beside_pandas(100_000, times=2, runs=1)
    else:
        yield from measure_alone(10_000_000, runs=3)
        yield from measure_beside_pandas(3_000_000, times=10, runs=3)


def measure_alone(events: int, *, runs: int) -> Iterator[Measurement]:
    """Wall time and peak memory at the declared slides, for a spine of a tenth of the events."""
    bench = _name(events)
    with TemporaryDirectory(prefix="ml-assets-bench-") as name:
        run(f"{bench}: data", write_events, path=Path(name, "events.parquet"), rows=events)
        cost = median_of(
            runs, f"{bench}: ours", ours, folder=Path(name), events=events, slides=SLIDES
        ).cost
    yield below(bench, ours=cost.wall_s, limit=60, unit="s")
    yield below(f"{bench}, peak memory", ours=cost.peak_gb, limit=4, unit="GB")


def measure_beside_pandas(events: int, *, times: float, runs: int) -> Iterator[Measurement]:
    """CPU at a slide of one microsecond, for a spine of a tenth of the events."""
    bench = _name(events)
    with TemporaryDirectory(prefix="ml-assets-bench-") as name:
        folder = Path(name)
        run(f"{bench}: data", write_events, path=folder / "events.parquet", rows=events)
        work = partial(median_of, runs, folder=folder, events=events)
        mine = work(f"{bench}: ours", ours, slides=NO_SLIDES)
        peer = work(f"{bench}: pandas", by_pandas)
        equal = agree(np.load(folder / "ours.npy"), np.load(folder / "pandas.npy"))
    yield against(
        f"{bench}, beside pandas", ours=mine.cost.cpu_s, peer=peer.cost.cpu_s, unit="CPU s",
        times=times, equal=equal,
    )


def agree(ours: Floats, pandas: Floats) -> bool:
    """Whether counts are the same, and everything else to within `TOLERANCE`."""
    counts = [place for place, name in enumerate(COLUMNS) if name.startswith("count")]
    return np.array_equal(ours[:, counts], pandas[:, counts]) and np.allclose(
        ours, pandas, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
    )


def ours(*, folder: Path, events: int, slides: dict[str, timedelta]) -> Outcome:
    """Through Feast's `get_historical_features`; the result is left in `ours.npy`."""
    from benchmarks.feature_store.stores import open_store, stream_view

    write_events(folder / "warm.parquet", rows=100)
    store = open_store(folder, "ours", [
        stream_view(name, folder / f"{name}.parquet", aggregations(slides))
        for name in ("warm", "events")
    ])
    _retrieve(store, "warm", _spine(100))
    spine = _spine(events)
    with Meter() as meter:
        found = _retrieve(store, "events", spine)
    return _outcome(meter, folder / "ours.npy", matrix(found, COLUMNS))


def by_pandas(*, folder: Path, events: int) -> Outcome:
    """By `rolling` over events and spine rows in one table; left in `pandas.npy`."""
    write_events(folder / "warm.parquet", rows=100)
    _roll(_spine(100), folder / "warm.parquet")
    spine = _spine(events)
    with Meter() as meter:
        found = _roll(spine, folder / "events.parquet")
    return _outcome(meter, folder / "pandas.npy", found)


def aggregations(slides: dict[str, timedelta]) -> list[Aggregation]:
    """Feast's words for the twelve aggregates."""
    from feast.aggregation import Aggregation

    return [
        Aggregation(
            column="amount", function=function, time_window=length,
            slide_interval=slides[window], name=f"{function}_{window}",
        )
        for window, length in WINDOWS.items()
        for function in FUNCTIONS
    ]


def _retrieve(store: FeatureStore, view: str, spine: pd.DataFrame) -> pa.Table:
    references = [f"bench_{view}:{column}" for column in COLUMNS]
    return store.get_historical_features(entity_df=spine, features=references).to_arrow()


def _roll(spine: pd.DataFrame, path: Path) -> Floats:
    events = pd.read_parquet(path, columns=["customer", "event_timestamp", "amount"])
    # Of rows of one instant, a window that is closed on the left holds the earlier ones: the
    # spine comes first, and has no amount of its own.
    both = pd.concat([spine, events.assign(row=-1)], ignore_index=True)
    both = both.sort_values(["customer", "event_timestamp"], kind="stable", ignore_index=True)
    asked = (both["row"] >= 0).to_numpy()
    found = np.empty((len(spine), len(COLUMNS)))
    row = both["row"].to_numpy()[asked]
    for column, name in enumerate(COLUMNS):
        function, window = name.split("_")
        rolling = both.groupby("customer", sort=False).rolling(
            WINDOWS[window], on="event_timestamp", closed="left", min_periods=0
        )["amount"]
        values = rolling.std(ddof=0) if function == "std" else getattr(rolling, function)()
        found[row, column] = values.to_numpy()[asked]
    return found


def _spine(events: int) -> pd.DataFrame:
    return make_spine(rows=events // 10, entities=max(1, events // HISTORY), text=True)


def _outcome(meter: Meter, path: Path, found: Floats) -> Outcome:
    np.save(path, found)
    return Outcome(cost=meter.cost, digest=digest(found))


def _name(events: int) -> str:
    return (f"windowed: {len(COLUMNS)} aggregates of {events:,} events, "
            f"{events // 10:,} spine rows")
