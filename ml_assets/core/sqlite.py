"""What all who write to SQLite files need."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

CHECKPOINT_PAGES = 4000
"""16 MB: a page that is written again and again is copied into the file that much less often."""


def use_wal(connection: sqlite3.Connection, patience_s: float) -> None:
    """Switch to WAL; SQLite does not wait by itself when two processes do it at once."""
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


def all_or_none(
    connection: sqlite3.Connection, insert: str, rows: Sequence[tuple[object, ...]]
) -> bool:
    """Run `insert` for each row; False, with nothing done, where one of them adds none.

    Several times faster than one call for each, which would say where. In an open transaction.
    Raises sqlite3.Error as `insert` does, with nothing done.
    """
    if len(rows) == 1:
        return connection.execute(insert, rows[0]).rowcount == 1
    connection.execute("savepoint all_or_none")
    whole = False
    try:
        whole = connection.executemany(insert, rows).rowcount == len(rows)
    finally:
        # An error such as a full disk may have ended the transaction.
        if connection.in_transaction:
            if not whole:
                connection.execute("rollback to all_or_none")
            connection.execute("release all_or_none")
    return whole
