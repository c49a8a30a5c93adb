"""What has been loaded into the online store, and when: the watermark that serving states.

SQLite, one row a load. Readers are in other processes and ask before every prediction, so
an unchanged log answers from memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ml_assets.features.manifest import View
from ml_assets.ingest.served import from_us, to_us

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


@dataclass(frozen=True, kw_only=True)
class Unsettled:
    """A closed stretch of time in which the views of a system were not all of one instant.

    `finished_at` is None where that is still so.
    """

    started_at: datetime
    finished_at: datetime | None


class LoadLog:
    """One instance per process; any thread may call it, one at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(SCHEMA)
        self._known: dict[tuple[str, str], datetime | None] = {}
        self._seen = -1

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
        self._known.clear()
        self._db.execute("update loads set finished_at = ? where load_id = ?", (to_us(at), load_id))

    def until(self, view: View) -> datetime | None:
        """The instant whose state of `view` the online store holds; None before its first load."""
        (change,) = self._db.execute("pragma data_version").fetchone()
        if change != self._seen:
            self._known.clear()
            self._seen = change
        key = (view.name, view.definition)
        if key not in self._known:
            (until,) = self._db.execute(
                "select max(until) from loads"
                " where view = ? and definition = ? and finished_at is not null", key).fetchone()
            self._known[key] = None if until is None else from_us(until)
        return self._known[key]

    def watermark(self, views: Sequence[View]) -> datetime | None:
        """The instant that all `views` have reached; None until each was loaded once."""
        reached = [at for at in map(self.until, views) if at is not None]
        return min(reached) if reached and len(reached) == len(views) else None

    def unsettled(self, views: Sequence[View]) -> list[Unsettled]:
        """When a reader may have seen `views` at different instants, or in the midst of a load.

        In order of time. A load that died leaves its view in doubt until the next one ends.
        """
        marks = ", ".join("?" * len(views))
        rows = self._db.execute(
            "select view, definition, until, started_at, finished_at from loads"
            f" where view in ({marks}) order by load_id", [view.name for view in views]).fetchall()
        steps = sorted(
            [(at, "begins", view, definition, until) for view, definition, until, at, _ in rows]
            + [(end, "ends", view, definition, until)
               for view, definition, until, _, end in rows if end is not None],
            key=lambda step: step[:2],
        )
        held: dict[str, tuple[str, int]] = {}
        loading: set[str] = set()
        found: list[Unsettled] = []
        since: int | None = None
        for at, step, view, definition, until in steps:
            if step == "begins":
                loading.add(view)
            else:
                loading.discard(view)
                before = held.get(view)
                if before is None or before[0] != definition or before[1] < until:
                    held[view] = (definition, until)
            same = len(held) == len(views) and len({until for _, until in held.values()}) == 1
            if since is None:
                since = at
            if same and not loading:
                found.append(Unsettled(started_at=from_us(since), finished_at=from_us(at)))
                since = None
        if since is not None:
            found.append(Unsettled(started_at=from_us(since), finished_at=None))
        return found
