"""The online store in a SQLite file that any number of processes may read and write."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path

from ml_assets.core.storage.files import make_private
from ml_assets.core.storage.marker import require_new
from ml_assets.core.storage.sqlite import use_wal, writing
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import OWN, Registered, Row, View
from ml_assets.features.online_store.sqlite.memtable import Memtable
from ml_assets.features.online_store.sqlite.state import SqliteState
from ml_assets.ingest.log.positions import has_positions

__all__ = ["SqliteBackend", "SqliteState", "use_wal"]

_PUT_AT_ONCE = 10_000
_forks = count(1)
_process = 0


def _note_fork() -> None:
    global _process
    _process = next(_forks)


os.register_at_fork(after_in_child=_note_fork)


class SqliteBackend:
    """A `Backend` in the file `path`; each thread has a connection of its own.

    They share what is known of the store's journal, and take turns in using it.
    """

    def __init__(
        self, path: Path, project: str = "ml_assets", *, patience_s: float = 30
    ) -> None:
        """Open `path`, creating it where it is missing; wait `patience_s` for other writers."""
        self.path = path
        self._memory, self._turn = Memtable(), threading.RLock()
        self._project, self._patience_s = project, patience_s
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self.changes = self._mine().changes

    def register(
        self, name: str, digest: str, *, note: bytes = b"", keep: bool = False
    ) -> int:
        with self._writing() as mine:
            return mine.register(name, digest, note=note, keep=keep)

    def set_note(self, view_id: int, note: bytes) -> None:
        with self._writing() as mine:
            mine.set_note(view_id, note)

    def entities(self, view_id: int) -> Iterator[list[bytes]]:
        after: bytes | None = OWN
        while after is not None:
            with self._turn:
                some, after = self._mine().entities_after(view_id, after)
            if some:
                yield some

    def views(self) -> dict[str, Registered]:
        return self._mine().views()

    def drop(self, view_id: int) -> None:
        with self._writing() as mine:
            mine.drop(view_id)

    def get(self, view_id: int, entities: Sequence[bytes]) -> list[bytes | None]:
        with self._turn:
            return self._mine().get(view_id, entities)

    def get_many(
        self, asked: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[list[bytes | None]]:
        with self._turn:
            return self._mine().get_many(asked)

    def append(
        self, view: WindowedView, view_id: int, rows: Sequence[Row],
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> int:
        """See `Backend`. also: called in the same transaction, if there is anything new"""
        with self._writing() as mine:
            new = mine.append(view, view_id, rows)
            if new and also is not None:
                also(self._local.connection)
            return new

    def is_event_log(self) -> bool:
        """Whether its file is an event log, of which loads take positions."""
        with self._turn:
            self._mine()
            return has_positions(self._local.connection)

    def put(self, view_id: int, rows: Iterable[Row], now: int | None = None) -> None:
        """In the order of the keys, in short transactions, so that others can write in between."""
        ordered = iter(sorted(rows, key=lambda row: row[0]))
        while some := list(islice(ordered, _PUT_AT_ONCE)):
            with self._writing() as mine:
                mine.put(view_id, some, now)

    def expire(self, view: View, view_id: int, now: int) -> int:
        """In many short transactions, so that others can write in between."""
        with self._writing() as mine:
            mine.expire_ids(view, view_id, now)
        dropped, after = 0, OWN
        while True:
            with self._writing() as mine:
                some, last = mine.expire_some(view, view_id, now, after)
            dropped += some
            if last is None:
                return dropped
            after = last

    def count(self, view_id: int) -> int:
        with self._turn:
            return self._mine().count(view_id)

    def close(self) -> None:
        """Close all threads' connections; none of them may be at work."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._local = threading.local()

    @contextmanager
    def _writing(self) -> Iterator[SqliteState]:
        """One transaction: committed when the block ends well, else undone."""
        with self._turn:
            mine = self._mine()
            with writing(self._local.connection):
                yield mine

    def _mine(self) -> SqliteState:
        """This thread's connection, opened at its first use."""
        found: SqliteState | None = getattr(self._local, "state", None)
        # SQLite forbids a connection that was opened before a fork.
        if found is not None and self._local.process == _process:
            return found
        require_new(self.path)
        make_private(self.path)
        connection = sqlite3.connect(
            self.path, timeout=self._patience_s, isolation_level=None,
            # For `close` only.
            check_same_thread=False,
        )
        use_wal(connection, self._patience_s)
        connection.execute("pragma synchronous=normal")
        found = SqliteState(connection, self._project, self._memory)
        self._opened.append(connection)
        self._local.connection, self._local.state = connection, found
        self._local.process = _process
        return found
