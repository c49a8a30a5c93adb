"""What has been loaded into the online store, and when. SQLite, one row a load."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.storage.files import make_private
from ml_assets.core.storage.marker import note, require_new
from ml_assets.features.manifest import View
from ml_assets.ingest.log.served import from_us, to_us

SCHEMA = """
create table if not exists loads (
    load_id     integer primary key,
    view        text not null,
    definition  text not null,     -- of the view: one that has changed starts afresh
    until       integer not null,  -- microseconds since 1970, UTC: the store holds this instant
    started_at  integer not null,
    finished_at integer            -- null while it runs, and for ever where it died
);
create index if not exists loads_of_view on loads (view, definition, finished_at);
"""


class LoadLog:
    """One instance per process; any thread may call it, one at a time."""

    def __init__(self, path: Path) -> None:
        """Open `path`, made if it is new. Raises LogUnavailable if it cannot be used."""
        require_new(path)
        try:
            make_private(path)
            self._db = sqlite3.connect(
                path, timeout=10, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=normal")
            self._db.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise LogUnavailable(f"cannot open the log of loads {path}: {error}") from error
        note(path)

    def close(self) -> None:
        self._db.close()

    def begin(self, view: View, until: datetime, at: datetime) -> int:
        """A load of `view` up to `until` starts at the instant `at`; returns its id."""
        cursor = self._db.execute(
            "insert into loads (view, definition, until, started_at) values (?, ?, ?, ?)",
            (view.name, view.definition, to_us(until), to_us(at)))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def finish(self, load_id: int, at: datetime) -> None:
        self._db.execute("update loads set finished_at = ? where load_id = ?", (to_us(at), load_id))

    def forget(self, views: Sequence[str]) -> None:
        """Delete all loads of these views."""
        self._db.executemany("delete from loads where view = ?", [(view,) for view in views])

    def until(self, view: View) -> datetime | None:
        """The instant whose state of `view` the online store holds; None before its first load."""
        (until,) = self._db.execute(
            "select max(until) from loads"
            " where view = ? and definition = ? and finished_at is not null",
            (view.name, view.definition)).fetchone()
        return None if until is None else from_us(until)

    def watermark(self, views: Sequence[View]) -> datetime | None:
        """The instant that all `views` have reached; None until each was loaded once."""
        reached = [at for at in map(self.until, views) if at is not None]
        return min(reached) if reached and len(reached) == len(views) else None
