"""The instants of one system's log: in the order in which they are assigned, by any process."""

from __future__ import annotations

import logging
from datetime import datetime

from ml_assets.core.runtime.hybrid_clock import HybridClock
from ml_assets.ingest.log.event_log import EventLog

log = logging.getLogger(__name__)


class Instants:
    """Assigns instants after all that the log has, also those of other and earlier processes.

    So a machine's clock may go back, and history recomputed from the log still sees what serving
    saw. For the thread of the log.
    """

    def __init__(self, system: str, clock: HybridClock) -> None:
        self._system, self.clock = system, clock
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
        assigned = self.clock.assign()
        self._tell()
        return assigned

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
