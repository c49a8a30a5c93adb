"""One system's way from requests to predictions that are in the log before they are answered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from ml_assets.core.errors import InvalidRequest, LogUnavailable, NotReady
from ml_assets.core.runtime.isolation import isolate, isolate_in_batch
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.serving.answer.by_version import ScoresByVersion
from ml_assets.serving.answer.counters import Counters
from ml_assets.serving.answer.features import GuardedState
from ml_assets.serving.answer.instants import Instants
from ml_assets.serving.answer.intake.admission import (
    Admission,
    Admitted,
    EventRequest,
    require_same,
)
from ml_assets.serving.answer.log_handle import LogHandle
from ml_assets.serving.answer.shadows import Shadows
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.guardrails.probe import Probe
from ml_assets.serving.models.pool import ModelPool

log = logging.getLogger(__name__)


class Predictor:
    """Predicts for one system. One call at a time, which the event log demands.

    instants: gives each batch an instant of its own
    shadows: score once more, later, what was answered
    guard, probe: see what each version does
    """

    def __init__(
        self, system: System, *, log: LogHandle, instants: Instants, state: GuardedState,
        models: ModelPool, shadows: Shadows, counters: Counters, lines: SparseLog, guard: Guard,
        probe: Probe,
    ) -> None:
        self._system, self._lines = system, lines
        self._log, self._instants = log, instants
        self._state, self._models = state, models
        self._shadows, self._counters = shadows, counters
        self._admission = Admission(system)
        self._by_version = ScoresByVersion(system, state, models, guard)
        self._probe = probe

    def predict(
        self, requests: Sequence[EventRequest | Exception], *, waits: bool = True,
        wave: bool = False,
    ) -> list[Prediction | Exception]:
        """The logged prediction of each request, or its error, in order.

        A request that has failed before stays so; one that breaks the whole batch, by a fault of
        the model or of a system's own code, fails alone. All others are logged before this
        returns, in one transaction; an event that has an answer keeps it. Raises LogUnavailable
        if they cannot be logged and NotReady if there is no model, for all: then none is counted.

        waits: for another process that is writing the log; else LogBusy is raised
        wave: whether one client sends them together, as a replay sends what happened one after the
            other: see `Instants.accepted_at`
        """
        with self._log.session() as events:
            return isolate_in_batch(partial(self._predict_counted, events, waits, wave), requests,
                                    everyones=(LogUnavailable, NotReady))

    def _predict_counted(
        self, events: EventLog, waits: bool, wave: bool,
        requests: Sequence[EventRequest | Exception],
    ) -> list[Prediction | Exception]:
        """All of them or, if this raises, none: neither logged nor counted."""
        events.wait(waits)
        kinds = self._counters.kinds
        before = dict(kinds)
        try:
            return self._predict(events, requests, self._instants.assign(events), wave)
        except Exception:
            for kind in list(kinds):  # one by one: they are read on other threads
                kinds[kind] = before.get(kind, 0)
            raise
        finally:
            events.wait(True)

    def _predict(
        self, events: EventLog, requests: Sequence[EventRequest | Exception], now: datetime,
        wave: bool,
    ) -> list[Prediction | Exception]:
        """Find what was answered before, admit the rest, score it, log it."""
        earlier = events.answers_to(self._system.name, [
            request.event_id for request in requests
            if isinstance(request, EventRequest) and request.event_id is not None
        ])

        def admit(request: EventRequest | Exception) -> Prediction | Admitted:
            if isinstance(request, Exception):
                raise request
            first = earlier.get(request.event_id or "")
            if first is not None:
                return self._repeated(first, request)
            return self._admission.admit(request, now, clock=self._instants.clock.reading,
                                         limits=self._state.limits)

        admitted = isolate(admit, requests)
        fresh = [each for each in admitted if isinstance(each, Admitted)]
        logged = iter(self._score_and_log(events, fresh, now, wave) if fresh else ())
        answers = [next(logged) if isinstance(each, Admitted) else each for each in admitted]
        for answer in answers:
            if isinstance(answer, InvalidRequest):
                self._count_refused(answer)
        return answers

    def _score_and_log(
        self, events: EventLog, admitted: list[Admitted], now: datetime, wave: bool
    ) -> list[Prediction | Exception]:
        """All in one batch."""
        # Read once: whatever is swapped meanwhile, this batch is answered by these.
        lineup = self._models.require()
        happened = [one.at if wave else now for one in admitted]
        accepted_at = self._instants.accepted_at(happened, now)
        predictions = self._by_version.score(lineup, admitted, accepted_at)

        counted = self._state.count([
            event_row(*pair) for pair in zip(predictions, admitted, strict=True)])
        appended = events.append_counted(predictions, counted and counted[0])
        logged = appended.stored
        if counted is not None:
            self._state.follow(appended, counted[1])
        self._counters.committed(len(logged))
        if self._probe.due:
            self._probe.take([(logged[row], admitted[row].event) for row in appended.new])
        return [
            self._answered(stored, one) if stored is mine
            # The same event, twice in this batch or at this moment in another process.
            else isolate(partial(self._repeated, stored), [one.request])[0]
            for one, mine, stored in zip(admitted, predictions, logged, strict=True)
        ]

    def _answered(self, stored: Prediction, one: Admitted) -> Prediction:
        self._counters.kinds["predicted"] += 1
        self._counters.kinds["degraded"] += stored.degraded
        self._counters.answer(stored)
        self._shadows.add(stored, one.event)
        return stored

    def _repeated(self, first: Prediction, request: EventRequest) -> Prediction:
        require_same(first, request)
        self._counters.kinds["repeated"] += 1
        return first

    def _count_refused(self, refused: InvalidRequest) -> None:
        name, kinds = self._system.name, self._counters.kinds
        kinds["rejected"] += 1
        self._lines.say(log, logging.WARNING, (name, refused.code),
                        "%s: request %d refused since the start: %s", name, kinds["rejected"],
                        refused)


def event_row(p: Prediction, one: Admitted) -> dict[str, object]:
    """The event of a prediction as a row of `tables.events_schema`."""
    return {**one.event, "event_id": p.event_id, "event_timestamp": p.event_timestamp,
            "accepted_at": p.accepted_at}
