"""`predictions`: what was served. `batch_predictions`: the deployed model over whole days."""

from typing import Any

import dagster as dg

from ml_assets.core.assets import (
    Materialized,
    attributes,
    check_result,
    column_schema,
    days,
    key,
    keys,
    plot,
    preview,
    rows,
)
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import day_bounds

SCORED = [
    ("event_id", "string", "id of the event"),
    ("event_timestamp", "timestamp", "when it happened, UTC"),
    ("features", "list<float32>", "what the model saw beside the texts"),
    ("feature_names", "list<string>", "the names of `features`, in order"),
    ("model_version", "int", "the version that scored it"),
    ("score", "double", "probability of True"),
    ("decision", "bool", "whether the score reached the threshold"),
]
BATCH = [
    *SCORED,
    ("scored_at", "timestamp", "when the batch scored it, UTC"),
    ("basis", "string", "`batch`"),
]
SERVED = [
    ("prediction_id", "string", "what feedback refers to"),
    ("accepted_at", "timestamp", "when the API answered, UTC; its day is the partition"),
    ("features_as_of", "timestamp", "the instant whose state of the feature store was read"),
    *SCORED,
    ("degraded", "bool", "the feature store could not answer"),
    ("role", "string", "of the version when it answered: champion or challenger"),
    ("propensity", "double", "how probable it was that this version would answer"),
    ("state_seq", "int", "the log's position that the features were read at"),
]


def build(system: System) -> list[Any]:
    return [_predictions(system), _batch_predictions(system)]


def _predictions(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "predictions"),
        deps=keys(system, "deployment", "event_log", system.feature_service),
        description="One row for each prediction that the API answered on the day, with the exact "
        "feature vector that the model saw. Source: the event log.",
        code_version="1",
        metadata={"dagster/column_schema": column_schema(SERVED)},
        check_specs=[
            dg.AssetCheckSpec(
                "features_were_served", asset=key(system, "predictions"),
                description="No prediction had to do without the feature store (warning).",
            )
        ],
        **attributes(system, "serving", "parquet", "sqlite"),
    )
    def predictions(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        import pandas as pd

        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.log.event_log import EventLog
        from ml_assets.ingest.tables import PREDICTIONS
        from ml_assets.serving.batch.plots import score_histogram
        from ml_assets.serving.batch.summary import histogram
        from ml_assets.serving.batch.tables import served_rows

        lake, log, parts = Lake(settings.lake), EventLog(settings.event_log), []
        for day in days(context):
            parts.append(served_rows(log.predictions(system.name, *day_bounds(day))))
            lake.write(system.name, "predictions", day, parts[-1], PREDICTIONS)
        log.close()
        served = pd.concat(parts, ignore_index=True)
        degraded = int(served["degraded"].sum())
        picture = score_histogram(
            histogram(served["score"]).tolist(), system.model.threshold, system.label.name,
            title=f"{len(served)} predictions served",
        )
        return dg.MaterializeResult(
            metadata=rows(
                len(served),
                positives=int(served["decision"].sum()),
                degraded=degraded,
                model_versions=sorted(int(each) for each in served["model_version"].unique()),
                scores=plot(settings, picture, "scores"),
                preview=preview(served.drop(columns=["features", "feature_names"])),
            ),
            check_results=[check_result(degraded == 0, "features_were_served",
                                        {"degraded": degraded, "served": len(served)},
                                        severity=dg.AssetCheckSeverity.WARN)],
        )

    return predictions


def _batch_predictions(system: System) -> dg.AssetsDefinition:
    entity = [(each.name, "string", each.description) for each in system.entities
              if each.name == system.scores_by]

    @dg.asset(
        key=key(system, "batch_predictions"),
        deps=keys(system, "deployment", "events", system.feature_service),
        description="One row for each event of the day: the score that the deployed model gives "
        "it, with the features as of the event, by the functions that the API uses, some thousands "
        "at a time. Source: `events` and the streams that the features are computed from.",
        code_version="2",
        metadata={"dagster/column_schema": column_schema([*BATCH, *entity])},
        check_specs=[
            dg.AssetCheckSpec(
                "scores_are_those_served", asset=key(system, "batch_predictions"),
                description="Where the API answered the same event with the same version and "
                "features, it gave this very score.",
            )
        ],
        **attributes(system, "serving", "parquet", "numpy"),
    )
    def batch_predictions(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.core.errors import NotReady
        from ml_assets.features.offline import OfflineFeatures
        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.log.event_log import EventLog
        from ml_assets.registry.deployments import Deployments
        from ml_assets.serving.batch.day import DayScorer
        from ml_assets.serving.batch.plots import score_histogram
        from ml_assets.serving.batch.summary import ScoreSummary
        from ml_assets.serving.composition import Backends
        from ml_assets.serving.models.scoring import require_names

        deployed = Deployments(settings.deployments).current(system.name)
        if deployed is None:
            raise NotReady(f"no model of {system.name!r} is deployed: materialise "
                           f"{system.name}/deployment first")
        scorer = Backends.of(settings).model(system, deployed.version)
        history = OfflineFeatures(settings, system)
        require_names(system, scorer, history.names)
        log, summary = EventLog(settings.event_log), ScoreSummary()
        day_scorer = DayScorer(
            system=system, scorer=scorer, version=deployed.version, history=history,
            lake=Lake(settings.lake), log=log, at=settings.clock.now(),
        )
        for day in days(context):
            day_scorer.score(day, summary)
        log.close()
        picture = score_histogram(
            summary.counts.tolist(), scorer.threshold, system.label.name,
            title=f"{summary.rows} events, version {deployed.version}",
        )
        return dg.MaterializeResult(
            metadata=rows(
                summary.rows,
                positives=summary.positives,
                model_version=deployed.version,
                compared_with_served=summary.compared,
                scores=plot(settings, picture, "scores"),
                preview=preview(summary.preview),
            ),
            check_results=[check_result(summary.differing == 0, "scores_are_those_served",
                                        {"compared": summary.compared,
                                         "differing": summary.differing})],
        )

    return batch_predictions
