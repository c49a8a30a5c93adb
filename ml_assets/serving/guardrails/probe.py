"""One event now and then, scored alone by every version: what each says, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic, perf_counter

from ml_assets.core.slates import request_of
from ml_assets.core.source import Event
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.models.loaded_rollout import LineUp
from ml_assets.serving.models.pool import ModelPool
from ml_assets.serving.models.rescoring import FeaturesDiffer, score_again

EVERY_SECONDS = 0.1
REST = 5.0
"""So many times as long as a probe took, the next one waits: it takes a sixth of the time at most,
and that only of versions that are too slow to be served."""


class Probe:
    """Compares versions at the same moment on the same event, however busy the API is: shadows
    score only while no request waits, which a slow version may keep from ever being so.

    Also finds a version whose answer depends on what it is scored with. One call at a time.
    """

    def __init__(self, guard: Guard, models: ModelPool) -> None:
        self._guard, self._models = guard, models
        self._due, self._turn = 0.0, 0

    @property
    def due(self) -> bool:
        """Whether it is time to look at an event."""
        lineup = self._models.lineup
        return (lineup is not None and bool(lineup.compared) and self._guard.timed
                and monotonic() >= self._due)

    def take(self, answered: Sequence[tuple[Prediction, Event]]) -> None:
        """Look at one of the events that were just answered, if one is due."""
        lineup = self._models.lineup
        if not answered or lineup is None or not self.due:
            return
        prediction, event = answered[self._turn % len(answered)]
        if not prediction.feature_names:
            return
        started = monotonic()
        self._compare(lineup, prediction, event)
        ended = monotonic()
        self._due = ended + max(EVERY_SECONDS, REST * (ended - started))

    def _compare(self, lineup: LineUp, answered: Prediction, event: Event) -> None:
        said: dict[int, tuple[float, ...]] = {}
        took: dict[int, float] = {}
        failed: dict[int, Exception] = {}
        models = list(lineup.models.values())
        self._turn += 1  # the first one finds a cold cache: each is it in turn
        for place in range(len(models)):
            model = models[(place + self._turn) % len(models)]
            began = perf_counter()
            try:
                [(score, several)] = score_again(model, [(answered, event)])
            except FeaturesDiffer:
                continue
            except Exception as error:  # whatever its code raises
                failed[model.version] = error
                continue
            took[model.version], said[model.version] = perf_counter() - began, several or (score,)
        for version, side in self._guard.of(lineup).items():
            reference = side.reference
            if reference not in said:
                continue
            if version in failed:
                if self._guard.failed(lineup, version, failed[version]):
                    self._models.dismiss(version, failed[version])
            elif version in said:
                side.timed(took[version], took[reference])
                side.paired(said[version], said[reference], request_of(answered.event_id))
                side.alone(answered.prediction_id, said[version])
                if version == answered.model_version:
                    side.again(answered.prediction_id, answered.outputs or (answered.score,))
