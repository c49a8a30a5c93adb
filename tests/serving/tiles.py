"""The toy system's one feature in a real online store: tiles in the file of the event log."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.stores.applying import apply_events
from ml_assets.features.stores.backend import digest_of
from ml_assets.features.stores.reader import FeatureReader, Wanted
from ml_assets.features.stores.sqlite import SqliteBackend, SqliteState
from ml_assets.ingest.served import from_us

WEEK = timedelta(days=7) // timedelta(microseconds=1)
SHOPPING = WindowedView(
    name="toy_shop", keys=("shop",), timestamp="event_timestamp",
    aggregates=(Aggregate(name="returns_7d", function=parse_function("count", "test"), column="",
                          window=WEEK, slide=WEEK // 7),),
)


class Tiles:
    """How many events a shop had in the last seven days, as the store counts them."""

    names = ("returns_7d",)

    def __init__(
        self, settings: Settings, *, budget: timedelta = timedelta(seconds=30)
    ) -> None:
        self.budget = budget
        self._backend = SqliteBackend(settings.event_log)
        self._view = self._backend.register(SHOPPING.name, digest_of(SHOPPING))
        self._reader = FeatureReader(self._backend, [Wanted(SHOPPING, self.names)])

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime]]:
        with self._backend.within(self.budget):
            found, as_of = self._reader.read(keys, at)
        return found, [from_us(instant) for instant in as_of.tolist()]

    def remember(
        self, connection: sqlite3.Connection, events: Sequence[Mapping[str, object]]
    ) -> None:
        apply_events(SHOPPING, SqliteState(connection), self._view, events)


def counted(settings: Settings, shop: str, at: datetime) -> int:
    """What the store knows of a shop, read anew."""
    found, _ = Tiles(settings).read([{"shop": shop}], [at])
    return int(np.nan_to_num(found[0, 0]))
