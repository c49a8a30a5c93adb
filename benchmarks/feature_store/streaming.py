"""Events counted as they arrive: four entities' windows, one batch after the other.

CPU, and what goes to the disk, of a log in SQLite and its projection in LMDB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.feature_store.data import DAY_US, START_US
from benchmarks.feature_store.goals import below, told
from benchmarks.feature_store.jobs import Meter, Outcome, median_of, written_bytes
from benchmarks.feature_store.streams import Counting
from ml_assets.bench import Measurement
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView, tail
from ml_assets.features.online_store.backend import Backend
from ml_assets.features.online_store.following.counts import Stream
from ml_assets.features.online_store.reader import FeatureReader, Wanted

Event = Mapping[str, object]

RIGHT = "as many as came"

HOUR_US = DAY_US // 24
ENTITIES = {"sender": 20_000, "domain": 3_000, "relay": 10_000, "list": 500}
"""How many there are of each. One in twenty events is of the list that comes most often."""

START = datetime.fromtimestamp(START_US / 1e6, tz=UTC)
GAP = timedelta(seconds=20)
"""Between two events."""
GAP_US = GAP // timedelta(microseconds=1)

SHAPES = ((64, 1), (512, 1), (32, 25), (4, 1))
"""(events at once, times the entities)"""

CHECKED = 20
"""How many entities of each view are compared with a plain count."""


def measure(*, quick: bool) -> Iterator[Measurement]:
    for batch, times in SHAPES:
        events = 40_000 if quick else 65_536
        yield from measure_batches(batch, times, events=events, runs=1 if quick else 3)


def measure_batches(
    batch: int, times: int = 1, *, events: int, runs: int
) -> Iterator[Measurement]:
    """CPU microseconds and bytes per event, on top of as many earlier events."""
    bench = f"streaming: an event into {len(ENTITIES)} entities' windows, {batch} at once"
    if times > 1:
        bench += f", {times} times the entities"
    with TemporaryDirectory(prefix="ml-assets-bench-") as name:
        found = median_of(
            runs, bench, stream, folder=Path(name), batch=batch, times=times, events=events)
    equal = found.digest == RIGHT
    yield below(bench, ours=found.cost.cpu_s / events * 1e6, limit=100, unit="CPU us",
                equal=equal)
    for place, what in enumerate(("written", "of files")):
        if found.disk[place]:  # of files in memory nothing is written
            yield told(f"{bench}; bytes {what}", ours=found.disk[place] / events, unit="bytes",
                       equal=equal)


def stream(*, folder: Path, batch: int, times: int, events: int) -> Outcome:
    """Count events the way the prediction API does; only the second half is timed.

    The digest is `RIGHT` if the windows then hold as many events as came.
    """
    for each in folder.iterdir():
        each.unlink()
    views = [view_of(entity) for entity in ENTITIES]
    fed = Stream(views)
    counting = Counting(folder, fed)
    rows = _events(2 * events, times)

    def count(batches: Sequence[Sequence[Event]]) -> None:
        for each in batches:
            counting.count([fed.counted(event) for event in each])

    batches = [rows[first : first + batch] for first in range(0, len(rows), batch)]
    count(batches[: len(batches) // 2])
    written, size = written_bytes(), _size(folder)
    with Meter() as meter:
        count(batches[len(batches) // 2 :])
    disk = written_bytes() - written, _size(folder) - size
    right = all(_counts_are_right(view, counting.store, rows) for view in views)
    counting.close()
    return Outcome(cost=meter.cost, digest=RIGHT if right else "wrong counts", disk=disk)


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir())


def view_of(entity: str) -> WindowedView:
    """How often the entity came in three windows, and its mean amount."""
    count, mean = (parse_function(name, "a benchmark") for name in ("count", "mean"))
    return WindowedView(
        name=f"{entity}_events", keys=(entity,), timestamp="event_timestamp",
        aggregates=(
            Aggregate(name="n_1d", function=count, column="", window=DAY_US, slide=HOUR_US),
            Aggregate(name="n_7d", function=count, column="", window=7 * DAY_US, slide=DAY_US),
            Aggregate(name="n_30d", function=count, column="", window=30 * DAY_US, slide=DAY_US),
            Aggregate(
                name="mean_7d", function=mean, column="amount", window=7 * DAY_US, slide=DAY_US
            ),
        ),
    )


def _events(number: int, times: int) -> list[Event]:
    """Events in the order of time, as the API holds them, of so many times the entities."""
    random = np.random.default_rng((6, number))
    columns: dict[str, list[object]] = {
        entity: [f"{entity}-{place}" for place in places.astype(int)]
        for entity, places in (
            (entity, times * n * random.random(number) ** 2) for entity, n in ENTITIES.items()
        )
    }
    columns["amount"] = random.random(number).tolist()
    return [
        {
            "event_id": f"event-{place}", "event_timestamp": START + place * GAP,
            **{name: column[place] for name, column in columns.items()},
        }
        for place in range(number)
    ]


def _counts_are_right(view: WindowedView, store: Backend, rows: Sequence[Event]) -> bool:
    """Whether each window of some entities holds what a plain count finds."""
    (key,) = view.keys
    names = sorted({str(row[key]) for row in rows})
    some = names[:: max(1, len(names) // CHECKED)]
    now = START_US + len(rows) * GAP_US
    reader = FeatureReader(store, [Wanted(view, ("n_1d", "n_7d", "n_30d"))])
    found, as_of, _ = reader.read([{key: name} for name in some], np.full(len(some), now))
    at = START_US + GAP_US * np.arange(len(rows))
    which = np.array([row[key] for row in rows])
    spans = [each.span for each in view.aggregates[:3]]
    plain = [[np.sum((which == name) & (at >= tail(now, span))) for span in spans] for name in some]
    return bool((as_of == now).all()) and np.array_equal(found, np.array(plain))
