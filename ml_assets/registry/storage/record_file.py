"""The rollout record in a file.

SQLite with `synchronous=FULL`: a change that was acknowledged survives a power cut. Triggers
refuse every change of a record that is there, whatever program asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.storage.database import Database, writing
from ml_assets.core.storage.files import SameFile, make_private
from ml_assets.core.storage.marker import note, require_new
from ml_assets.core.storage.sqlite import open_file

GUARD = "deployments_remain"
"""The trigger that keeps records from being deleted."""
SCHEMA = (
    """create table if not exists deployments (
        id       integer primary key autoincrement,
        system   text not null,
        version  integer not null check (version > 0),
        previous integer,                  -- the champion before this one, null for the first
        rollback integer not null check (rollback in (0, 1)),
        reason   text not null check (length(reason) > 0),
        by       text not null check (length(by) > 0),
        at       integer not null          -- microseconds since 1970, UTC
    )""",
    "create index if not exists deployments_by_system on deployments (system, id)",
    """create trigger if not exists deployments_stay before update on deployments
    begin select raise(abort, 'deployments are append-only'); end""",
    f"""create trigger if not exists {GUARD} before delete on deployments
    begin select raise(abort, 'deployments are append-only'); end""",
    # `insert or replace` would delete without firing the trigger above.
    """create trigger if not exists deployments_once before insert on deployments
    when exists (select 1 from deployments where id = new.id)
    begin select raise(abort, 'deployments are append-only'); end""",
)
ADDED = {
    "action": "text not null default 'promote'",
    "challengers": "text not null default '[]' check (json_valid(challengers))",
    "shadows": "text not null default '[]' check (json_valid(shadows))",
    "salt": "text not null default ''",
    "about": "integer",
}
"""Columns that files of the first release lack; their records are champions alone."""


class RecordFile:
    """Every call opens the file anew (about 0.1 ms), so nothing needs closing. Each raises
    LogUnavailable, also if the file was deleted or replaced since this object was made.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._file = path, SameFile(path)
        require_new(path)
        with _told(path):
            make_private(path)
        self._file.hold()
        with self.open() as db:
            if not _lacking(db) and _has_triggers(db):
                return
        with self.open() as db, writing(db):
            for statement in SCHEMA:
                db.execute(statement)
            # Looked at again: another process may have been here first.
            for column in _lacking(db):
                db.execute(f"alter table deployments add column {column} {ADDED[column]}")
        note(path)

    @contextmanager
    def open(self) -> Iterator[Database]:
        self._file.check()
        with _told(self.path):
            db = open_file(self.path, timeout=10)
            try:
                yield db
            finally:
                db.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong with it."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, LogUnavailable):
            raise
        raise LogUnavailable(f"cannot read or write the deployments {path}: {error}") from error


def _lacking(db: Database) -> list[str]:
    """The added columns that the file does not have yet."""
    there = {name for _, name, *_ in db.execute("pragma table_info(deployments)")}
    return [column for column in ADDED if column not in there]


def _has_triggers(db: Database) -> bool:
    known = db.execute("select 1 from sqlite_master where name = 'deployments_once'")
    return known.fetchone() is not None
