"""One system's way from requests to answers that are in the log before they are sent."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b

import numpy as np

from ml_assets.core.errors import LogUnavailable, ModelRefused, NotReady
from ml_assets.core.system import System
from ml_assets.ingest.event_log import EventLog, Feedback, Prediction
from ml_assets.registry.routing import sticky_key
from ml_assets.serving.admission import Admission, Admitted, require_same
from ml_assets.serving.explanation import Heard, feedback_answer, prediction_in, record_of
from ml_assets.serving.lineup import Arm, LineUp
from ml_assets.serving.lookup import FeatureLookup
from ml_assets.serving.pool import ModelPool
from ml_assets.serving.protocol import (
    FeedbackAnswer,
    FeedbackRequest,
    PredictAnswer,
    PredictionRecord,
    PredictRequest,
    RequestRefused,
)
from ml_assets.serving.scores import OnlineScores
from ml_assets.serving.scoring import Floats, dense_vectors, score_rows
from ml_assets.serving.shadows import Shadows
from ml_assets.serving.tally import Tally

log = logging.getLogger(__name__)

Seen = tuple[Floats, list[datetime], bool]
"""Vectors (B, D) of a batch, the instants whose state they show, whether they are degraded."""


class Predictor:
    """Answers for one system. All calls on one thread, which the event log demands.

    now: the clock, read once for each call, since a replay moves it
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
        now: Callable[[], datetime],
        scores: OnlineScores,
    ) -> None:
        self.system = system
        self.counts: Counter[str] = Counter()
        self.tally = Tally()
        self._features, self._models, self._scores = features, models, scores
        self._open_log, self._now = open_log, now
        self._opened: EventLog | None = None
        self._admission = Admission(system)
        self.shadows = Shadows(models, now=now, counts=self.counts)

    @property
    def _log(self) -> EventLog:
        """Opened at the first call, so that a log that cannot be opened now may be later."""
        if self._opened is None:
            self._opened = self._open_log()
        return self._opened

    def close(self) -> None:
        """Close the log; the next call opens it anew, for example after it was replaced."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
        self._scores.close()

    def predict(
        self, requests: Sequence[PredictRequest | RequestRefused]
    ) -> list[PredictAnswer | RequestRefused]:
        """An answer or a refusal for each request, in order.

        One that was refused before stays so. All others are logged in one transaction before
        this returns; an event that has an answer keeps it. Raises LogUnavailable where they
        cannot be logged and NotReady where there is no model: then none is answered.
        """
        now = self._now()
        answers: dict[int, PredictAnswer | RequestRefused] = {}
        fresh: dict[int, Admitted] = {}
        for place, request in enumerate(requests):
            try:
                if isinstance(request, RequestRefused):
                    raise request
                earlier = self._earlier(request)
                if earlier is not None:
                    answers[place] = earlier
                else:
                    fresh[place] = self._admission.admit(request, now)
            except RequestRefused as refused:
                answers[place] = self._rejected(refused)
        if fresh:
            answers.update(zip(fresh, self._answer(list(fresh.values()), now), strict=True))
        return [answers[place] for place in range(len(requests))]

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
        about, now = prediction_in(self._log, self.system, said.prediction_id), self._now()
        feedback = Feedback(
            prediction_id=said.prediction_id, system=self.system.name, label=said.label,
            source=said.source,
            # No outcome is known before its event, whatever the client's clock said of that.
            received_at=max(now, about.event_timestamp),
        )
        new = self._log.add_feedback(feedback, limit=self.system.feedback.limit_of(said.source))
        self.counts["feedback"] += new
        return feedback_answer(Heard.of(self.system, self._log, about, now), said.source, new=new)

    def record(self, prediction_id: str) -> PredictionRecord:
        """What the log knows of a prediction. Raises UnknownName."""
        found = prediction_in(self._log, self.system, prediction_id)
        return record_of(self.system, found, Heard.of(self.system, self._log, found, self._now()))

    def problems(self) -> list[str]:
        """Why full answers cannot be given now, tried out: log, feature store, model."""
        found = []
        try:
            self._log.check()
        except LogUnavailable as error:
            self.close()
            found.append(str(error))
        self._features.check(self._now())
        if self._features.problem is not None:
            found.append(f"{self._features.problem}; predictions are degraded")
        if self._models.current is None:
            found.append(self._why_no_model())
        return found

    def _earlier(self, request: PredictRequest) -> PredictAnswer | None:
        """The answer that the event got before. Raises RequestRefused where it has changed."""
        if request.event_id is None:
            return None
        first = self._log.answer_to(self.system.name, request.event_id)
        return None if first is None else self._repeated(first, request)

    def _repeated(self, first: Prediction, request: PredictRequest) -> PredictAnswer:
        require_same(first, request)
        self.counts["repeated"] += 1
        return self._answer_of(first)

    def _answer(
        self, admitted: list[Admitted], now: datetime
    ) -> list[PredictAnswer | RequestRefused]:
        """Score, log and answer, all in one batch."""
        # Read once: whatever is swapped meanwhile, this batch is answered by these.
        lineup = self._models.lineup
        if lineup is None:
            raise NotReady(self._why_no_model())
        predictions = self._score(lineup, admitted, now)

        def also(connection: sqlite3.Connection, new: Sequence[int]) -> None:
            self._features.remember(connection, [
                remembered(predictions[place], admitted[place].event) for place in new
            ])
            self._scores.refresh(connection, [
                (predictions[place], admitted[place].event) for place in new
            ])

        logged = self._log.append(predictions, also=also)
        self.tally.committed(len(logged))
        answers: list[PredictAnswer | RequestRefused] = []
        for one, mine, stored in zip(admitted, predictions, logged, strict=True):
            if stored is mine:
                self.counts["predicted"] += 1
                self.tally.answer(stored)
                self.counts["degraded"] += stored.degraded
                answers.append(self._answer_of(stored))
                self.shadows.add(stored, one.event)
                continue
            # The same event, twice in this batch or at this moment in another process.
            try:
                answers.append(self._repeated(stored, one.request))
            except RequestRefused as refused:
                answers.append(self._rejected(refused))
        return answers

    def _score(
        self, lineup: LineUp, admitted: list[Admitted], now: datetime
    ) -> list[Prediction]:
        """What each event's version says of it, not logged yet.

        A challenger that fails has no traffic from here on: the champion, who has it now,
        answers in its place.
        """
        arms = [lineup.arm(sticky_key(self.system, one.event, one.event_id)) for one in admitted]
        rows_of: dict[int, list[int]] = {}
        for row, arm in enumerate(arms):
            rows_of.setdefault(arm.model.version, []).append(row)
        seen: dict[tuple[str, ...], Seen] = {}
        predictions: dict[int, Prediction] = {}
        for rows in rows_of.values():
            arm = arms[rows[0]]
            try:
                answered = self._score_by(arm, rows, admitted, seen, now)
            except Exception as error:
                if arm.role == "champion":
                    raise
                self._models.dismiss(arm.model.version, error)
                lineup = lineup.without(arm.model.version)
                champion = lineup.arms[lineup.rollout.version]
                answered = self._score_by(champion, rows, admitted, seen, now)
            predictions.update(zip(rows, answered, strict=True))
        return [predictions[row] for row in range(len(admitted))]

    def _score_by(
        self,
        arm: Arm,
        rows: list[int],
        admitted: list[Admitted],
        seen: dict[tuple[str, ...], Seen],
        now: datetime,
    ) -> list[Prediction]:
        """One version's predictions for its rows of `admitted`, scored as one batch.

        seen: by the names of the features, what the whole batch has read of them so far
        """
        model, names = arm.model, tuple(arm.model.scorer.feature_names)
        if names not in seen:
            seen[names] = self._see(names, admitted)
        all_dense, until, degraded = seen[names]
        mine = [admitted[row] for row in rows]
        events, dense = [one.event for one in mine], all_dense[rows]
        scores = score_rows(model.scorer, events, dense)
        if not np.all((scores >= 0) & (scores <= 1)):
            raise ModelRefused(
                f"version {model.version} of {self.system.name!r} gave {scores.tolist()}; "
                "expected probabilities"
            )
        return [
            Prediction(
                prediction_id=prediction_id(self.system.name, one.event_id),
                system=self.system.name, event_id=one.event_id, event_timestamp=one.at,
                accepted_at=now, request=one.posted, features_as_of=until[rows[place]],
                features=dense[place], feature_names=names, model_version=model.version,
                score=float(scores[place]),
                decision=bool(scores[place] >= model.scorer.threshold),
                degraded=degraded, role=arm.role, propensity=arm.propensity,
            )
            for place, one in enumerate(mine)
        ]

    def _see(self, names: tuple[str, ...], admitted: list[Admitted]) -> Seen:
        """The vectors of these features for the whole batch: the store is asked once."""
        events = [one.event for one in admitted]
        features, until, degraded = self._features.read(
            events, [one.at for one in admitted], names[len(self.system.model.numbers) :]
        )
        return dense_vectors(self.system, events, features), until, degraded

    def _answer_of(self, p: Prediction) -> PredictAnswer:
        return PredictAnswer(
            prediction_id=p.prediction_id, event_id=p.event_id,
            label_name=self.system.label.name, decision=p.decision, score=p.score,
            model_version=p.model_version, features_as_of=p.features_as_of, degraded=p.degraded,
        )

    def _rejected(self, refused: RequestRefused) -> RequestRefused:
        self.counts["rejected"] += 1
        log.warning("%s: request %d refused since the start: %s", self.system.name,
                    self.counts["rejected"], refused)
        return refused

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


def prediction_id(system: str, event_id: str) -> str:
    """One for each event, so that whoever answers it first, the id is the same."""
    return blake2b(f"{system}\0{event_id}".encode(), digest_size=12).hexdigest()
