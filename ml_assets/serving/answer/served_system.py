"""One system as it is served: the parts that answer, opened and closed as one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from time import monotonic

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.serving.answer.counters import Counters
from ml_assets.serving.answer.explanation import Heard, Provenance, prediction_in
from ml_assets.serving.answer.features import GuardedState
from ml_assets.serving.answer.feedback import FeedbackIntake
from ml_assets.serving.answer.instants import Instants
from ml_assets.serving.answer.intake.told import ToldIntake
from ml_assets.serving.answer.latest_scores import LatestScores
from ml_assets.serving.answer.log_handle import LogHandle
from ml_assets.serving.answer.predictor import Predictor
from ml_assets.serving.answer.readiness import Readiness
from ml_assets.serving.answer.shadows import Shadows
from ml_assets.serving.answer.slates.ranker import Ranker
from ml_assets.serving.answer.slates.slate import Slate, logged_slate
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.guardrails.watcher import Watcher
from ml_assets.serving.models.pool import ModelPool

log = logging.getLogger(__name__)

FAREWELL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class ServedSystem:
    """What answers for one system; who has a question asks the part that knows.

    One call at a time, except `counters`, `models` and `readiness.warnings`, which are read on
    any thread, and `provenance`, which takes its time and has a thread of its own.
    """

    system: System
    log: LogHandle
    instants: Instants
    state: GuardedState
    models: ModelPool
    scores: LatestScores
    shadows: Shadows
    guard: Guard
    watcher: Watcher
    predictor: Predictor
    ranker: Ranker | None
    told: ToldIntake
    feedback: FeedbackIntake
    provenance: Provenance
    readiness: Readiness
    counters: Counters
    lines: SparseLog

    def open(self) -> None:
        """Open the stores, load the deployed model and follow the deployments from now on."""
        self.state.check(self.instants.now())
        self.models.refresh()
        self.models.start()
        self.watcher.start()

    def close(self) -> None:
        """Stop watching and following, give the shadows a last second, close the log."""
        self.watcher.stop()
        self.models.stop()
        ends = monotonic() + FAREWELL_SECONDS
        while self.shadows and monotonic() < ends:
            self.shadow()
        self.state.close()
        if self.ranker is not None:
            self.ranker.candidates.close()
        self.log.close()

    def shadow(self) -> None:
        """Let the shadows score some of what was answered.

        For moments when no request waits. What cannot be logged is lost and counted.
        """
        try:
            with self.log.reopening():
                self.shadows.turn(self.log.get)
        except LogUnavailable as error:
            self.lines.say(log, logging.WARNING, (self.system.name, "shadow scores are lost"),
                           "%s: shadow scores are lost: %s", self.system.name, error)

    def find(self, prediction_id: str) -> tuple[Prediction, Heard]:
        """What the log knows of a prediction. Raises UnknownName or LogUnavailable."""
        with self.log.session() as events:
            return self._heard(events, prediction_in(events, self.system, prediction_id))

    def find_slate(self, slate_id: str) -> tuple[Slate, list[Heard]]:
        """The same of a slate, with what was heard of each row."""
        with self.log.session() as events:
            slate = logged_slate(events, self.system, slate_id)
            return slate, [self._heard(events, row)[1] for row in slate.rows]

    def _heard(self, events: EventLog, prediction: Prediction) -> tuple[Prediction, Heard]:
        return prediction, Heard.of(self.system, events, prediction, self.instants.now())
