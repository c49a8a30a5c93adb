"""The event log as the answers of one system use it: opened when needed, reopened if it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ml_assets.core.errors import LogBusy, LogUnavailable
from ml_assets.core.storage.database import Database
from ml_assets.ingest.log.event_log import EventLog


class LogHandle:
    """Opens the log at the first use, so that a log that cannot be opened now may be later.

    open_log: opens it; raises LogUnavailable
    """

    def __init__(self, open_log: Callable[[], EventLog]) -> None:
        self._open_log = open_log
        self.opened: EventLog | None = None

    def get(self) -> EventLog:
        """Raises LogUnavailable."""
        if self.opened is None:
            self.opened = self._open_log()
        return self.opened

    def connection(self) -> Database:
        """Raises LogUnavailable."""
        return self.get().connection

    @contextmanager
    def session(self) -> Iterator[EventLog]:
        """The log for one call. Raises LogUnavailable, and then reopens as `reopening` does."""
        with self.reopening():
            yield self.get()

    @contextmanager
    def reopening(self) -> Iterator[None]:
        """If the log fails in the block, the next call opens it anew.

        LogBusy, another process that is writing, is no failure.
        """
        try:
            yield
        except LogBusy:
            raise
        except LogUnavailable:
            self.close()
            raise

    def close(self) -> None:
        """The next call opens the log anew, for example after its file was replaced."""
        if self.opened is not None:
            self.opened.close()
            self.opened = None
