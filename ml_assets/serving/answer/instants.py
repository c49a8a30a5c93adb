"""The instants of one system's log: in the order in which they are assigned, by any process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import accumulate

from ml_assets.core.runtime.hybrid_clock import HybridClock
from ml_assets.core.time import EARLIEST
from ml_assets.ingest.log.event_log import EventLog

log = logging.getLogger(__name__)


class Instants:
    """Assigns instants after all that the log has, also those of other and earlier processes.

    So a machine's clock may go back, and history recomputed from the log still sees what serving
    saw. For the thread of the log.
    """

    def __init__(
        self, system: str, clock: HybridClock, stands: Callable[[], bool] = lambda: False
    ) -> None:
        """stands: whether the clock stands still, because a replay moves it"""
        self._system, self.clock, self._stands = system, clock, stands
        self._before = EARLIEST
        self._seen: tuple[EventLog, int] | None = None
        self._told = 0

    def now(self) -> datetime:
        """The present instant, which is never before an assigned one."""
        now = self.clock.now()
        self._tell()
        return now

    def assign(self, events: EventLog) -> datetime:
        """An instant of its own for what is about to be logged. Raises LogUnavailable."""
        self.hear(events)
        self._before = self.clock.latest or EARLIEST
        assigned = self.clock.assign()
        self._tell()
        return assigned

    def accepted_at(self, happened: Sequence[datetime], assigned: datetime) -> list[datetime]:
        """When the events of a batch, which was `assigned` an instant, were accepted: just then.

        A replay sends many at once that happened one after the other, and moves its clock to the
        last of them. While the clock stands, each was accepted when it happened, but not before
        what the log had already, nor before an earlier one of the batch.
        """
        if not self._stands():
            return [assigned] * len(happened)
        first = min(self._before, assigned)
        return list(accumulate((min(at, assigned) for at in happened), max, initial=first))[1:]

    def hear(self, events: EventLog) -> None:
        """Take note of what others have logged since the last call."""
        # A look at the file's header; with one process it never changes.
        seen = (events, events.changes())
        if seen != self._seen:
            self.clock.hear(events.latest(self._system))
            self._seen = seen

    def _tell(self) -> None:
        count = self.clock.jumps.total()
        if count != self._told:
            self._told = count
            log.warning("%s: %s; instants in the log never go back", self._system, self.clock.jump)
