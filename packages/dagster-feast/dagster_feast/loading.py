"""One view from the offline into the online store, by Feast's own means."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

INSTANT = timedelta(microseconds=1)
"""Feast includes both ends of a window, so its end is an instant earlier than ours."""
_ONE_AT_A_TIME = threading.Lock()
"""Rows are counted where they are written, so two loads must not mix."""


@dataclass(frozen=True)
class Loaded:
    """What a load did. rows: written; until: how far the view is loaded by now; newest: the
    event timestamp of the newest row written. None where it cannot be told. warning: what is
    wrong with it although it was done; empty if nothing is.
    """

    rows: int | None = None
    until: datetime | None = None
    newest: datetime | None = None
    warning: str = ""


class Load(Protocol):
    """Loads [start, end) of one view; `start` is None where it goes on from the last load.

    May return nothing, the number of rows, or more.
    """

    def __call__(
        self, store: Any, view: str, start: datetime | None, end: datetime
    ) -> Loaded | int | None: ...


def load_view(store: Any, view: str, start: datetime | None, end: datetime) -> Loaded:
    """Feast's `materialize`, or `materialize_incremental` where `start` is None.

    Online stores keep what was written last, whatever its timestamp. So a window that ends
    before what is loaded already is loaded together with all that came after it.
    """
    with _ONE_AT_A_TIME, _counted(store) as written:
        if start is None:
            store.materialize_incremental(end - INSTANT, [view])
        else:
            before = loaded_until(store, view)
            store.materialize(start, max(end, before or end) - INSTANT, [view])
    after = loaded_until(store, view)
    return Loaded(
        rows=written.rows,
        until=end if after is None else max(end, after),
        newest=written.newest,
        warning=_warning_of(store, view),
    )


def loaded_until(store: Any, view: str) -> datetime | None:
    """The (exclusive) end of the latest window of the view that the registry knows as loaded."""
    found = store.registry.get_any_feature_view(view, store.project)
    until = getattr(found, "most_recent_end_time", None)
    return None if until is None else _aware(until) + INSTANT


def _warning_of(store: Any, view: str) -> str:
    """What the engine says of its latest load of the view, if it keeps such `warnings`."""
    warnings = getattr(store._get_provider().batch_engine, "warnings", None)
    return str(warnings.get(view, "")) if isinstance(warnings, dict) else ""


@dataclass
class _Written:
    rows: int | None = None
    newest: datetime | None = None

    def add(self, data: list[Any]) -> None:
        self.rows = (self.rows or 0) + len(data)
        if data:
            newest = max(_aware(row[2]) for row in data)
            self.newest = newest if self.newest is None else max(newest, self.newest)


@contextmanager
def _counted(store: Any) -> Iterator[_Written]:
    """Counts the rows that this process writes to the online store.

    Feast says nothing of what it loaded. Engines that write from elsewhere are not counted.
    """
    written = _Written()
    provider = store._get_provider()
    online = getattr(provider, "online_store", None)
    if online is None or type(provider.batch_engine).__name__ != "LocalComputeEngine":
        yield written
        return
    write, written.rows = online.online_write_batch, 0

    def counting(config: Any, table: Any, data: Any, *more: Any, **named: Any) -> Any:
        done = write(config, table, data, *more, **named)
        written.add(data)
        return done

    online.online_write_batch = counting
    try:
        yield written
    finally:
        del online.online_write_batch


def _aware(instant: datetime) -> datetime:
    """Feast's naive instants are UTC."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
