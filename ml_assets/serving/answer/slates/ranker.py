"""One system's way from requests to rank to slates that are in the log before they are answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from ml_assets.core.errors import InvalidRequest, LogUnavailable
from ml_assets.core.runtime.isolation import isolate, isolate_in_batch
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.slates import SlatePolicy, row_id
from ml_assets.core.source import Event
from ml_assets.core.system import System
from ml_assets.core.texts import shown
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.ingest.log.served import prediction_id
from ml_assets.ingest.log.slates import slates_of
from ml_assets.serving.answer.counters import Counters
from ml_assets.serving.answer.features import GuardedState
from ml_assets.serving.answer.instants import Instants
from ml_assets.serving.answer.intake.admission import EventRefused
from ml_assets.serving.answer.log_handle import LogHandle
from ml_assets.serving.answer.shadows import Shadows
from ml_assets.serving.answer.slates.candidates import Candidates
from ml_assets.serving.answer.slates.exploration import page_of
from ml_assets.serving.answer.slates.page import Page, PageAdmission
from ml_assets.serving.answer.slates.page_scores import PageScores, Ranked
from ml_assets.serving.answer.slates.slate import RankRequest, Slate
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.guardrails.probe import Probe
from ml_assets.serving.models.pool import ModelPool
from ml_assets.serving.models.scoring import listed

log = logging.getLogger(__name__)

Rows = list[tuple[Prediction, Event]]


class Ranker:
    """Ranks for one system. One call at a time, which the event log demands.

    instants: gives each batch an instant of its own
    shadows: score once more, later, what was shown
    """

    def __init__(
        self, system: System, policy: SlatePolicy, *, log: LogHandle, instants: Instants,
        state: GuardedState, models: ModelPool, shadows: Shadows, candidates: Candidates,
        counters: Counters, lines: SparseLog, guard: Guard, probe: Probe,
    ) -> None:
        self._system, self._policy = system, policy
        self._log, self._instants, self._state = log, instants, state
        self._shadows, self._counters, self._lines = shadows, counters, lines
        self.candidates = candidates
        self._admission = PageAdmission(system, policy, state, candidates)
        self._scores = PageScores(system, policy, state, models, candidates, lines, guard)
        self._probe = probe

    def rank(
        self, requests: Sequence[RankRequest | Exception], *, waits: bool = True
    ) -> list[Slate | Exception]:
        """The logged slate of each request, or its error, in order.

        A request that has failed before stays so. All others are logged before this returns, in
        one transaction; one that has a slate keeps it, whatever it asks for now. Raises
        LogUnavailable if they cannot be logged, for all.

        waits: for another process that is writing the log; else LogBusy is raised
        """
        with self._log.session() as events:
            events.wait(waits)
            try:
                slates = isolate_in_batch(partial(self._rank, events), requests,
                                          everyones=(LogUnavailable,))
            finally:
                events.wait(True)
        for each in slates:
            if isinstance(each, InvalidRequest):
                self._count_refused(each)
        return slates

    def _rank(
        self, events: EventLog, requests: Sequence[RankRequest | Exception]
    ) -> list[Slate | Exception]:
        """All of them or, if this raises, none: neither logged nor counted."""
        now = self._instants.assign(events)
        slates = self._logged(events, [
            request.event_id for request in requests
            if isinstance(request, RankRequest) and request.event_id is not None])

        def admit(request: RankRequest | Exception) -> Page | Slate:
            if isinstance(request, Exception):
                raise request
            return slates.get(request.event_id or "") or self._admission.admit(
                request, now, self._instants.clock)

        admitted = isolate(admit, requests)
        pages: dict[str, Page] = {}
        for each in admitted:
            if isinstance(each, Page):
                pages.setdefault(each.request_id, each)
        made = self._answer(events, list(pages.values()), now)
        slates |= made
        # Another process may have answered one at this moment.
        slates |= self._logged(events, [each for each in pages if each not in made])

        def answer(pair: tuple[RankRequest | Exception, Page | Slate | Exception]) -> Slate:
            request, given = pair
            if isinstance(given, Exception):
                raise given
            slate = slates[given.request_id]
            if given.request_id in made and pages[given.request_id] is given:
                return slate
            assert isinstance(request, RankRequest)
            self._admission.require_same(slate.rows[0], request)
            self._counters.kinds["repeated"] += len(slate.rows)
            return slate

        return isolate(answer, zip(requests, admitted, strict=True))

    def _answer(
        self, events: EventLog, pages: Sequence[Page], now: datetime
    ) -> dict[str, Slate]:
        """The slates of these pages, by request, logged in one transaction.

        Those that another process has answered at this moment are left out.
        """
        if not pages:
            return {}
        [accepted_at] = self._instants.accepted_at([now], now)
        by_request: dict[str, Rows] = {
            page.request_id: self._shown(page, ranked, accepted_at)
            for page, ranked in zip(pages, self._scores.score(pages), strict=True)}
        rows = [each for of_page in by_request.values() for each in of_page]
        counted = self._state.count([
            {**event, "event_id": row.event_id, "event_timestamp": row.event_timestamp,
             "accepted_at": row.accepted_at} for row, event in rows])
        appended = events.append_new([row for row, _ in rows], counted and counted[0])
        if appended is None:
            return self._answer_rest(events, pages, now)
        if counted is not None:
            self._state.follow(appended, counted[1])
        self._count(rows)
        return {request: Slate(request, [row for row, _ in of_page],
                               [event[self._policy.item] for _, event in of_page])
                for request, of_page in by_request.items()}

    def _answer_rest(
        self, events: EventLog, pages: Sequence[Page], now: datetime
    ) -> dict[str, Slate]:
        """The same if one of them is in the log already: then none of them was stored."""
        there = self._logged(events, [page.request_id for page in pages])
        if not there:
            raise EventRefused(
                "event_changed", "an event that was predicted alone has the id of a row of "
                f"{' or '.join(shown(page.request_id) for page in pages[:3])}; choose another "
                "event_id", "event_id")
        return self._answer(
            events, [page for page in pages if page.request_id not in there], now)

    def _count(self, rows: Rows) -> None:
        self._counters.committed(len(rows))
        for row, event in rows:
            self._counters.kinds["predicted"] += 1
            self._counters.kinds["degraded"] += row.degraded
            self._counters.answer(row)
            if row.feature_names:  # else there was no model, whose features a shadow could read
                self._shadows.add(row, event)
        self._probe.take(rows)

    def _shown(self, page: Page, ranked: Ranked, accepted_at: datetime) -> Rows:
        """The rows of a page as they are logged, each with its event."""
        system, target = self._system.name, self._system.target
        degraded = ranked.position is None
        places = page_of(ranked.order, page.n, explore=0 if degraded else self._policy.explore,
                         seed=f"{system}\0{page.request_id}")
        outputs = ranked.outputs[[each.row for each in places]]
        rows: Rows = []
        for position, (place, score, code, several) in enumerate(zip(
            places, target.score(outputs).tolist(), target.decide(outputs).tolist(),
            listed(outputs), strict=True), start=1,
        ):
            posted, event = self._admission.row(page, place.row)
            name = row_id(page.request_id, position)
            rows.append((Prediction(
                prediction_id=prediction_id(system, name), system=system, event_id=name,
                event_timestamp=page.at, accepted_at=accepted_at, request=posted,
                features_as_of=ranked.as_of[place.row], features=ranked.features[place.row],
                feature_names=ranked.names, model_version=ranked.version, score=score,
                decision=target.label_of(code), degraded=degraded, role=ranked.role,
                propensity=ranked.propensity * place.propensity, state_seq=ranked.position,
                outputs=several,
                audit=self._system.feedback.propensity(prediction_id(system, name)),
            ), event))
        return rows

    def _logged(self, events: EventLog, request_ids: Sequence[str]) -> dict[str, Slate]:
        found: Mapping[str, Sequence[Prediction]] = slates_of(
            events, self._system.name, request_ids)
        return {request: Slate.of(self._policy.item, rows) for request, rows in found.items()}

    def _count_refused(self, refused: InvalidRequest) -> None:
        name, kinds = self._system.name, self._counters.kinds
        kinds["rejected"] += 1
        self._lines.say(log, logging.WARNING, (name, refused.code),
                        "%s: request %d refused since the start: %s", name, kinds["rejected"],
                        refused)
