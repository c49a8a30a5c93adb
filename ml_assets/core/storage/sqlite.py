"""SQLite files that several processes write: write-ahead log, transactions, waiting."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

CHECKPOINT_PAGES = 4000
"""16 MB: a page that is rewritten often is copied into the file that much less often."""


def use_wal(connection: sqlite3.Connection, patience_s: float) -> None:
    """Switch to WAL; SQLite itself does not wait if two processes do so at once."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("pragma journal_mode=wal")
            connection.execute(f"pragma wal_autocheckpoint={CHECKPOINT_PAGES}")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def writing(
    connection: sqlite3.Connection, begin: Callable[[], object] | None = None
) -> Iterator[None]:
    """One transaction: committed if the block succeeds, otherwise rolled back.

    begin: begins it, if that takes more than `begin immediate`
    """
    if begin is None:
        connection.execute("begin immediate")
    else:
        begin()
    try:
        yield
        connection.execute("commit")
    except BaseException:
        # A failed write may already have ended the transaction.
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process had locked the file. The lowest byte of a code is its kind."""
    # Errors of Python's own module have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


ASKED_AT_ONCE = 256


def rows_of(
    connection: sqlite3.Connection, query: str, ids: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    """The rows of `query`, whose last word is a column, where it is one of `ids`: some at a time.

    Few statements are prepared: nulls, which equal nothing, fill each up to a power of two.
    """
    for start in range(0, len(ids), ASKED_AT_ONCE):
        some = ids[start : start + ASKED_AT_ONCE]
        size = 1 << (len(some) - 1).bit_length()
        yield from connection.execute(f"{query} in ({', '.join('?' * size)})",
                                      [*some, *[None] * (size - len(some))])
