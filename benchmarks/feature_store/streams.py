"""Ways to count the events of a stream durably: a log in SQLite, and the state that follows it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from ml_assets.core.storage.sqlite import use_wal, writing
from ml_assets.features.engine.windows import WindowedView
from ml_assets.features.online_store.backend import Backend, Row, digest_of
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.lmdb.events import Stretch
from ml_assets.features.online_store.sqlite.backend import SqliteState
from ml_assets.features.online_store.stream import Counted, Stream

Kind = Literal["sqlite", "lmdb"]


class Counting(Protocol):
    """Counts batches of events; `store` then has their windows."""

    store: Backend

    def count(self, events: Sequence[Counted]) -> None: ...

    def close(self) -> None: ...


class InSqlite:
    """The journal and the tables of one SQLite file."""

    def __init__(self, folder: Path, fed: Stream) -> None:
        self._connection = _connection(folder / "stream.sqlite")
        self._fed = fed
        self.store = SqliteState(self._connection, "bench")
        self._view_ids = [self.store.register(view.name, digest_of(view)) for view in fed.views]

    def count(self, events: Sequence[Counted]) -> None:
        with writing(self._connection):
            self.store.append_together([(self._fed, self._view_ids, events)])
        self.store.settle()

    def close(self) -> None:
        self._connection.close()


class InLmdb:
    """A log in SQLite that says what each event counts, and its projection in LMDB."""

    def __init__(self, folder: Path, fed: Stream) -> None:
        self._connection = _connection(folder / "log.sqlite")
        self._connection.execute("create table log (seq integer primary key, counts blob)")
        self._fed = fed
        self.store = LmdbBackend(folder / "stream.lmdb", "bench")
        self._views: list[tuple[WindowedView, int]] = [
            (view, self.store.register(view.name, digest_of(view))) for view in fed.views
        ]

    def count(self, events: Sequence[Counted]) -> None:
        with writing(self._connection):
            self._connection.executemany("insert into log (counts) values (?)", [
                (each.joined + b"".join(each.rows[first] for first in self._fed.firsts),)
                for each in events
            ])
        (head,) = self._connection.execute("select max(seq) from log").fetchone()

        def read(after: int, until: int | None) -> Stretch:
            assert head == after + len(events)
            rows: list[list[Row]] = [
                [row for each in events if (row := each.row(place)) is not None]
                for place in range(len(self._views))
            ]
            return Stretch(head, rows)

        self.store.apply(b"log", self._views, read)

    def close(self) -> None:
        self.store.close()
        self._connection.close()


KINDS: dict[Kind, type[InSqlite] | type[InLmdb]] = {"sqlite": InSqlite, "lmdb": InLmdb}


def _connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    use_wal(connection, 1)
    connection.execute("pragma synchronous=normal")
    return connection
