"""Events counted durably as the prediction API does it: in a log, and in the state behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ml_assets.core.storage.database import writing
from ml_assets.core.storage.sqlite import open_file, use_wal
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.following.counts import Counted, Stream
from ml_assets.features.online_store.lmdb.backend import LmdbBackend
from ml_assets.features.online_store.lmdb.events import Stretch


class Counting:
    """A log in SQLite that says what each event counts, and its projection in LMDB."""

    def __init__(self, folder: Path, fed: Stream) -> None:
        self._connection = open_file(folder / "log.sqlite")
        use_wal(self._connection, 1)
        self._connection.execute("pragma synchronous=normal")
        self._connection.execute("create table log (seq integer primary key, counts blob)")
        self._fed = fed
        self.store = LmdbBackend(folder / "stream.lmdb", "bench")
        self._views = [(view, self.store.register(view.name, digest_of(view)))
                       for view in fed.views]

    def count(self, events: Sequence[Counted]) -> None:
        pack = self._fed.list.pack
        with writing(self._connection):
            self._connection.executemany(
                "insert into log (counts) values (?)", [(pack(each),) for each in events])
        (head,) = self._connection.execute("select max(seq) from log").fetchone()

        def read(after: int, until: int | None) -> Stretch:
            assert head == after + len(events)
            return Stretch(head, [
                [row for each in events if (row := each.row(index, packing)) is not None]
                for index, packing in enumerate(self._fed.packed_as)
            ])

        self.store.apply(b"log", self._views, read)

    def close(self) -> None:
        self.store.close()
        self._connection.close()
