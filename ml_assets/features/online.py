"""What the store remembers right now: read while a prediction is made, and added to with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.manifest import Service, load_manifest
from ml_assets.features.store import open_backend
from ml_assets.features.stores.backend import number_of
from ml_assets.features.stores.reader import FeatureReader, Wanted
from ml_assets.features.stores.sqlite import SqliteState
from ml_assets.features.stores.stream import streams_of
from ml_assets.ingest.served import from_us

EVENTS = "events"
"""The lake table of the stream that predictions feed."""


class OnlineFeatures:
    """Reads the feature service of `system` from the online store. For one thread.

    names: the features, in the order of the columns that `read` returns.
    service: what is read; unless given, what the repository declares for the system
    Raises UnknownName where the repository does not declare the service, and NotReady where
    a view of it was never loaded.

    budget: a read is broken off after this time, and opening waits for writers no longer
    """

    def __init__(
        self, settings: Settings, system: System, service: Service | None = None, *,
        budget: timedelta = timedelta(seconds=30),
    ) -> None:
        service = service or load_manifest(settings).service(system)
        self.names: tuple[str, ...] = service.features
        self._backend = open_backend(settings, patience_s=budget.total_seconds())
        self._budget = budget
        self._reader = FeatureReader(
            self._backend, [Wanted(part.view.windowed, part.columns) for part in service.chosen]
        )
        self._fed = streams_of([
            (view.windowed, number_of(self._backend, view.windowed))
            for view in service.views if view.table == EVENTS
        ])
        self._state: tuple[sqlite3.Connection, SqliteState] | None = None

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[npt.NDArray[np.float32], list[datetime]]:
        """The features (B, F) of B events, and for each the instant as of which they are.

        keys: for each event its entity keys, by event column; more columns do no harm
        at:   the events' instants

        That instant is the event's own, or the earliest that the store still answers exactly
        where the event is older. NaN where the key is missing. Recomputing the features at
        that instant from history gives the same bits. Raises sqlite3.OperationalError once the
        budget is over.
        """
        with self._backend.within(self._budget):
            found, as_of = self._reader.read(keys, at)
        return found, [from_us(instant) for instant in as_of.tolist()]

    def remember(
        self, connection: sqlite3.Connection, events: Sequence[Mapping[str, object]]
    ) -> None:
        """Count these events from now on, in the transaction that `connection` has open.

        events: rows of `tables.events_schema`; one whose id was counted before is left out
        """
        state = self._on(connection)
        for stream, view_ids in self._fed:
            counted = [stream.counted(event) for event in events]
            state.append_together(
                stream, view_ids, [each for each in counted if each is not None]
            )

    def close(self) -> None:
        self._backend.close()

    def _on(self, connection: sqlite3.Connection) -> SqliteState:
        if self._state is None or self._state[0] is not connection:
            self._state = (connection, SqliteState(connection))
        return self._state[1]
