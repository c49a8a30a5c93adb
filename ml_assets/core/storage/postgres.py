"""Connections to a PostgreSQL database that processes on several hosts write.

Imported in the profile `cluster` only: psycopg is an extra.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.storage.database import insertion
from ml_assets.core.storage.places import PostgresTables, missing

try:
    import psycopg
    from psycopg import errors, sql
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as error:
    raise missing("psycopg", "PostgreSQL") from error

if TYPE_CHECKING:
    from ml_assets.core.storage.database import Cursor

CONNECTING: dict[str, Any] = {
    "connect_timeout": 5, "application_name": "ml-assets",
    # A host that is gone, or a cable: noticed after some ten seconds, on both sides.
    "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Unless the address says otherwise."""
SESSION = """
set search_path to {schema};
set client_min_messages to warning;
set tcp_keepalives_idle to 5; set tcp_keepalives_interval to 2; set tcp_keepalives_count to 3;
set idle_in_transaction_session_timeout to '30s'
"""
"""The last one: a writer that stands still in a transaction loses it, not everybody else."""
DURABLE = """select set_config('synchronous_commit', 'on', false)
    where current_setting('synchronous_commit') not in ('on', 'remote_apply', 'remote_write')"""
"""What is acknowledged must survive a crash of the server, whatever its administrator prefers."""
FEW = 3
"""Rows from which on copying them pays."""
UNUSED_S = 1.0
"""A connection that was used since is taken for a live one."""


# It warns of what it ignores as a pipeline ends with an error, which says all that there is to say.
logging.getLogger("psycopg").setLevel(logging.ERROR)


class PostgresDatabase:
    """A `Database` in one schema. One call at a time, on whichever thread.

    turn: the table, of one row, that a writer locks and counts up; without it a writer locks the
        table that proves the record, and `changed` knows nothing
    """

    Error = psycopg.Error
    refusals: tuple[type[Exception], ...] = (psycopg.IntegrityError, psycopg.DataError)

    def __init__(self, place: PostgresTables, turn: str | None = None) -> None:
        """Connect. Raises psycopg.Error."""
        self._db = psycopg.connect(
            make_conninfo(place.url, **{
                name: value for name, value in CONNECTING.items()
                if name not in conninfo_to_dict(place.url)}),
            autocommit=True,
        )
        # Not by `__del__`: of what falls to the garbage collector together, the connection may be
        # first, and complains.
        weakref.finalize(self, _close, self._db, os.getpid())
        self._said_turn = turn
        self._take = (f"lock table {place.proof} in share row exclusive mode"
                      if turn is None else f"update {turn} set n = n + 1")
        self._own = self._begun = 0
        try:
            self._db.execute(
                sql.SQL(SESSION).format(schema=sql.Identifier(place.schema)), prepare=False)
            self._db.execute(DURABLE, prepare=False)
        except psycopg.Error:
            self.close()
            raise

    @property
    def in_transaction(self) -> bool:
        status = self._db.info.transaction_status
        return status in (psycopg.pq.TransactionStatus.INTRANS,
                          psycopg.pq.TransactionStatus.INERROR)

    @property
    def is_lost(self) -> bool:
        """Whether the server has closed it, or was closed."""
        return self._db.closed or self._db.broken

    def execute(self, query: str, parameters: Sequence[Any] = (), /) -> Cursor:
        if not parameters:
            found = self._db.execute(query, binary=True)
            if query == "commit":
                self._own, self._begun = self._own + self._begun, 0
            return found
        return self._db.execute(translated(query), parameters, binary=True)

    def executemany(self, query: str, rows: Iterable[Sequence[Any]], /) -> Cursor:
        cursor = self._db.cursor(binary=True)
        cursor.executemany(translated(query), rows)
        return cursor

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]], /) -> int:
        if len(rows) < FEW:
            return sum(self.execute(insertion(table, columns), row).rowcount for row in rows)
        # As texts, which the server checks as it does any value: in binary, a number that is too
        # large for its column would lose its upper bits.
        with self._db.cursor() as cursor:
            with cursor.copy(f"copy {table} ({columns}) from stdin") as copy:
                for row in rows:
                    copy.write_row(row)
            return cursor.rowcount

    def run(self, script: str) -> None:
        """Several statements, without parameters."""
        self._db.execute(script, prepare=False)

    def begin(self) -> object:
        try:
            self._db.execute(f"begin; {self._take}", prepare=False)
        except psycopg.Error:
            if self.in_transaction:
                self._db.execute("rollback")
            raise
        self._begun = int(self._said_turn is not None)
        return None

    def transact(self, query: str, parameters: Sequence[Any], /) -> Any:
        """The first row of a query that is a whole transaction, as the only writer.

        In one round trip: the turn is not held while an answer is on its way to us, or while other
        processes keep us from reading it. The server skips what comes after an error, the commit
        too. As with any commit, nobody knows of one whose connection is lost.
        """
        try:
            # psycopg prepares what comes often, and takes it for prepared if the server skipped it;
            # but not if it is to be prepared the first time.
            with self._db.pipeline():
                self._db.execute("begin", prepare=False)
                self._db.execute(self._take, prepare=False)
                found = self._db.execute(
                    translated(query, "%b"), parameters, prepare=True, binary=True)
                self._db.execute("commit", prepare=False)
                # Before the pipeline ends: if the server does meanwhile, its last words would be
                # lost. A second round trip, but others have the turn by then.
                row = found.fetchone()
        except psycopg.Error:
            if self.in_transaction:
                self._db.execute("rollback")
            raise
        self._own += int(self._said_turn is not None)
        return row

    def wait_ms(self, most: int) -> None:
        # 0 would be without end.
        self._db.execute(f"set lock_timeout to {max(1, most)}", prepare=False)

    def is_busy(self, error: Exception) -> bool:
        return isinstance(error, errors.LockNotAvailable)

    def changed(self) -> tuple[int, int]:
        """One question to the server."""
        [(all_,)] = self._db.execute(f"select n from {self._said_turn}", binary=True)
        return all_ - self._own, self._own

    @contextmanager
    def unguarded(self, table: str, trigger: str) -> Iterator[None]:
        self._db.execute(f"alter table {table} disable trigger {trigger}")
        yield
        self._db.execute(f"alter table {table} enable trigger {trigger}")

    def close(self) -> None:
        self._db.close()


def _close(connection: psycopg.Connection[Any], process: int) -> None:
    """A child of `fork` has a copy, whose end must not be that of its parent's."""
    if os.getpid() == process:
        connection.close()


@lru_cache(maxsize=256)
def translated(query: str, placeholder: str = "%s") -> str:
    """With psycopg's placeholders: `%b` sends values in binary, an array in a third of the time."""
    return query.replace("%", "%%").replace("?", placeholder)


def make_schema(place: PostgresTables, database: PostgresDatabase, script: str) -> None:
    """Make the schema and what `script` makes in it, by one process at a time, if it is new."""
    if has_tables(database, place):
        return
    name = sql.Identifier(place.schema).as_string()
    database.run("begin; select pg_advisory_xact_lock(hashtext('ml-assets'))")
    try:
        if not has_tables(database, place):  # again: another process may have been here first
            database.run(f"create schema if not exists {name}; {script}")
        database.run("commit")
    except psycopg.Error:
        database.close()
        raise


def make_room(place: PostgresTables) -> PostgresTables:
    """Make the schema, in which a library makes its own tables. Raises LogUnavailable."""
    with session(place) as database:
        name = sql.Identifier(place.schema).as_string()
        database.run("begin; select pg_advisory_xact_lock(hashtext('ml-assets')); "
                     f"create schema if not exists {name}; commit")
    return place


def has_tables(database: PostgresDatabase, place: PostgresTables) -> bool:
    return database.execute(
        "select 1 from pg_tables where schemaname = ? and tablename = ?",
        (place.schema, place.proof)).fetchone() is not None


def has_table(place: PostgresTables) -> bool:
    with session(place) as database:
        return has_tables(database, place)


class _Held(threading.local):
    """The connections that a thread keeps, and when each was last used."""

    def __init__(self) -> None:
        self.connections: dict[
            tuple[int, str, str, str], tuple[PostgresDatabase, float]] = {}


_held = _Held()


@contextmanager
def session(place: PostgresTables) -> Iterator[PostgresDatabase]:
    """A connection for some calls, kept for the next ones of this thread.

    Raises LogUnavailable if the server does not answer, and for an error of the block that is not
    of `refusals`. A connection that was cut off since the last call is made anew.
    """
    held = _held.connections
    key = os.getpid(), place.url, place.schema, place.proof
    try:
        database = _live(*held.pop(key, (None, 0.0))) or PostgresDatabase(place)
    except psycopg.Error as error:
        raise LogUnavailable(f"cannot reach {place}: {error}") from error
    try:
        yield database
    except PostgresDatabase.refusals:
        raise
    except psycopg.Error as error:
        raise LogUnavailable(f"cannot read or write {place}: {error}") from error
    finally:
        if database.in_transaction:
            database.close()
        if not database.is_lost:
            held[key] = database, monotonic()


@contextmanager
def held(place: PostgresTables, name: str) -> Iterator[None]:
    """A block that one process at a time is in, of all that use the schema; waits for its turn.

    The server lets go of it if the process or its connection ends. Raises as `session`.
    """
    key = f"{place.schema} {name}"
    with session(place) as database:
        database.execute("select pg_advisory_lock(hashtext('ml-assets'), hashtext(?))", (key,))
        try:
            yield
        finally:
            if not database.is_lost:
                database.execute(
                    "select pg_advisory_unlock(hashtext('ml-assets'), hashtext(?))", (key,))


def _live(database: PostgresDatabase | None, used_at: float) -> PostgresDatabase | None:
    if database is None or database.is_lost:
        return None
    if monotonic() - used_at > UNUSED_S:
        try:
            database.execute("select 1")
        except psycopg.Error:
            return None
    return database
