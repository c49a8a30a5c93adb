"""Who answers, since when and why: an append-only record of whole states.

SQLite with `synchronous=FULL`: a change that was acknowledged survives a power cut. Triggers
refuse every change of a record that is there, whatever program asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ml_assets.core.errors import LogUnavailable, NotReady
from ml_assets.core.storage.files import SameFile, make_private
from ml_assets.core.storage.marker import note, require_new
from ml_assets.registry.changes import changed
from ml_assets.registry.record import (
    COLUMNS,
    Deployment,
    came,
    deployment_of,
    in_force,
    row_of,
    succeeding,
    takeovers,
)
from ml_assets.registry.rollout import (
    Action,
    Approve,
    Canary,
    Promote,
    Rollback,
    Rollout,
    Shadow,
)

__all__ = ["Deployment", "Deployments", "came", "in_force", "takeovers"]

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

SELECT = f"""select id, {COLUMNS},
    (select max(earlier.id) from deployments earlier
     where earlier.system = deployments.system and earlier.id < deployments.id)
    from deployments where system = ? order by id"""


class Deployments:
    """The record at `path`. Safe to share between threads and processes.

    Every call opens the file anew (about 0.1 ms), so nothing needs closing. Each raises
    LogUnavailable, also if the file was deleted or replaced since this object was made.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._file = path, SameFile(path)
        require_new(path)
        with _told(path):
            make_private(path)
        self._file.hold()
        with self._open() as db:
            if not _lacking(db) and _has_triggers(db):
                return
        with self._transaction() as db:
            for statement in SCHEMA:
                db.execute(statement)
            # Looked at again: another process may have been here first.
            for column in _lacking(db):
                db.execute(f"alter table deployments add column {column} {ADDED[column]}")
        note(path)

    def sequence(self) -> int:
        """The id of the latest record of any system, 0 if there is none: cheap to poll."""
        with self._open() as db:
            (latest,) = db.execute("select coalesce(max(id), 0) from deployments").fetchone()
            return int(latest)

    def current(self, system: str) -> Deployment | None:
        """What is in force; None before the first deployment."""
        with self._open() as db:
            return _current(db, system)

    def history(self, system: str) -> list[Deployment]:
        """All records of a system, oldest first."""
        with self._open() as db:
            return _history(db, system)

    def act(
        self,
        system: str,
        action: Action,
        *,
        reason: str,
        by: str,
        at: datetime,
        expecting: int | None = None,
    ) -> Deployment:
        """Carry the action out; the record that says so, in force as soon as this returns.

        If all is as asked already, nothing is written and the record in force is returned.
        expecting: the id of the record that the decision was made on; NotReady is raised if
        another one has come since. Raises RolloutRefused if the action contradicts what is
        in force, and NotReady if there is nothing to roll back to.
        """
        with self._transaction() as db:
            current = _current(db, system)
            if expecting is not None and (current is None or current.id != expecting):
                in_force = "nothing is" if current is None else f"record {current.id} is"
                raise NotReady(f"record {expecting} of {system!r} was judged, but {in_force} in "
                               "force now: judge again")
            if isinstance(action, Rollback):
                state = _undone(system, _history(db, system))
            else:
                (count,) = db.execute(
                    "select count(*) from deployments where system = ?", (system,)).fetchone()
                before = None if current is None else current.state
                # Not random, so that a replay draws what it drew before.
                state = changed(before, action, fresh_salt=f"{system} {count + 1}")
                if current is not None and state == before and not isinstance(action, Approve):
                    return current
            return _append(db, succeeding(current, state, action, system=system, reason=reason,
                                          by=by, at=at))

    def promote(
        self, system: str, version: int, *, reason: str, by: str, at: datetime,
        alone: bool = False,
    ) -> Deployment:
        """Make `version` the champion; challengers stay unless `alone`. See `act`."""
        return self.act(system, Promote(version=version, alone=alone), reason=reason, by=by, at=at)

    def canary(
        self, system: str, version: int, share: float, *, reason: str, by: str, at: datetime
    ) -> Deployment:
        """Give `version` a share of the traffic in (0, 0.5]; 0 takes it out. See `act`."""
        return self.act(system, Canary(version=version, share=share), reason=reason, by=by, at=at)

    def shadow(
        self, system: str, version: int, *, reason: str, by: str, at: datetime, stop: bool = False
    ) -> Deployment:
        """Let `version` score what others answer, or stop that. See `act`."""
        return self.act(system, Shadow(version=version, stop=stop), reason=reason, by=by, at=at)

    def rollback(self, system: str, *, reason: str, by: str, at: datetime) -> Deployment:
        """Put back the whole state that the latest change replaced; the record that says so.

        Rolled back once more, it goes one change further back. Raises NotReady if there is
        nothing earlier.
        """
        return self.act(system, Rollback(), reason=reason, by=by, at=at)

    def forget(self, system: str) -> None:
        """Delete all records of a system that starts over; no id is given again."""
        with self._transaction() as db:
            [(guard,)] = db.execute("select sql from sqlite_master where name = ?", (GUARD,))
            db.execute(f"drop trigger {GUARD}")
            db.execute("delete from deployments where system = ?", (system,))
            db.execute(guard)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time: what is read inside stays true until the block ends."""
        with self._open() as db:
            db.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._file.check()
        with _told(self.path):
            db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
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


def _undone(system: str, history: Sequence[Deployment]) -> Rollout:
    standing = in_force(history)
    if len(standing) < 2:
        first = f"version {standing[0].version} is the first" if standing else "none"
        raise NotReady(f"{system!r} has no earlier deployment to go back to: {first}")
    return standing[-2].state


def _append(db: sqlite3.Connection, record: Deployment) -> Deployment:
    """The record as it was stored: with its id."""
    row = row_of(record)
    marks = ", ".join("?" * len(row))
    added = db.execute(f"insert into deployments ({COLUMNS}) values ({marks})", row)
    return replace(record, id=int(added.lastrowid or 0))


def _current(db: sqlite3.Connection, system: str) -> Deployment | None:
    row = db.execute(f"{SELECT} desc limit 1", (system,)).fetchone()
    return None if row is None else deployment_of(row)


def _history(db: sqlite3.Connection, system: str) -> list[Deployment]:
    return [deployment_of(row) for row in db.execute(SELECT, (system,))]


def _lacking(db: sqlite3.Connection) -> list[str]:
    """The added columns that the file does not have yet."""
    there = {name for _, name, *_ in db.execute("pragma table_info(deployments)")}
    return [column for column in ADDED if column not in there]


def _has_triggers(db: sqlite3.Connection) -> bool:
    known = db.execute("select 1 from sqlite_master where name = 'deployments_once'")
    return known.fetchone() is not None
