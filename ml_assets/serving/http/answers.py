"""What clients are told: the values of the answer room as the structs that travel over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ml_assets.core.feedback import ANONYMOUS
from ml_assets.core.settings import Ack
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.features.online_store.latest_scores import Score
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.log.slates import slate_id
from ml_assets.serving.answer.explanation import Explanation, UnknownOrigin
from ml_assets.serving.answer.feedback import FeedbackResult
from ml_assets.serving.answer.slates.slate import Slate
from ml_assets.serving.contract.by_target import answer_struct
from ml_assets.serving.contract.health import (
    ChallengerEntry,
    Counts,
    DeploymentEntry,
    RefusedModel,
    ServingModel,
    VersionAnswer,
)
from ml_assets.serving.contract.protocol import (
    FeedbackAnswer,
    PredictAnswer,
    RankAnswer,
    RankedItem,
    ScoreAnswer,
)
from ml_assets.serving.contract.records import (
    ContributingRow,
    ContributingRows,
    DecisionEntry,
    FeedbackEntry,
    ModelOrigin,
    OutcomeEntry,
    PredictionRecord,
    SlateItem,
    SlateRecord,
)
from ml_assets.serving.contract.redaction import redacted
from ml_assets.serving.models.pool import ModelPool

if TYPE_CHECKING:
    # Imported by the calls that need them: they bring MLflow and the lake.
    from ml_assets.features.contributing import Row
    from ml_assets.registry.origin import Origin


def answers_for(target: Target) -> Callable[[Prediction], PredictAnswer]:
    """Makes the answers of a system that predicts `target`."""
    struct, name = answer_struct(target), target.name

    def answer(p: Prediction) -> PredictAnswer:
        return PredictAnswer(
            prediction_id=p.prediction_id, event_id=p.event_id, label_name=name,
            decision=p.decision, score=p.score, model_version=p.model_version,
            features_as_of=p.features_as_of, degraded=p.degraded,
        )

    def longer(p: Prediction) -> PredictAnswer:
        return struct(
            prediction_id=p.prediction_id, event_id=p.event_id, label_name=name,
            decision=p.decision, score=p.score, model_version=p.model_version,
            features_as_of=p.features_as_of, degraded=p.degraded, **_answered(target, p),
        )

    return answer if struct is PredictAnswer else longer


def rank_answer(system: System, slate: Slate) -> RankAnswer:
    first = slate.rows[0]
    return RankAnswer(
        prediction_id=slate_id(system.name, slate.request_id), event_id=slate.request_id,
        label_name=system.target.name, model_version=first.model_version,
        features_as_of=first.features_as_of, degraded=first.degraded,
        items=[
            RankedItem(item=item, score=row.score, position=position, propensity=row.propensity,
                       prediction_id=row.prediction_id)
            for position, (row, item) in enumerate(zip(slate.rows, slate.items, strict=True), 1)
        ],
    )


def slate_record(
    system: System, slate: Slate, explained: Sequence[Explanation]
) -> SlateRecord:
    """explained: the rows, in the order of positions"""
    first = slate.rows[0]
    return SlateRecord(
        prediction_id=slate_id(system.name, slate.request_id), system=system.name,
        event_id=slate.request_id, event_timestamp=first.event_timestamp,
        accepted_at=first.accepted_at,
        items=[
            SlateItem(item=item, position=position, record=prediction_record(system, each))
            for position, (item, each) in enumerate(zip(slate.items, explained, strict=True), 1)
        ],
    )


def _answered(target: Target, p: Prediction) -> dict[str, Any]:
    """What a client is told beside score and decision."""
    return target.answer(p.outputs or (p.score,))


def feedback_answer(result: FeedbackResult) -> FeedbackAnswer:
    known = result.known
    return FeedbackAnswer(
        accepted=True, new=result.new, counted=result.counted,
        label=known.label if known else None, basis=known.basis if known else None,
        says=result.says,
    )


def score_answer(score: Score) -> ScoreAnswer:
    return ScoreAnswer(**vars(score))


def prediction_record(system: System, explained: Explanation) -> PredictionRecord:
    def trust(source: str) -> str:
        trust_class = system.feedback.class_of(source)
        return ANONYMOUS if trust_class is None else trust_class.name

    p, heard, decision = explained.prediction, explained.heard, explained.decision
    return PredictionRecord(
        prediction_id=p.prediction_id, system=p.system, event_id=p.event_id,
        event_timestamp=p.event_timestamp, accepted_at=p.accepted_at,
        request=msgspec.Raw(p.request.encode()), features_as_of=p.features_as_of,
        features={
            name: None if np.isnan(value) else float(value)
            for name, value in zip(p.feature_names, p.features, strict=True)
        },
        model_version=p.model_version, role=p.role, propensity=p.propensity,
        label_name=system.target.name, score=p.score, decision=p.decision,
        answer=_answered(system.target, p), degraded=p.degraded,
        model=_model_origin(explained.origin),
        decision_behind=None if decision is None else DecisionEntry(
            at=decision.at, by=decision.by, reason=decision.reason),
        feedback=[
            FeedbackEntry(label=said.label, source=said.source, received_at=said.received_at,
                          trust=trust(said.source),
                          counted=said.source in heard.resolution.counted)
            for said in heard.words
        ],
        says=heard.resolution.says,
        outcomes=[OutcomeEntry(known_at=each.known_at, label=each.label, basis=each.basis)
                  for each in heard.known],
    )


def contributing_rows(
    p: Prediction, rows: Sequence[Row], texts: Mapping[str, str]
) -> ContributingRows:
    """rows: those that made the features of the prediction, in the order of time; texts: behind
    those features that are codes
    """
    return ContributingRows(
        prediction_id=p.prediction_id, features_as_of=p.features_as_of, texts=dict(texts),
        rows=[
            ContributingRow(
                view=row.view, table=row.table, key=dict(row.key), event_id=row.event_id,
                event_timestamp=row.event_timestamp, known_at=row.known_at, label=row.label,
            )
            for row in rows
        ],
    )


def version_answer(system: str, ack: Ack, models: ModelPool, counts: Counts) -> VersionAnswer:
    """Which model answers, since when and why. On any thread."""
    lineup, deployed = models.lineup, models.deployment
    champion = None if lineup is None else lineup.champion
    return VersionAnswer(
        system=system, ack=ack,
        loaded=champion.version if champion else None,
        loaded_at=champion.loaded_at if champion else None,
        serving=[] if lineup is None else [
            ServingModel(version=version, role=role, loaded_at=model.loaded_at,
                         share=lineup.rollout.share(version))
            for version, model in lineup.models.items()
            if (role := lineup.rollout.role(version)) is not None
        ],
        deployment=None if deployed is None else DeploymentEntry(
            id=deployed.id, version=deployed.version, previous=deployed.previous,
            action=deployed.action,
            challengers=[ChallengerEntry(version=each.version, share=each.share)
                         for each in deployed.challengers],
            shadows=list(deployed.shadows), reason=deployed.reason, by=deployed.by,
            at=deployed.at,
        ),
        refused=[RefusedModel(version=each.version, role=each.role,
                              reason=redacted(each.reason)) for each in models.refusals],
        counts=counts,
    )


def _model_origin(origin: Origin | UnknownOrigin) -> ModelOrigin:
    if isinstance(origin, UnknownOrigin):
        return ModelOrigin(version=origin.version, problem=redacted(origin.problem))
    return ModelOrigin(**asdict(origin))
