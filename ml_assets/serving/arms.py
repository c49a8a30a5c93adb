"""What the version that answers an event says of it: drawn, shown its features, scored."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

import numpy as np

from ml_assets.core.errors import ModelRefused
from ml_assets.core.system import System
from ml_assets.ingest.event_log import Prediction
from ml_assets.registry.routing import sticky_key
from ml_assets.serving.admission import Admitted
from ml_assets.serving.lineup import Arm, LineUp
from ml_assets.serving.lookup import FeatureLookup
from ml_assets.serving.pool import ModelPool
from ml_assets.serving.scoring import Floats, dense_vectors, score_rows

Seen = tuple[Floats, list[datetime], bool]
"""Vectors (B, D) of a batch, the instants whose state they show, whether they are degraded."""


class Arms:
    """Scores one system's events, each by its own version. All calls on one thread."""

    def __init__(self, system: System, features: FeatureLookup, models: ModelPool) -> None:
        self._system, self._features, self._models = system, features, models

    def score(
        self, lineup: LineUp, admitted: list[Admitted], now: datetime
    ) -> list[Prediction]:
        """What each event's version says of it, not logged yet.

        A challenger that fails has no traffic from here on: the champion, who has it now,
        answers in its place.
        """
        arms = [lineup.arm(sticky_key(self._system, one.event, one.event_id)) for one in admitted]
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
                f"version {model.version} of {self._system.name!r} gave {scores.tolist()}; "
                "expected probabilities"
            )
        return [
            Prediction(
                prediction_id=prediction_id(self._system.name, one.event_id),
                system=self._system.name, event_id=one.event_id, event_timestamp=one.at,
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
            events, [one.at for one in admitted], names[len(self._system.model.numbers) :]
        )
        return dense_vectors(self._system, events, features), until, degraded


def prediction_id(system: str, event_id: str) -> str:
    """One for each event, so that whoever answers it first, the id is the same."""
    return blake2b(f"{system}\0{event_id}".encode(), digest_size=12).hexdigest()
