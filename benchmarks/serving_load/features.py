"""The twenty features that the store supplies: five for each of four entities.

They are declared as values of the platform's own engine rather than in Feast's objects: the
system is none of `SYSTEMS`, and no server imports Feast anyway. What reads and counts them is
the platform's own online store, which follows the log of predictions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.serving_load.system import KEYS, PAYMENTS
from benchmarks.serving_load.traffic import ENTITIES
from ml_assets.core.settings import Settings
from ml_assets.core.storage.database import Database
from ml_assets.core.system import System
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.online import OnlineState
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.counting import apply_rows
from ml_assets.features.online_store.following.stretches import EVENTS
from ml_assets.features.service import Chosen, Service, View
from ml_assets.features.store import open_backend
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.answer.features import SystemState

HOUR, DAY = 3600 * 1_000_000, 24 * 3600 * 1_000_000
AT_ONCE = 500


def _aggregate(name: str, function: str, column: str, days: int, slide: int) -> Aggregate:
    return Aggregate(name=name, function=parse_function(function, name), column=column,
                     window=days * DAY, slide=slide)


def _view(key: str) -> View:
    """How often it paid lately, and how much."""
    windowed = WindowedView(
        name=f"{PAYMENTS.name}_{key}_memory", keys=(key,), timestamp="event_timestamp",
        aggregates=(
            _aggregate(f"{key}_events_1d", "count", "", 1, HOUR),
            _aggregate(f"{key}_events_7d", "count", "", 7, DAY),
            _aggregate(f"{key}_events_30d", "count", "", 30, DAY),
            _aggregate(f"{key}_amount_7d", "sum", "amount", 7, DAY),
            _aggregate(f"{key}_mean_amount_30d", "mean", "amount", 30, DAY),
        ),
    )
    return View(name=windowed.name, system=PAYMENTS.name, table=EVENTS, windowed=windowed,
                definition=digest_of(windowed))


VIEWS = tuple(_view(key) for key in KEYS)
SERVICE = Service(
    name=PAYMENTS.feature_service,
    chosen=tuple(Chosen(view=view, columns=view.features) for view in VIEWS),
)


def open_state(
    settings: Settings, system: System, connection: Database
) -> SystemState:
    """The reader that the server is given."""
    return OnlineState(connection, settings, system, SERVICE)


def prepare(settings: Settings) -> None:
    """Register the views and give every entity of the short runs a past, at least a day old."""
    random = np.random.default_rng(5)
    count = max(ENTITIES.values())
    now = settings.clock_of(PAYMENTS.name).now()
    ages = random.uniform(2, 29, count)
    past = pa.table({
        "event_id": [f"past-{number}" for number in range(count)],
        "event_timestamp": pa.array([now - timedelta(days=age) for age in ages],
                                    pa.timestamp("us", tz="UTC")),
        "amount": random.lognormal(1, 1, count),
        **{key: [f"{key}-{number % ENTITIES[key]:08d}" for number in range(count)]
           for key in KEYS},
    })
    backend = open_backend(settings)
    for view in VIEWS:
        backend.register(view.name, view.definition)
        apply_rows(view.windowed, backend, past)
    backend.close()


def miscounted(settings: Settings, events: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """(entities compared, those for which the store has a different number of events).

    events: all that were logged, and of the last hours
    """
    logged: dict[str, Counter[str]] = {key: Counter() for key in KEYS}
    for event in events:
        for key in KEYS:
            logged[key][event[key]] += 1
    log = EventLog(settings.event_log)
    reader = OnlineState(log.connection, settings, PAYMENTS, SERVICE)
    now = settings.clock_of(PAYMENTS.name).now()
    compared = wrong = 0
    for key, counts in logged.items():
        column = reader.names.index(f"{key}_events_1d")
        for some in _portions(list(counts.items()), AT_ONCE):
            keys = [{**dict.fromkeys(KEYS, ""), key: entity} for entity, _ in some]
            values, *_ = reader.read(keys, [now] * len(some))
            expected = np.array([count for _, count in some])
            compared += len(some)
            wrong += int((values[:, column] != expected).sum())
    log.close()
    return compared, wrong


def _portions(
    items: Sequence[tuple[str, int]], size: int
) -> Iterable[Sequence[tuple[str, int]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
