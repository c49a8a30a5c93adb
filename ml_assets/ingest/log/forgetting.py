"""Takes a system out of the event log, whose rows are otherwise never deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from ml_assets.core.storage.sqlite import writing
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import last_position

AT_ONCE = 2_000
"""Predictions deleted in one transaction, so that other systems' requests wait for none long."""
GUARD = "feedback_remains"
"""The trigger that keeps feedback from being deleted."""
_SOME = f"(select prediction_id from predictions where system = ? limit {AT_ONCE})"


def forget(log: EventLog, system: str, views: Collection[str]) -> None:
    """Delete a system's predictions, shadow scores and feedback, the events that it was told, and
    the loads of its views.

    In steps that can be repeated. No position that was given is given again: whoever follows the
    log has noted how far it has got.
    """
    db = log.connection
    while _has_any(db, system):
        with writing(db):
            _delete_some(db, system)
    while _delete_told(db, system):
        pass
    with writing(db):
        last = last_position(db)
        db.executemany("delete from loads where view = ?", [(view,) for view in views])
        _keep_position(db, last)


def _has_any(db: sqlite3.Connection, system: str) -> bool:
    return db.execute(
        "select 1 from predictions where system = ? limit 1", (system,)).fetchone() is not None


def _delete_told(db: sqlite3.Connection, system: str) -> bool:
    """Delete some of the events that it was told; whether there were any."""
    with writing(db):
        last = last_position(db)
        deleted = db.execute(
            "delete from told where told_id in"
            f" (select told_id from told where system = ? limit {AT_ONCE})", (system,)).rowcount
        _keep_position(db, last)
    return deleted > 0


def _delete_some(db: sqlite3.Connection, system: str) -> None:
    last = last_position(db)
    [(guard,)] = db.execute("select sql from sqlite_master where name = ?", (GUARD,))
    db.execute(f"drop trigger {GUARD}")
    for table in ("feedback", "shadow_scores", "predictions"):
        db.execute(f"delete from {table} where prediction_id in {_SOME}", (system,))
    db.execute(guard)
    _keep_position(db, last)


def _keep_position(db: sqlite3.Connection, last: int) -> None:
    """A load of nothing, if the rows that held the last position are gone."""
    if last_position(db) < last:
        db.execute("insert into loads (seq, view, definition, since, until)"
                   " values (?, '', '', 0, 0)", (last,))
