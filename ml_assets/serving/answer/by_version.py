"""What the version that answers an event says of it: drawn, shown its features, scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.log.served import prediction_id
from ml_assets.registry.routing import sticky_key
from ml_assets.serving.answer.features import GuardedState
from ml_assets.serving.answer.intake.admission import Admitted
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.models.loaded_rollout import Arm, LineUp
from ml_assets.serving.models.pool import ModelPool
from ml_assets.serving.models.scoring import Floats, checked, dense_vectors, listed, outputs_of

Seen = tuple[Floats, list[datetime], int | None]
"""Vectors (B, D) of a batch, the instants whose state they show, and the log's position that was
read; without one they are degraded."""


class ScoresByVersion:
    """Scores one system's events, each by its own version. One call at a time."""

    def __init__(
        self, system: System, state: GuardedState, models: ModelPool, guard: Guard
    ) -> None:
        self._system, self._state, self._models, self._guard = system, state, models, guard

    def score(
        self, lineup: LineUp, admitted: list[Admitted], accepted_at: Sequence[datetime]
    ) -> list[Prediction]:
        """What each event's version says of it, not logged yet.

        Where a challenger fails the champion answers in its place, and where a new champion
        fails its predecessor, if it is still there. A challenger that fails too often has no
        traffic from here on.
        """
        system = self._system
        arms = [lineup.arm(sticky_key(system, one.event, one.event_id)) for one in admitted]
        rows_of: dict[int, list[int]] = {}
        for row, arm in enumerate(arms):
            rows_of.setdefault(arm.model.version, []).append(row)
        seen: dict[tuple[str, ...], Seen] = {}
        predictions: dict[int, Prediction] = {}
        for rows in rows_of.values():
            arm = arms[rows[0]]
            try:
                answered = self._score_by(arm, rows, admitted, seen, accepted_at)
            except Exception as error:
                substitute = lineup.substitute(arm.model.version)
                if substitute is None:
                    raise
                # If this fails too, the events are to blame: they are tried one by one.
                answered = self._score_by(substitute, rows, admitted, seen, accepted_at)
                if self._guard.failed(lineup, arm.model.version, error):
                    self._models.dismiss(arm.model.version, error)
                arm = substitute
            self._guard.answered(lineup, arm.model.version, len(rows),
                                 degraded=answered[0].degraded)
            predictions.update(zip(rows, answered, strict=True))
        return [predictions[row] for row in range(len(admitted))]

    def _score_by(
        self,
        arm: Arm,
        rows: list[int],
        admitted: list[Admitted],
        seen: dict[tuple[str, ...], Seen],
        accepted_at: Sequence[datetime],
    ) -> list[Prediction]:
        """One version's predictions for its rows of `admitted`, scored as one batch.

        seen: by the names of the features, what the whole batch has read of them so far
        """
        model, names = arm.model, tuple(arm.model.scorer.feature_names)
        if names not in seen:
            seen[names] = see(self._system, self._state, names, [one.event for one in admitted],
                              [one.at for one in admitted])
        dense, until, position = seen[names]
        mine = admitted
        if len(rows) < len(admitted):
            dense = dense[rows]
            mine, until = [admitted[row] for row in rows], [until[row] for row in rows]
        system, target = self._system.name, self._system.target
        outputs = checked(model.version, outputs_of(
            model.scorer, [one.event for one in mine], dense), target)
        scores: list[float] = target.score(outputs).tolist()
        decisions = map(target.label_of, target.decide(outputs).tolist())
        return [
            Prediction(
                prediction_id=prediction_id(system, one.event_id),
                system=system, event_id=one.event_id, event_timestamp=one.at,
                accepted_at=accepted_at[row], request=one.posted, features_as_of=as_of,
                features=features, feature_names=names, model_version=model.version,
                score=score, decision=decision,
                degraded=position is None, role=arm.role, propensity=arm.propensity,
                state_seq=position, outputs=several,
                audit=self._system.feedback.propensity(prediction_id(system, one.event_id)),
            )
            for row, one, features, as_of, score, decision, several in zip(
                rows, mine, dense, until, scores, decisions, listed(outputs), strict=True)
        ]


def see(
    system: System, state: GuardedState, names: tuple[str, ...],
    events: Sequence[Mapping[str, object]], at: Sequence[datetime],
) -> Seen:
    """The vectors of these features for the whole batch: the store is asked once."""
    features, until, position = state.read(events, at, names[len(system.model.numbers) :])
    return dense_vectors(system, events, features), until, position
