"""Going through all entities of a view in SQLite, some at a time, so that others can write."""

from __future__ import annotations

import sqlite3

from ml_assets.features.engine import state
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import View, expiry
from ml_assets.features.online_store.sqlite.blob_cache import SMALL
from ml_assets.features.online_store.sqlite.tables import replace_blob

AT_ONCE = 1000


def entities_after(
    connection: sqlite3.Connection, view_id: int, after: bytes
) -> tuple[list[bytes], bytes | None]:
    """See `SqliteState.entities_after`."""
    some = [entity for (entity,) in connection.execute(
        "select entity from online_state where view = ? and entity > ? order by entity limit ?",
        (view_id, after, AT_ONCE),
    )]
    return some, some[-1] if len(some) == AT_ONCE else None


def expire_some(
    connection: sqlite3.Connection, view: View, view_id: int, now: int, after: bytes
) -> tuple[int, bytes | None]:
    """See `SqliteState.expire_some`."""
    rows = connection.execute(
        "select entity, at, state from online_state where view = ? and entity > ?"
        " order by entity limit ?", (view_id, after, AT_ONCE),
    ).fetchall()
    idle = []
    for entity, at, blob in rows:
        if not isinstance(view, WindowedView):
            if view.ttl and at < now - view.ttl:
                idle.append(entity)
        elif state.is_idle(view, blob, expiry(view, now)[1]):
            idle.append(entity)
        elif len(blob) >= SMALL:
            folded = state.fold(view, blob, now)
            if len(folded) < len(blob):
                replace_blob(connection, view_id, entity, folded)
    connection.executemany(
        "delete from online_state where view = ? and entity = ?",
        [(view_id, entity) for entity in idle],
    )
    return len(idle), rows[-1][0] if len(rows) == AT_ONCE else None
