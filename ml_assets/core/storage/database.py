"""What the rooms ask of a database, whichever holds their rows: SQLite or PostgreSQL.

Queries are written once, in what both understand, with `?` for each parameter. What differs (how a
transaction begins, who waits for whom, what an error means) is behind this protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol


class Cursor(Protocol):
    """The rows of one query."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """A connection, in autocommit mode unless a transaction was begun. One call at a time."""

    @property
    def Error(self) -> type[Exception]: ...

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What is raised for a row that breaks a constraint, or that no column can hold."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, query: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...

    def executemany(self, query: str, rows: Iterable[Sequence[Any]], /) -> Cursor: ...

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]], /) -> int:
        """Insert many rows, the fastest way there is; returns how many.

        One that is there already is left out, or refused with all others.
        """

    def begin(self) -> object:
        """Begin a transaction as the only writer. Waits for another one as `wait_ms` says."""

    def wait_ms(self, most: int) -> None:
        """How long `begin` waits for another writer from now on."""

    def is_busy(self, error: Exception) -> bool:
        """Whether this error says that another writer was waited for in vain."""

    def changed(self) -> tuple[int, int]:
        """Two numbers: one that is another once another connection has written, and one that is
        another once this one has. Cheap to ask."""

    def unguarded(self, table: str, trigger: str) -> AbstractContextManager[None]:
        """In the transaction that is open: a block in which this trigger does not fire."""

    def close(self) -> None: ...


@contextmanager
def writing(database: Database) -> Iterator[None]:
    """One transaction: committed if the block succeeds, otherwise rolled back."""
    database.begin()
    try:
        yield
        database.execute("commit")
    except BaseException:
        # A failed write may already have ended the transaction.
        if database.in_transaction:
            database.execute("rollback")
        raise


def insertion(table: str, columns: str) -> str:
    """Inserts a row that is not there yet. columns: all that are given, with commas between them"""
    values = ", ".join("?" * len(columns.split(",")))
    return f"insert into {table} ({columns}) values ({values}) on conflict do nothing"


ASKED_AT_ONCE = 256


def rows_of(database: Database, query: str, ids: Sequence[str]) -> Iterator[tuple[object, ...]]:
    """The rows of `query`, whose last word is a column, where it is one of `ids`: some at a time.

    Few statements are prepared: nulls, which equal nothing, fill each up to a power of two.
    """
    for start in range(0, len(ids), ASKED_AT_ONCE):
        some = ids[start : start + ASKED_AT_ONCE]
        size = 1 << (len(some) - 1).bit_length()
        yield from database.execute(f"{query} in ({', '.join('?' * size)})",
                                    [*some, *[None] * (size - len(some))])
