"""Takes a system out of the event log, whose rows are otherwise never deleted."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from ml_assets.core.storage.database import Database, writing
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import last_position

AT_ONCE = 2_000
"""Rows deleted in one transaction, so that other systems' requests wait for none long."""
GUARD = "feedback_remains"
"""The trigger that keeps feedback from being deleted."""


def forget(log: EventLog, system: str, views: Collection[str]) -> None:
    """Delete a system's predictions, shadow scores and feedback, the events it was told, and the
    loads of its views.

    In steps that can be repeated. No position that was given is given again: whoever follows the
    log has noted how far it has got.
    """
    db = log.connection
    for table, ids in (("predictions", "prediction_id"), ("told", "told_id")):
        some = f"select {ids} from {table} where system = ? limit {AT_ONCE}"
        while db.execute(some, (system,)).fetchone() is not None:
            with _keeping_positions(db):
                if table == "predictions":
                    _delete_what_refers(db, some, system)
                db.execute(f"delete from {table} where {ids} in ({some})", (system,))
    with _keeping_positions(db):
        db.executemany("delete from loads where view = ?", [(view,) for view in views])


def _delete_what_refers(db: Database, predictions: str, system: str) -> None:
    with db.unguarded("feedback", GUARD):
        for table in ("feedback", "shadow_scores"):
            db.execute(f"delete from {table} where prediction_id in ({predictions})", (system,))


@contextmanager
def _keeping_positions(db: Database) -> Iterator[None]:
    """A transaction; a load of nothing takes the last position if its row is gone at the end."""
    with writing(db):
        last = last_position(db)
        yield
        if last_position(db) < last:
            db.execute("insert into loads (seq, view, definition, since, until)"
                       " values (?, '', '', 0, 0)", (last,))
