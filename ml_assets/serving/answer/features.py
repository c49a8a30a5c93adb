"""Features of an event from the online store, or declared defaults if it cannot answer."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import MlAssetsError
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.system import System

Floats = npt.NDArray[np.float32]
log = logging.getLogger(__name__)

FEATURE_BUDGET = timedelta(milliseconds=50)
"""How long the features of one batch may take."""
REST = timedelta(seconds=1)
"""How long a store that used up its budget for nothing is left alone: otherwise each batch would
wait for it."""


class SystemFeatures(Protocol):
    """The online store of one system, as `ml_assets.features.online.OnlineFeatures`.

    It lies in the file of the event log, and uses the log's connection.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in order."""
        ...

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[Floats, list[datetime], int]:
        """Features (B, F), for each row the instant whose state they show, and the position of
        the log that was read.

        keys: at least the entity keys of each event, by event column
        """
        ...

    def remember(self, events: Sequence[Mapping[str, object]]) -> None:
        """Count these events from now on, in the transaction that is open."""
        ...

    def settle(self) -> None:
        """Tidy up behind what was remembered; called after each batch, outside of transactions."""
        ...

    def close(self) -> None:
        """Nothing is remembered any more."""
        ...


class FeatureLookup:
    """Reads features, and answers with missing ones rather than not at all.

    Opens the store at the first call, and again if the log has another connection; after a
    failure the next call tries again, or, if the failure took `budget` or longer, the first one
    after a REST. One call at a time.

    connect: the connection of the event log
    budget: how long the reader is given; it breaks off by itself, and what comes late but
    whole is used
    lines: where problems are logged
    """

    def __init__(
        self,
        system: System,
        open_reader: Callable[[sqlite3.Connection], SystemFeatures],
        connect: Callable[[], sqlite3.Connection],
        *,
        budget: timedelta = FEATURE_BUDGET,
        seconds: Callable[[], float] = monotonic,
        lines: SparseLog | None = None,
    ) -> None:
        self._lines = SparseLog() if lines is None else lines
        self._system = system
        self._open, self._connect = open_reader, connect
        self._budget, self._seconds = budget, seconds
        self._rests_until = -inf
        self._reader: SystemFeatures | None = None
        self._connection: sqlite3.Connection | None = None
        self.limits: Mapping[str, float] = {}
        """Of event columns that the store sums: how large a value may not be. Once known, kept."""
        self.problem: str | None = None
        """Why the latest call could not read the store; None if it could."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The features of the service, None while the store cannot be opened."""
        return None if self._reader is None else self._reader.names

    def read(
        self,
        events: Sequence[Mapping[str, object]],
        at: Sequence[datetime],
        wanted: tuple[str, ...],
    ) -> tuple[Floats, list[datetime], int | None]:
        """The F wanted features (B, F), the instants whose state they show, the position read.

        Without a position they are degraded: all NaN, which models know as "missing"; their
        instant is the event's own.
        """
        asked_at = self._seconds()
        if asked_at < self._rests_until:
            return self._missing(at, wanted)
        try:
            reader = self._ready()
            if reader.names != wanted:
                raise ValueError(f"it has the features {reader.names}; the model reads {wanted}")
            values, until, position = reader.read(events, at)
        except Exception as error:
            # Whatever the store's engine raises: no failure of it may keep an answer back.
            self._note(error)
            if self._seconds() - asked_at >= self._budget.total_seconds():
                self._rests_until = self._seconds() + REST.total_seconds()
            return self._missing(at, wanted)
        self.problem = None
        return np.asarray(values, np.float32), until, position

    def _missing(
        self, at: Sequence[datetime], wanted: tuple[str, ...]
    ) -> tuple[Floats, list[datetime], None]:
        return np.full((len(at), len(wanted)), np.nan, np.float32), list(at), None

    @property
    def counts(self) -> bool:
        """Whether `remember` reaches the store. If not, it learns of events from the lake, at the
        end of the day.
        """
        return self._reader is not None and self._connection is self._connect()

    def remember(self, events: Sequence[Mapping[str, object]]) -> None:
        """Count accepted events, in the transaction that logs them: both are kept, or neither.

        events: rows of `tables.events_schema`
        """
        if self._reader is not None and self.counts:
            self._reader.remember(events)

    def settle(self) -> None:
        """Let the store tidy up, once the answers are out."""
        if self._reader is not None and self.counts:
            self._reader.settle()

    def close(self) -> None:
        """Let the store tidy up for good; the next read opens it anew."""
        if self._reader is not None:
            with suppress(sqlite3.Error):
                self._reader.close()
        self._reader = None

    def check(self, now: datetime) -> None:
        """Try a read of nobody's features and note the `problem`, if there is one."""
        try:
            reader = self._ready()
            reader.read([dict.fromkeys(self._system.keys, "?")], [now])
        except Exception as error:
            self._note(error)
        else:
            self.problem = None
            self._rests_until = -inf

    def _ready(self) -> SystemFeatures:
        connection = self._connect()
        if self._reader is None or self._connection is not connection:
            self._reader, self._connection = None, connection
            self._reader = self._open(connection)
            # A reader that sums nothing has none.
            self.limits = getattr(self._reader, "limits", self.limits)
        return self._reader

    def _note(self, error: Exception) -> None:
        problem = f"the feature store cannot be read: {type(error).__name__}: {error}"
        if problem != self.problem:
            # The project's own errors say all in a line; of others the trace is needed.
            trace = None if isinstance(error, MlAssetsError) else error
            # A store that comes and goes has a new problem each time it goes.
            self._lines.say(log, logging.WARNING, (self._system.name, "features", type(error)),
                            "%s: %s; answers are degraded", self._system.name, problem, error=trace)
        self.problem = problem
