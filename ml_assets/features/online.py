"""What the store remembers right now: read while a prediction is made, and added to with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import inf

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import StateDamaged
from ml_assets.core.settings import Settings
from ml_assets.core.storage.sqlite import snapshot, within
from ml_assets.core.system import System
from ml_assets.features.engine.limits import limit_of
from ml_assets.features.manifest import Service, load_manifest
from ml_assets.features.online_store.backend import number_of
from ml_assets.features.online_store.decoders import Status
from ml_assets.features.online_store.reader import FeatureReader, Wanted
from ml_assets.features.online_store.sqlite.memtable import Memtable
from ml_assets.features.online_store.sqlite.state import SqliteState
from ml_assets.features.online_store.stream import streams_of
from ml_assets.ingest.log.positions import last_position
from ml_assets.ingest.log.served import from_us

EVENTS = "events"
"""The lake table of the stream that predictions feed."""


class OnlineFeatures:
    """Reads the feature service of `system` from the online store. One call at a time.

    connection: to the file of the event log, where the store is too: what is remembered belongs
    to the transaction that the caller has open there
    names: the features, in the order of the columns that `read` returns.
    limits: of event columns that are read as numbers: a value must be smaller in size, so that
    sums are exact
    service: what is read; unless given, what the repository declares for the system
    Raises UnknownName where the repository does not declare the service, and NotReady where
    a view of it was never loaded.

    budget: a read is broken off after this time
    memory: what the process knows of the store's journal, which other systems share
    """

    def __init__(
        self, connection: sqlite3.Connection, settings: Settings, system: System,
        service: Service | None = None, *, budget: timedelta = timedelta(seconds=30),
        memory: Memtable | None = None,
    ) -> None:
        service = service or load_manifest(settings).service(system)
        self.names: tuple[str, ...] = service.features
        self._connection, self._budget, self._name = connection, budget, system.name
        if memory is not None:
            memory.forget()  # it may be of a file that was there before
        self._state = SqliteState(connection, memory=memory)
        self._reader = FeatureReader(
            self._state, [Wanted(part.view.windowed, part.columns) for part in service.chosen]
        )
        self.limits = _limits(service)
        self._fed = streams_of([
            (view.windowed, number_of(self._state, view.windowed))
            for view in service.views if view.table == EVENTS
        ])

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime], int]:
        """The features (B, F) of B events, for each the instant as of which they are, and the
        position of the log up to which everything is counted in them.

        keys: for each event its entity keys, by event column; more columns do no harm
        at:   the events' instants

        That instant is the event's own, or the earliest that the store still answers exactly
        where the event is older. NaN where the key is missing. Recomputing the features at
        that instant from history up to that position gives the same bits. Raises
        sqlite3.OperationalError once the budget is over.
        """
        with within(self._connection, self._budget), snapshot(self._connection):
            position = last_position(self._connection)
            found, as_of, status = self._reader.read(keys, at)
        if Status.DAMAGED in status.tobytes():
            raise StateDamaged(
                "the online store holds bytes that are not the state of an entity: run "
                f"`ml-assets store rebuild {self._name}` and restart the API"
            )
        return found, [from_us(instant) for instant in as_of.tolist()], position

    def remember(self, events: Sequence[Mapping[str, object]]) -> None:
        """Count these events from now on, in the transaction that is open; once in each.

        events: rows of `tables.events_schema`; one whose id was counted before is left out
        """
        self._state.append_together([
            (stream, view_ids, [
                each for event in events if (each := stream.counted(event)) is not None
            ])
            for stream, view_ids in self._fed
        ])

    def settle(self) -> None:
        """Bring some of what was remembered from the store's journal to its tables.

        For after each transaction. Waits for nobody.
        """
        self._state.settle()

    def close(self) -> None:
        """Leave the store's tables whole, where nobody else is writing. The connection stays."""
        self._state.settle(whole=True)


def _limits(service: Service) -> dict[str, float]:
    found: dict[str, float] = {}
    for view in service.views:
        for slot in view.windowed.slots if view.table == EVENTS else ():
            if slot.form == "number":
                limit = limit_of(view.windowed, slot)
                found[slot.column] = min(limit, found.get(slot.column, inf))
    return found
