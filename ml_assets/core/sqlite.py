"""SQLite's write-ahead log, which all files have that several processes write."""

from __future__ import annotations

import sqlite3
import time

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
