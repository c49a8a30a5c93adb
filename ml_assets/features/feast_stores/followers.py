"""Feast's tables that follow an event log, brought to its end before they are read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ml_assets.core.storage.places import Place
from ml_assets.features.feast_stores.declared import view_of
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.following.lake_stream import Origins
from ml_assets.features.online_store.following.projection import FollowingStore, Projection
from ml_assets.features.online_store.following.stretches import Followed
from ml_assets.ingest.log.event_log import EventLog


class Followers:
    """Projections of one log, made once in a process for the tables that are asked for at once."""

    def __init__(self) -> None:
        self._process = 0
        self._log: EventLog | None = None
        self._made: dict[tuple[object, ...], Projection] = {}

    def of(
        self, place: Place, store: FollowingStore, origins: Origins, tables: Sequence[Any]
    ) -> list[Projection]:
        """Those of `tables` that follow the log at `place`, system by system."""
        placed = [(table, stream) for table in tables if (stream := _stream_of(table))]
        if not placed or not place.exists():
            return []
        if self._log is None or self._process != os.getpid():
            # SQLite forbids a connection that was opened before a fork.
            self._log, self._process, self._made = EventLog(place), os.getpid(), {}
        there, found = store.views(), []
        by_system: dict[str, list[Followed]] = {}
        for table, (system, name) in placed:
            view, registered = view_of(table), there.get(table.name)
            if registered is not None and registered.digest == digest_of(view):
                by_system.setdefault(system, []).append(Followed(view, registered.id, system, name))
        for system, views in by_system.items():
            key = system, *(each.id for each in views)
            if key not in self._made:
                self._made[key] = Projection(self._log.connection, store, views, origins)
            found.append(self._made[key])
        return found

    def close(self) -> None:
        """Close the log. Whoever asks next opens it, and makes projections anew."""
        if self._log is not None and self._process == os.getpid():
            self._log.close()
        self._log, self._made = None, {}


def _stream_of(table: Any) -> tuple[str, str] | None:
    """The system and the table of the lake that a view's stream is; None of another source."""
    path = getattr(getattr(table, "batch_source", None), "path", "") or ""
    system, _, name = path.partition("/")
    return (system, name) if system and name and "/" not in name else None
