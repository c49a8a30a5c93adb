"""What the parts of the log ask of where it is kept, and what may go wrong there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ml_assets.core.errors import LogBusy, LogUnavailable
from ml_assets.core.storage.database import Database, rows_of, writing
from ml_assets.core.storage.places import Place
from ml_assets.ingest.log.storage.patience import Patience


class LogStorage:
    """A connection to the tables of the log. One call at a time, on whichever thread.

    waits: whether a transaction waits for other writers, or raises LogBusy where there are some

    Every method raises LogUnavailable where the log cannot be read or written.
    """

    connection: Database

    def __init__(self, place: Place, patience: Patience) -> None:
        self.place = place
        self.waits = True
        self._patience, self._timeout_ms = patience, patience.left_ms

    def close(self) -> None:
        self.connection.close()

    def check(self) -> None:
        """Prove by a write that something can be logged."""
        with self.writing():
            self.connection.execute(
                "insert into probe values (1, 0) on conflict (id) do update set at = probe.at + 1")

    def read(self, query: str, *arguments: object) -> Iterator[tuple[object, ...]]:
        try:
            yield from self.connection.execute(query, arguments)
        except self.connection.Error as error:
            raise self._failure("read", error) from error

    def read_each(self, query: str, ids: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """The rows of `query`, whose last word is a column, where it is one of `ids`."""
        try:
            yield from rows_of(self.connection, query, ids)
        except self.connection.Error as error:
            raise self._failure("read", error) from error

    def changes(self) -> int:
        """Another number once another connection has written."""
        try:
            return self.connection.changed()[0]
        except self.connection.Error as error:
            raise self._failure("read", error) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: committed when the block ends well, else undone."""
        try:
            self._require_same()
            self._set_patience()
            with writing(self.connection):
                self._patience.renewed()
                yield
        except LogUnavailable:
            raise
        except (self.connection.Error, OSError) as error:
            raise self._failure("write", error) from error

    def append(
        self, table: str, columns: str, rows: Callable[[], Sequence[Sequence[object]]]
    ) -> int | None:
        """Store rows that are all new, in a transaction of their own; the position of the first.

        rows: their `seq` counts from 1
        None if one was there, or was refused, or if `writing` and `insert` do it as well: then
        nothing was stored.
        """
        return None

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[object]]) -> bool:
        """Whether all rows were new and are stored.

        If not, the open transaction is another one, and whatever it had written is undone.
        """
        try:
            if self.connection.insert(table, columns, rows) == len(rows):
                return True
        except self.connection.refusals:
            pass
        # A savepoint would have SQLite copy each page.
        self.restart()
        return False

    def restart(self) -> None:
        """Undo what the open transaction has written, and begin another one."""
        self.connection.execute("rollback")
        self.connection.begin()

    def _require_same(self) -> None:
        """Raise LogUnavailable if what is written now could not be found again."""

    def _set_patience(self) -> None:
        wanted_ms = self._patience.left_ms if self.waits else 0
        if wanted_ms != self._timeout_ms:
            self.connection.wait_ms(wanted_ms)
            self._timeout_ms = wanted_ms

    def _failure(self, doing: str, error: Exception) -> LogUnavailable:
        if not self.connection.is_busy(error):
            return LogUnavailable(f"cannot {doing} the event log {self.place}: {error}")
        if self.waits:
            self._patience.spent()
        return LogBusy(
            f"another process is writing the event log {self.place}, for longer than anyone waits "
            f"here ({error}); nothing was logged. Send it again later, with the same event_id"
        )
