"""One system's way from requests to answers that are in the log before they are sent."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from ml_assets.core.errors import LogBusy, LogUnavailable, NotReady, StateDamaged
from ml_assets.core.runtime.hybrid_clock import HybridClock
from ml_assets.core.runtime.isolation import isolate
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from ml_assets.serving.answer.admission import Admission, Admitted, require_same
from ml_assets.serving.answer.by_version import Arms
from ml_assets.serving.answer.counters import Tally
from ml_assets.serving.answer.explanation import Heard, feedback_answer, prediction_in, record_of
from ml_assets.serving.answer.features import FeatureLookup
from ml_assets.serving.answer.hearings import Hearings
from ml_assets.serving.answer.instants import Instants
from ml_assets.serving.answer.latest_scores import OnlineScores
from ml_assets.serving.answer.shadows import Shadows
from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.contract.protocol import (
    FeedbackAnswer,
    FeedbackRequest,
    PredictAnswer,
    PredictionRecord,
    PredictRequest,
)
from ml_assets.serving.models.pool import ModelPool

log = logging.getLogger(__name__)


class Predictor:
    """Answers for one system. One call at a time, which the event log demands.

    clock: gives each batch and each word of feedback an instant of its own
    counts: since the start, by the names of `protocol.Counts`
    tally: since the start, by model version and more, for `/metrics`
    shadows: what was answered and waits to be scored once more
    scores: what keeps the latest ones by an entity
    """

    def __init__(
        self,
        system: System,
        *,
        features: FeatureLookup,
        models: ModelPool,
        open_log: Callable[[], EventLog],
        clock: HybridClock,
        scores: OnlineScores,
        lines: SparseLog,
    ) -> None:
        self.system, self._lines = system, lines
        self.counts: Counter[str] = Counter()
        self.tally = Tally()
        self._features, self._models, self._scores = features, models, scores
        self._open_log, self.instants = open_log, Instants(system.name, clock)
        self._opened: EventLog | None = None
        self._admission = Admission(system)
        self._arms = Arms(system, features, models)
        self._hearings = Hearings(system=system)
        self.shadows = Shadows(models, now=self.instants.now, counts=self.counts)

    @property
    def _log(self) -> EventLog:
        """Opened at the first call, so that a log that cannot be opened now may be later."""
        if self._opened is None:
            self._opened = self._open_log()
        return self._opened

    @property
    def connection(self) -> sqlite3.Connection:
        """Of the log. Raises LogUnavailable."""
        return self._log.connection

    def settle(self) -> None:
        """Let the feature store tidy up behind the answers, where it is time for that."""
        if self._opened is not None:
            self._features.settle()

    def close(self) -> None:
        """Close the log; the next call opens it anew, for example after it was replaced."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        self._scores.close()
        self._hearings.forget()

    def predict(
        self, requests: Sequence[PredictRequest | Exception], *, waits: bool = True
    ) -> list[PredictAnswer | Exception]:
        """An answer or an error for each request, in order.

        One that has failed before stays so, and so does one on which a system's own code fails.
        All others are logged in one transaction before this returns; an event that has an answer
        keeps it. Raises LogUnavailable if they cannot be logged, NotReady if there is no model,
        and what a model raises: then none is answered or counted.

        waits: for another process that is writing the log; else LogBusy is raised
        """
        self._log.wait(waits)
        counts = dict(self.counts)
        try:
            return self._predict(requests, self.instants.assign(self._log))
        except Exception:
            for name in list(self.counts):  # one by one: they are read on other threads
                self.counts[name] = counts.get(name, 0)
            raise
        finally:
            if self._opened is not None:
                self._opened.wait(True)

    def _predict(
        self, requests: Sequence[PredictRequest | Exception], now: datetime
    ) -> list[PredictAnswer | Exception]:
        earlier = self._log.answers_to(self.system.name, [
            request.event_id for request in requests
            if isinstance(request, PredictRequest) and request.event_id is not None
        ])

        def admit(request: PredictRequest | Exception) -> PredictAnswer | Admitted:
            if isinstance(request, Exception):
                raise request
            first = earlier.get(request.event_id or "")
            if first is not None:
                return self._repeated(first, request)
            return self._admission.admit(
                request, now, clock=self.instants.clock.reading, limits=self._features.limits)

        admitted = isolate(admit, requests)
        fresh = [each for each in admitted if isinstance(each, Admitted)]
        scored = iter(self._answer(fresh, now) if fresh else ())
        answers = [next(scored) if isinstance(each, Admitted) else each for each in admitted]
        for answer in answers:
            if isinstance(answer, RequestRefused):
                self._count(answer)
        return answers

    def shadow(self) -> None:
        """Let the shadows score some of what was answered.

        Raises LogUnavailable where their scores could not be logged: they are lost.
        """
        self.shadows.turn(lambda: self._log)

    def add_feedback(self, said: FeedbackRequest) -> FeedbackAnswer:
        """Log the feedback and say what the label is now.

        Raises UnknownName where this system made no such prediction, TooOften where the source
        has used up its share.
        """
        about = prediction_in(self._log, self.system, said.prediction_id)
        now = self.instants.assign(self._log)
        feedback = Feedback(
            prediction_id=said.prediction_id, system=self.system.name, label=said.label,
            source=said.source,
            # No outcome is known before its event, whatever the client's clock said of that.
            received_at=max(now, about.event_timestamp),
        )
        new = self._log.add_feedback(feedback, limit=self.system.feedback.limit_of(said.source))
        self.counts["feedback"] += new
        hearing = self._hearings.of(self._log, said.prediction_id)
        return feedback_answer(self.system, about, hearing, feedback, new=new)

    def record(self, prediction_id: str) -> PredictionRecord:
        """What the log knows of a prediction. Raises UnknownName."""
        found = prediction_in(self._log, self.system, prediction_id)
        heard = Heard.of(self.system, self._log, found, self.instants.now())
        return record_of(self.system, found, heard)

    def problems(self) -> list[str]:
        """Why full answers cannot be given now, tried out: log, feature store, model."""
        found = []
        try:
            self._log.check()
            self.instants.hear(self._log)
        except LogUnavailable as error:
            if not isinstance(error, LogBusy):
                self.close()
            found.append(str(error))
        try:
            self._features.check(self.instants.now())
        except StateDamaged as error:  # the clock's file
            found.append(str(error))
        if self._features.problem is not None:
            found.append(f"{self._features.problem}; predictions are degraded")
        if self._models.current is None:
            found.append(self._why_no_model())
        elif self._models.problem is not None:
            found.append(self._models.problem)
        return found

    def _repeated(self, first: Prediction, request: PredictRequest) -> PredictAnswer:
        require_same(first, request)
        self.counts["repeated"] += 1
        return self._answer_of(first)

    def _answer(
        self, admitted: list[Admitted], now: datetime
    ) -> list[PredictAnswer | Exception]:
        """Score, log and answer, all in one batch."""
        # Read once: whatever is swapped meanwhile, this batch is answered by these.
        lineup = self._models.lineup
        if lineup is None:
            raise NotReady(self._why_no_model())
        predictions = self._arms.score(lineup, admitted, now)

        def also(connection: sqlite3.Connection, new: Sequence[int]) -> None:
            self._features.remember([
                remembered(predictions[place], admitted[place].event) for place in new
            ])
            self._scores.refresh(connection, [
                (predictions[place], admitted[place].event) for place in new
            ])

        logged = self._log.append(predictions, also=also, counted=self._features.counts)
        self.tally.committed(len(logged))
        answers: list[PredictAnswer | Exception] = []
        for one, mine, stored in zip(admitted, predictions, logged, strict=True):
            if stored is mine:
                self.counts["predicted"] += 1
                self.tally.answer(stored)
                self.counts["degraded"] += stored.degraded
                answers.append(self._answer_of(stored))
                self.shadows.add(stored, one.event)
                continue
            # The same event, twice in this batch or at this moment in another process.
            answers += isolate(partial(self._repeated, stored), [one.request])
        return answers

    def _answer_of(self, p: Prediction) -> PredictAnswer:
        return PredictAnswer(
            prediction_id=p.prediction_id, event_id=p.event_id,
            label_name=self.system.label.name, decision=p.decision, score=p.score,
            model_version=p.model_version, features_as_of=p.features_as_of, degraded=p.degraded,
        )

    def _count(self, refused: RequestRefused) -> None:
        name = self.system.name
        self.counts["rejected"] += 1
        self._lines.say(log, logging.WARNING, (name, refused.problem.code),
                        "%s: request %d refused since the start: %s", name,
                        self.counts["rejected"], refused)

    def _why_no_model(self) -> str:
        name, pool = self.system.name, self._models
        for refusal in pool.refusals:
            if refusal.role == "champion":
                return (f"version {refusal.version} of {name!r} is deployed but was refused: "
                        f"{refusal.reason}")
        if pool.problem is not None:
            return pool.problem
        return f"no model of {name!r} is deployed: materialise {name}/deployment or run the loop"


def remembered(p: Prediction, event: Mapping[str, object]) -> dict[str, object]:
    """The event of a prediction as a row of `tables.events_schema`."""
    return {**event, "event_id": p.event_id, "event_timestamp": p.event_timestamp,
            "accepted_at": p.accepted_at}
