"""SQLite files that several processes write: write-ahead log, transactions, waiting."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

CHECKPOINT_PAGES = 4000
"""16 MB: a page that is rewritten often is copied into the file that much less often."""

STEPS = 1000
"""How many of SQLite's steps, a few microseconds in all, between two looks at the clock."""


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


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is read in the block is of one instant, whoever writes meanwhile."""
    connection.execute("begin")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("rollback")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process had locked the file. The lowest byte of a code is its kind."""
    # Errors of Python's own module have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def padded(count: int) -> int:
    """The next power of two: few statements to prepare. Nulls, which equal nothing, fill it up."""
    return 1 << (count - 1).bit_length()


@contextmanager
def within(connection: sqlite3.Connection, budget: timedelta) -> Iterator[None]:
    """Queries in the block are interrupted once `budget` is spent.

    They end with sqlite3.OperationalError. SQLite checks the clock between its steps: a step that
    waits for the disk is not interrupted, only what would follow it.
    """
    ends = time.monotonic() + budget.total_seconds()
    connection.set_progress_handler(lambda: time.monotonic() >= ends, STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


@contextmanager
def in_passing(connection: sqlite3.Connection) -> Iterator[None]:
    """In the block nobody is waited for, neither another writer nor the disk.

    Not within a transaction. What is committed here is on the disk when the next one is.
    """
    (patience_ms,) = connection.execute("pragma busy_timeout").fetchone()
    (synchronous,) = connection.execute("pragma synchronous").fetchone()
    connection.execute("pragma busy_timeout=0")
    connection.execute("pragma synchronous=normal")
    try:
        yield
    finally:
        connection.execute(f"pragma busy_timeout={patience_ms}")
        connection.execute(f"pragma synchronous={synchronous}")
