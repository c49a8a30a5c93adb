"""Which model version is in force, since when and why: an append-only record.

SQLite with `synchronous=FULL`: a deployment that was acknowledged survives a power cut.
Triggers refuse every change of a record that is there, whatever program asks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ml_assets.core.errors import LogUnavailable, NotReady
from ml_assets.core.time import utc

SCHEMA = """
create table if not exists deployments (
    id       integer primary key autoincrement,
    system   text not null,
    version  integer not null check (version > 0),
    previous integer,                  -- the version in force before, null for the first
    rollback integer not null check (rollback in (0, 1)),
    reason   text not null check (length(reason) > 0),
    by       text not null check (length(by) > 0),
    at       integer not null          -- microseconds since 1970, UTC
);
create index if not exists deployments_by_system on deployments (system, id);
create trigger if not exists deployments_stay before update on deployments
begin select raise(abort, 'deployments are append-only'); end;
create trigger if not exists deployments_remain before delete on deployments
begin select raise(abort, 'deployments are append-only'); end;
-- `insert or replace` would delete without firing the trigger above.
create trigger if not exists deployments_once before insert on deployments
when exists (select 1 from deployments where id = new.id)
begin select raise(abort, 'deployments are append-only'); end;
"""
COLUMNS = "id, system, version, previous, rollback, reason, by, at"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One change of the version in force.

    id: rises with every record of any system; previous: the version in force before, None for
    the first; by: who decided; at: since when, UTC; rollback: it undid an earlier deployment.
    """

    id: int
    system: str
    version: int
    previous: int | None
    reason: str
    by: str
    at: datetime
    rollback: bool = False


class Deployments:
    """The record at `path`. Safe to share between threads and processes.

    Every call opens the file anew (about 0.1 ms), so nothing needs closing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as db:
            known = db.execute("select 1 from sqlite_master where name = 'deployments_once'")
            if known.fetchone() is None:
                db.executescript(f"begin immediate; {SCHEMA} commit;")

    def sequence(self) -> int:
        """The id of the latest record of any system, 0 where there is none: cheap to poll."""
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

    def deploy(
        self, system: str, version: int, *, reason: str, by: str, at: datetime
    ) -> Deployment:
        """Put `version` in force; the record that says so.

        Where it is in force already, nothing is written and that record is returned.
        """
        with self._transaction() as db:
            current = _current(db, system)
            if current is not None and current.version == version:
                return current
            return _append(db, system, version, current, reason=reason, by=by, at=at)

    def rollback(self, system: str, *, reason: str, by: str, at: datetime) -> Deployment:
        """Put back what the deployment in force replaced; the record that says so.

        Rolled back once more, it goes one deployment further back. Raises NotReady where there
        is nothing earlier.
        """
        with self._transaction() as db:
            standing = in_force(_history(db, system))
            if len(standing) < 2:
                found = f"version {standing[0].version} is the first" if standing else "none"
                raise NotReady(f"{system!r} has no earlier deployment to go back to: {found}")
            return _append(db, system, standing[-2].version, standing[-1], reason=reason, by=by,
                           at=at, rollback=True)

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
        try:
            db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            try:
                yield db
            finally:
                db.close()
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise LogUnavailable(
                f"cannot read or write the deployments {self.path}: {error}"
            ) from error


def in_force(history: Sequence[Deployment]) -> list[Deployment]:
    """The deployments that were not rolled back, oldest first; the last is in force.

    history: all records of one system, oldest first.
    """
    standing: list[Deployment] = []
    for deployment in history:
        if deployment.rollback:
            standing.pop()
        else:
            standing.append(deployment)
    return standing


def _append(
    db: sqlite3.Connection,
    system: str,
    version: int,
    current: Deployment | None,
    *,
    reason: str,
    by: str,
    at: datetime,
    rollback: bool = False,
) -> Deployment:
    previous = None if current is None else current.version
    row = (system, version, previous, rollback, reason, by, (utc(at) - EPOCH) // MICROSECOND)
    added = db.execute(
        f"insert into deployments ({COLUMNS.removeprefix('id, ')}) values (?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    return Deployment(id=int(added.lastrowid or 0), system=system, version=version,
                      previous=previous, reason=reason, by=by, at=utc(at), rollback=rollback)


def _current(db: sqlite3.Connection, system: str) -> Deployment | None:
    rows = db.execute(
        f"select {COLUMNS} from deployments where system = ? order by id desc limit 1", (system,)
    )
    row = rows.fetchone()
    return None if row is None else _deployment(row)


def _history(db: sqlite3.Connection, system: str) -> list[Deployment]:
    rows = db.execute(f"select {COLUMNS} from deployments where system = ? order by id", (system,))
    return [_deployment(row) for row in rows]


def _deployment(row: tuple[int, str, int, int | None, int, str, str, int]) -> Deployment:
    number, system, version, previous, rollback, reason, by, at = row
    return Deployment(id=number, system=system, version=version, previous=previous, reason=reason,
                      by=by, at=EPOCH + at * MICROSECOND, rollback=bool(rollback))
