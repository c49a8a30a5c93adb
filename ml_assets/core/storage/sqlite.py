"""SQLite files that several processes write: write-ahead log, transactions, waiting."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_assets.core.storage.database import insertion

CHECKPOINT_PAGES = 4000
"""16 MB: a page that is rewritten often is copied into the file that much less often."""


class SqliteDatabase(sqlite3.Connection):
    """A `Database` in a file."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        return (sqlite3.IntegrityError,)

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]], /) -> int:
        return self.executemany(insertion(table, columns), rows).rowcount

    def begin(self) -> object:
        return self.execute("begin immediate")

    def wait_ms(self, most: int) -> None:
        self.execute(f"pragma busy_timeout={most}")

    def is_busy(self, error: Exception) -> bool:
        """The lowest byte of a code is its kind; errors of Python's own module have no code."""
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY

    def changed(self) -> tuple[int, int]:
        """A look at the file's header: microseconds."""
        (others,) = self.execute("pragma data_version").fetchone()
        return others, self.total_changes

    @contextmanager
    def unguarded(self, table: str, trigger: str) -> Iterator[None]:
        [(guard,)] = self.execute("select sql from sqlite_master where name = ?", (trigger,))
        self.execute(f"drop trigger {trigger}")
        yield
        self.execute(guard)


def open_file(path: Path | str, **options: Any) -> SqliteDatabase:
    """As `sqlite3.connect`, in autocommit mode."""
    return sqlite3.connect(path, isolation_level=None, factory=SqliteDatabase, **options)


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
