"""Loads of a windowed view that take positions of the event log, some rows at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_assets.features.engine.columns import instants
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import Row, digest_of
from ml_assets.features.online_store.counting import AT_ONCE, event_rows
from ml_assets.features.online_store.sqlite.backend import SqliteBackend
from ml_assets.ingest.log.positions import note_load

Note = Callable[[sqlite3.Connection], None]


def load_rows(view: WindowedView, backend: SqliteBackend, view_id: int, table: pa.Table) -> int:
    """Count the rows of `table` in a store whose file is an event log; how many were new.

    table: as for `counting.apply_rows`. After a failure some are counted; to repeat is safe.
    """
    return sum(
        backend.append(view, view_id, rows, also=note) for rows, note in portions(view, table)
    )


def portions(view: WindowedView, table: pa.Table) -> Iterator[tuple[list[Row], Note]]:
    """The rows of `table` some at a time, and what gives each portion its position."""
    filed = view.created or view.timestamp
    table = table.filter(pc.is_valid(table[filed])).sort_by(filed)
    at = instants(table[filed], filed, f"feature view {view.name!r}")
    start = 0
    while start < len(at):
        # All rows of an instant together: a position is known by the instants that it covers.
        end = int(np.searchsorted(at, at[min(start + AT_ONCE, len(at)) - 1], side="right"))
        yield event_rows(view, table.slice(start, end - start)), partial(
            note_load, view=view.name, definition=digest_of(view),
            since=int(at[start]), until=int(at[end - 1]) + 1,
        )
        start = end
