"""Scores by versions that answer nobody, made after the answers and when no request waits."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from time import monotonic

from ml_assets.core.errors import LogUnavailable, ModelRefused
from ml_assets.core.source import Event
from ml_assets.ingest.event_log import EventLog, Prediction, ShadowScore
from ml_assets.serving.lineup import Loaded
from ml_assets.serving.pool import ModelPool
from ml_assets.serving.scoring import score_rows

log = logging.getLogger(__name__)

LONGEST_QUEUE = 512
"""Answers that wait for their shadows, two full batches; of later ones none is shadowed."""
TURN_SECONDS = 0.005
"""A turn ends after this time, or after one answer where that takes longer."""


class Shadows:
    """Answers to be scored once more. All calls on one thread, as for the event log.

    What waits here is lost when the process dies, and what does not fit is dropped and counted:
    shadow scores are a sample to judge by, and no answer waits for them.

    counts: `shadowed`, scores that were logged; `shadow_dropped`, answers that got none
    """

    def __init__(
        self, models: ModelPool, *, now: Callable[[], datetime], counts: Counter[str]
    ) -> None:
        self._models, self._now, self._counts = models, now, counts
        self._waiting: deque[tuple[Prediction, Event]] = deque()

    def __len__(self) -> int:
        """How many answers wait."""
        return len(self._waiting)

    def add(self, answered: Prediction, event: Event) -> None:
        """Let the shadows, if there are any, score this event too: later, in a `turn`."""
        if self._models.lineup is None or not self._models.lineup.shadows:
            return
        if len(self._waiting) >= LONGEST_QUEUE:
            self._counts["shadow_dropped"] += 1
            return
        self._waiting.append((answered, event))

    def turn(self, open_log: Callable[[], EventLog]) -> None:
        """Score and log some of what waits, at least one answer. Raises LogUnavailable."""
        ends = monotonic() + TURN_SECONDS
        scores: list[ShadowScore] = []
        taken = 0
        while self._waiting and (taken == 0 or monotonic() < ends):
            answered, event = self._waiting.popleft()
            taken += 1
            scores += self._scores(answered, event)
        try:
            if scores:
                open_log().add_shadow_scores(scores)
        except LogUnavailable:
            self._counts["shadow_dropped"] += taken
            raise
        self._counts["shadowed"] += len(scores)

    def _scores(self, answered: Prediction, event: Event) -> list[ShadowScore]:
        lineup = self._models.lineup
        found = []
        for shadow in () if lineup is None else lineup.shadows:
            try:
                score = _score(shadow, answered, event)
            except Exception as error:
                # Whatever its code raises: a shadow's fault must reach nobody.
                self._models.dismiss(shadow.version, error)
                continue
            found.append(ShadowScore(prediction_id=answered.prediction_id, score=score,
                                     model_version=shadow.version, scored_at=self._now()))
        return found


def _score(shadow: Loaded, answered: Prediction, event: Event) -> float:
    if tuple(shadow.scorer.feature_names) != answered.feature_names:
        raise ModelRefused(f"it reads {shadow.scorer.feature_names}; the answer was made from "
                           f"{answered.feature_names}")
    [score] = score_rows(shadow.scorer, [event], answered.features.reshape(1, -1))
    if not 0 <= score <= 1:
        raise ModelRefused(f"it gave {score}; expected a probability")
    return float(score)
