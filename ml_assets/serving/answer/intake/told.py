"""Events that only feed features, taken in: each is in the log before it is acknowledged."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from ml_assets.core.data.streams import Stream
from ml_assets.core.errors import InvalidRequest, LogUnavailable, unknown
from ml_assets.core.runtime.isolation import isolate, isolate_in_batch
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.told import ToldEvent
from ml_assets.serving.answer.features import GuardedState
from ml_assets.serving.answer.instants import Instants
from ml_assets.serving.answer.intake.admission import (
    NO_LIMITS,
    Admission,
    Admitted,
    EventRequest,
    require_same,
)
from ml_assets.serving.answer.log_handle import LogHandle

log = logging.getLogger(__name__)


class ToldIntake:
    """Takes in the events of a system's other streams. One call at a time.

    counts: `told`, how many were new; `repeated`, `rejected`
    """

    def __init__(
        self, system: System, *, log: LogHandle, instants: Instants, state: GuardedState,
        counts: Counter[str], lines: SparseLog,
    ) -> None:
        self._system, self._log, self._instants, self._state = system, log, instants, state
        self._counts, self._lines = counts, lines
        self.streams = {stream.name: stream for stream in system.streams if not stream.asked}
        self._admissions = {name: Admission(system, stream)
                            for name, stream in self.streams.items()}

    def stream(self, name: str) -> Stream:
        """Raises UnknownName unless the API takes events of such a stream."""
        if name not in self.streams:
            raise unknown(f"stream of {self._system.name!r} that events are posted to", name,
                          self.streams)
        return self.streams[name]

    def take(
        self, stream: Stream, requests: Sequence[EventRequest | Exception], *, waits: bool = True
    ) -> list[ToldEvent | Exception]:
        """What the log has of each request, or its error, in order.

        A request that has failed before stays so. All others are logged before this returns, in
        one transaction; an event that was told before stays as it was. Raises LogUnavailable if
        they cannot be logged, for all.

        waits: for another process that is writing the log; else LogBusy is raised
        """
        with self._log.session() as events:
            events.wait(waits)
            try:
                taken = isolate_in_batch(partial(self._take, events, stream), requests,
                                         everyones=(LogUnavailable,))
            finally:
                events.wait(True)
        for each in taken:
            if isinstance(each, InvalidRequest):
                self._count_refused(each)
        return taken

    def _take(
        self, events: EventLog, stream: Stream, requests: Sequence[EventRequest | Exception]
    ) -> list[ToldEvent | Exception]:
        now, name = self._instants.assign(events), self._system.name
        earlier = events.told.find(name, stream.name, [
            request.event_id for request in requests
            if isinstance(request, EventRequest) and request.event_id is not None
        ])
        admission = self._admissions[stream.name]
        limits = self._state.told_limits.get(stream.table, NO_LIMITS)

        def admit(request: EventRequest | Exception) -> ToldEvent | Admitted:
            if isinstance(request, Exception):
                raise request
            first = earlier.get(request.event_id or "")
            if first is None:
                return admission.admit(request, now, clock=self._instants.clock.reading,
                                       limits=limits)
            return _repeated(first, request)

        admitted = isolate(admit, requests)
        fresh = [each for each in admitted if isinstance(each, Admitted)]
        told = [_told(self._system, stream, each, now) for each in fresh]
        counts = self._state.count_told(stream.table, [
            _row(*pair) for pair in zip(told, fresh, strict=True)]) if told else None
        stored = events.told.append(told, counts) if told else []
        new = sum(one is mine for one, mine in zip(stored, told, strict=True))
        logged = iter([
            one if one is mine
            # The same event, twice in this batch or at this moment in another process.
            else isolate(partial(_repeated, one), [each.request])[0]
            for one, mine, each in zip(stored, told, fresh, strict=True)
        ])
        taken = [next(logged) if isinstance(each, Admitted) else each for each in admitted]
        self._counts["told"] += new
        self._counts["repeated"] += sum(isinstance(each, ToldEvent) for each in taken) - new
        return taken

    def _count_refused(self, refused: InvalidRequest) -> None:
        self._counts["rejected"] += 1
        self._lines.say(log, logging.WARNING, (self._system.name, refused.code),
                        "%s: request %d refused since the start: %s", self._system.name,
                        self._counts["rejected"], refused)


def _told(system: System, stream: Stream, admitted: Admitted, now: datetime) -> ToldEvent:
    return ToldEvent(
        system=system.name, stream=stream.name, event_id=admitted.event_id,
        event_timestamp=admitted.at, accepted_at=now, request=admitted.posted,
    )


def _row(told: ToldEvent, admitted: Admitted) -> dict[str, object]:
    """The event as a row of `tables.stream_schema`."""
    return {**admitted.event, "event_id": told.event_id,
            "event_timestamp": told.event_timestamp, "accepted_at": told.accepted_at}


def _repeated(first: ToldEvent, request: EventRequest) -> ToldEvent:
    require_same(first, request)
    return first
