"""The toy system's one feature in a real online store: tiles in the file of the event log."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.core.storage.sqlite import snapshot, within
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.sqlite.backend import SqliteState
from ml_assets.features.online_store.stream import Stream
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import last_position
from ml_assets.ingest.log.served import from_us

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
        self, connection: sqlite3.Connection, *, budget: timedelta = timedelta(seconds=30)
    ) -> None:
        self.budget, self._connection = budget, connection
        self._state = SqliteState(connection)
        self._view = self._state.register(SHOPPING.name, digest_of(SHOPPING))
        self._reader = FeatureReader(self._state, [Wanted(SHOPPING, self.names)])
        self._stream = Stream([SHOPPING])

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        with within(self._connection, self.budget), snapshot(self._connection):
            position = last_position(self._connection)
            found, as_of, _ = self._reader.read(keys, at)
        return found, [from_us(instant) for instant in as_of.tolist()], position

    def remember(self, events: Sequence[Mapping[str, object]]) -> None:
        counted = [each for event in events if (each := self._stream.counted(event)) is not None]
        self._state.append_together([(self._stream, [self._view], counted)])

    def settle(self) -> None:
        self._state.settle()

    def close(self) -> None:
        self._state.settle(whole=True)


def counted(settings: Settings, shop: str, at: datetime) -> int:
    """What the store knows of a shop, read anew."""
    log = EventLog(settings.event_log)
    found, *_ = Tiles(log.connection).read([{"shop": shop}], [at])
    log.close()
    return int(np.nan_to_num(found[0, 0]))
