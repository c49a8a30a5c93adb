"""Scores by versions that did not answer, made after the answers and when no request waits."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.slates import request_of
from ml_assets.core.source import Event
from ml_assets.ingest.log.event_log import EventLog, Prediction, ShadowScore
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.models.loaded_rollout import LineUp, LoadedModel
from ml_assets.serving.models.pool import ModelPool
from ml_assets.serving.models.rescoring import FeaturesDiffer, score_again

log = logging.getLogger(__name__)

LONGEST_QUEUE = 512
"""Answers that wait for their shadows, two full batches; of later ones none is shadowed."""
TURN_SECONDS = 0.005
"""A turn ends after about this time, or after one answer if that takes longer."""


class Shadows:
    """Answers to be scored once more, by every version that did not give them: by shadows, and, if
    several share the traffic, by the others. So each outcome judges all that are tried. One call at
    a time, as for the event log.

    What waits here is lost when the process dies, and what does not fit is dropped and counted:
    shadow scores are a sample to judge by, and no answer waits for them.

    counts: `shadowed`, scores that were logged; `shadow_dropped`, answers that got none
    """

    def __init__(
        self, models: ModelPool, *, now: Callable[[], datetime], counts: Counter[str],
        guard: Guard,
    ) -> None:
        """guard: sees what each version says"""
        self._models, self._now, self._counts, self._guard = models, now, counts, guard
        self._waiting: deque[tuple[Prediction, Event]] = deque()

    def __len__(self) -> int:
        """How many answers wait."""
        return len(self._waiting)

    def add(self, answered: Prediction, event: Event) -> None:
        """Let the other versions, if there are any, score this event too: later, in a `turn`."""
        if self._models.lineup is None or len(self._models.lineup.models) < 2:
            return
        if len(self._waiting) >= LONGEST_QUEUE:
            self._counts["shadow_dropped"] += 1
            return
        self._waiting.append((answered, event))

    def turn(self, open_log: Callable[[], EventLog]) -> None:
        """Score and log some of what waits, at least one answer. Raises LogUnavailable."""
        started = now = monotonic()
        scores: list[ShadowScore] = []
        taken, size = 0, 1
        while self._waiting and (taken == 0 or now < started + TURN_SECONDS):
            some = [self._waiting.popleft() for _ in range(min(size, len(self._waiting)))]
            scores += self._scores(some)
            taken += len(some)
            now = monotonic()
            size = _next_size(taken, spent=now - started)
        try:
            if scores:
                open_log().shadows.add(scores)
        except LogUnavailable:
            self._counts["shadow_dropped"] += taken
            raise
        self._counts["shadowed"] += len(scores)

    def _scores(self, some: Sequence[tuple[Prediction, Event]]) -> list[ShadowScore]:
        """All other versions' scores of these; none of one that fails on one of them."""
        lineup = self._models.lineup
        made: list[ShadowScore] = []
        if lineup is None:
            return made
        sides = self._guard.of(lineup)
        for model in lineup.models.values():
            mine = [each for each in some if each[0].model_version != model.version]
            if not mine:
                continue
            try:
                scores = score_again(model, mine)
            except FeaturesDiffer as error:
                if model in lineup.shadows:
                    self._models.dismiss(model.version, error)
                continue
            except Exception:  # whatever its code raises: it must reach nobody
                mine, scores = self._one_by_one(lineup, model, mine)
            if (own := sides.get(model.version)) is not None:
                own.scored(len(mine))
            made += [
                ShadowScore(prediction_id=answered.prediction_id, score=score, outputs=several,
                            model_version=model.version, scored_at=self._now())
                for (answered, _), (score, several) in zip(mine, scores, strict=True)
            ]
            for (answered, _), (score, several) in zip(mine, scores, strict=True):
                said, other = several or (score,), answered.outputs or (answered.score,)
                slate = request_of(answered.event_id)
                if own is not None:
                    own.again(answered.prediction_id, said)
                    if own.reference == answered.model_version:
                        own.paired(said, other, slate)
                asked = sides.get(answered.model_version)
                if asked is not None and asked.reference == model.version:
                    asked.paired(other, said, slate)
        return made

    def _one_by_one(
        self, lineup: LineUp, model: LoadedModel, answered: Sequence[tuple[Prediction, Event]]
    ) -> tuple[list[tuple[Prediction, Event]], list[tuple[float, tuple[float, ...]]]]:
        """Those that a version does score, of some that it fails on together: how often it fails
        must not depend on what happens to wait at the same time."""
        scored: list[tuple[Prediction, Event]] = []
        made: list[tuple[float, tuple[float, ...]]] = []
        for each in answered:
            try:
                made += score_again(model, [each])
                scored.append(each)
            except Exception as error:
                if self._guard.failed(lineup, model.version, error):
                    self._models.dismiss(model.version, error)
                    break
        return scored, made


def _next_size(taken: int, *, spent: float) -> int:
    """How many answers to score together next: as many as the rest of the turn is enough for.

    taken, spent: the turn's answers so far and the seconds that they took. Never more than
    these were: the next may have longer texts.
    """
    rest = TURN_SECONDS - spent
    return max(1, taken if spent * 2 <= TURN_SECONDS else int(taken * rest / spent))
