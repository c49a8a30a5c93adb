"""The online state as predictions use it: features, or declared defaults if it cannot answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ml_assets.core.errors import MlAssetsError, NotReady, StateDamaged
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.storage.database import Database
from ml_assets.core.system import System
from ml_assets.features.online_store.following.counts import Counted
from ml_assets.features.online_store.latest_scores import Score
from ml_assets.ingest.log.event_log import Appended, PackedCounts

Floats = npt.NDArray[np.float32]
T = TypeVar("T")
log = logging.getLogger(__name__)

FEATURE_BUDGET = timedelta(milliseconds=50)
"""How long the features of one batch may take."""
REST = timedelta(seconds=1)
"""How long a store that used up its budget for nothing is left alone: otherwise each batch would
wait for it."""
PATIENCE = timedelta(seconds=30)
"""How long the features of one batch may take while the system's clock stands still. In a replay no
time passes while an answer is made, so a busy machine must not decide what the answer is."""


class SystemState(Protocol):
    """The online state of one system, as `ml_assets.features.online.OnlineState`.

    It follows the event log, and uses the log's connection.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in order."""
        ...

    @property
    def limits(self) -> Mapping[str, float]:
        """Of event columns whose values are summed: how large a value may not be."""
        ...

    @property
    def told_limits(self) -> Mapping[str, Mapping[str, float]]:
        """The same of other streams, by their tables."""
        ...

    @property
    def problem(self) -> str | None:
        """Why the latest scores are not kept; None if they are, or the system has none."""
        ...

    def read(
        self, keys: Sequence[Mapping[str, object]], at: Sequence[datetime]
    ) -> tuple[Floats, list[datetime], int]:
        """Features (B, F), for each row the instant whose state they show, and the position of
        the log that was read.

        keys: at least the entity keys of each event, by event column
        """
        ...

    def count(
        self, events: Sequence[Mapping[str, object]]
    ) -> tuple[PackedCounts, Sequence[Counted]]:
        """What events count, for the log and for `follow`."""
        ...

    def count_told(
        self, table: str, events: Sequence[Mapping[str, object]]
    ) -> PackedCounts | None:
        """What events of another stream count, for the log; None if they feed no view."""
        ...

    def follow(self, appended: Appended, counted: Sequence[Counted]) -> None:
        """Count what was just logged. What this leaves undone, the next read makes up for."""
        ...

    def latest(self, key: str) -> Score | None:
        """The latest score of a value of the entity that the system keeps scores by."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


class GuardedState:
    """The online state, which answers with missing features rather than not at all.

    Opens the store at the first call, and again if the log has another connection or the store
    was made anew; after a failure the next call tries again, or, if the failure took `budget` or
    longer, the first one after a REST. One call at a time.

    connect: the connection of the event log
    budget: how long the reader is given; it breaks off by itself, and what comes late but
    whole is used
    stands: whether the system's clock stands still; the reader is then asked again until PATIENCE
    is over
    lines: where problems are logged
    """

    def __init__(
        self,
        system: System,
        open_state: Callable[[Database], SystemState],
        connect: Callable[[], Database],
        *,
        budget: timedelta = FEATURE_BUDGET,
        stands: Callable[[], bool] = lambda: False,
        seconds: Callable[[], float] = monotonic,
        lines: SparseLog | None = None,
    ) -> None:
        self._lines = SparseLog() if lines is None else lines
        self._system = system
        self._open, self._connect = open_state, connect
        self._budget, self._stands, self._seconds = budget, stands, seconds
        self._rests_until = -inf
        self._state: SystemState | None = None
        self._connection: Database | None = None
        self.limits: Mapping[str, float] = {}
        self.told_limits: Mapping[str, Mapping[str, float]] = {}
        """Of event columns that the store sums: how large a value may not be. Once known, kept."""
        self.problem: str | None = None
        """Why the latest call could not read the store; None if it could."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The features of the service, None while the store cannot be opened."""
        return None if self._state is None else self._state.names

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
            values, until, position = self._patiently(asked_at, lambda: reader.read(events, at))
        except Exception as error:
            # Whatever the store's engine raises: no failure of it may keep an answer back.
            self._note(error)
            self._rest_after(asked_at)
            return self._missing(at, wanted)
        self.problem = None
        return np.asarray(values, np.float32), until, position

    def _patiently(self, asked_at: float, read: Callable[[], T]) -> T:
        """What `read` gives. A reader that breaks off keeps how far it has come."""
        while True:
            try:
                return read()
            except TimeoutError:
                if self._is_late(asked_at):
                    raise

    def _rest_after(self, asked_at: float) -> None:
        if self._is_late(asked_at):
            self._rests_until = self._seconds() + REST.total_seconds()

    def _is_late(self, asked_at: float) -> bool:
        """Whether what began then has used up its time."""
        took = timedelta(seconds=self._seconds() - asked_at)
        return took >= self._budget and (took >= PATIENCE or not self._stands())

    def _missing(
        self, at: Sequence[datetime], wanted: tuple[str, ...]
    ) -> tuple[Floats, list[datetime], None]:
        return np.full((len(at), len(wanted)), np.nan, np.float32), list(at), None

    def count(
        self, events: Sequence[Mapping[str, object]]
    ) -> tuple[PackedCounts, Sequence[Counted]] | None:
        """What accepted events count, to be logged with them; None while nobody knows: then it is
        found out from the log later.

        events: rows of `tables.events_schema`
        """
        return None if self._state is None else self._state.count(events)

    def count_told(
        self, table: str, events: Sequence[Mapping[str, object]]
    ) -> PackedCounts | None:
        """The same of accepted events of another stream, by its table."""
        return None if self._state is None else self._state.count_told(table, events)

    def follow(self, appended: Appended, counted: Sequence[Counted]) -> None:
        """Count what was just logged. It counts anyway: a failure shows when features are read."""
        asked_at = self._seconds()
        if (self._state is None or self._connection is not self._connect()
                or asked_at < self._rests_until):
            return
        try:
            self._state.follow(appended, counted)
        except Exception as error:
            self._note(error)
            self._rest_after(asked_at)

    def latest(self, key: str) -> Score | None:
        """The latest score of `key`; None if there is none. Raises NotReady and LogUnavailable."""
        try:
            return self._ready().latest(key)
        except (NotReady, StateDamaged):
            self.close()
            raise

    @property
    def scores_problem(self) -> str | None:
        """Why the latest scores are not kept; None if they are, or the system has none."""
        return None if self._state is None else self._state.problem

    def close(self) -> None:
        """The next call opens the store anew."""
        if self._state is not None:
            with suppress(Exception):
                self._state.close()
        self._state = None

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

    def _ready(self) -> SystemState:
        connection = self._connect()
        if self._state is None or self._connection is not connection:
            self.close()
            self._connection = connection
            self._state = self._open(connection)
            self.limits, self.told_limits = self._state.limits, self._state.told_limits
        return self._state

    def _note(self, error: Exception) -> None:
        if isinstance(error, NotReady | StateDamaged):
            # The views were applied or counted anew, or the file was: it is found when opened.
            self.close()
        problem = f"the feature store cannot be read: {type(error).__name__}: {error}"
        if problem != self.problem:
            # The project's own errors say all in a line; of others the trace is needed.
            trace = None if isinstance(error, MlAssetsError) else error
            # A store that comes and goes has a new problem each time it goes.
            self._lines.say(log, logging.WARNING, (self._system.name, "features", type(error)),
                            "%s: %s; answers are degraded", self._system.name, problem, error=trace)
        self.problem = problem
