"""`predictions`: what was served. `batch_predictions`: the deployed model over whole days."""

from datetime import timedelta
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
SERVED = [
    ("prediction_id", "string", "what feedback refers to"),
    ("accepted_at", "timestamp", "when the API answered, UTC; its day is the partition"),
    ("features_as_of", "timestamp", "the instant whose state of the feature store was read"),
    *SCORED,
    ("degraded", "bool", "the feature store could not answer"),
    ("role", "string", "of the version when it answered: champion or challenger"),
    ("propensity", "double", "how probable it was that this version would answer"),
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

        from ml_assets.ingest.event_log import EventLog
        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.tables import PREDICTIONS
        from ml_assets.serving.batch import served_rows
        from ml_assets.serving.plots import score_histogram

        lake, log, parts = Lake(settings.lake), EventLog(settings.event_log), []
        for day in days(context):
            parts.append(served_rows(log.predictions(system.name, *day_bounds(day))))
            lake.write(system.name, "predictions", day, parts[-1], PREDICTIONS)
        log.close()
        served = pd.concat(parts, ignore_index=True)
        degraded = int(served["degraded"].sum())
        picture = score_histogram(
            served["score"].tolist(), system.model.threshold, system.label.name,
            title=f"{len(served)} predictions served",
        )
        return dg.MaterializeResult(
            metadata=rows(
                len(served),
                positives=int(served["decision"].sum()),
                degraded=degraded,
                model_versions=sorted(int(each) for each in served["model_version"].unique()),
                scores=plot(picture, "scores"),
                preview=preview(served.drop(columns=["features", "feature_names"])),
            ),
            check_results=[check_result(degraded == 0, "features_were_served",
                                        {"degraded": degraded, "served": len(served)},
                                        severity=dg.AssetCheckSeverity.WARN)],
        )

    return predictions


def _batch_predictions(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "batch_predictions"),
        deps=keys(system, "deployment", "events", system.feature_service),
        description="One row for each event of the day: the score that the deployed model gives "
        "it, with the features as of the event, by the functions that the API uses. Source: "
        "`events` and the streams that the features are computed from.",
        code_version="1",
        metadata={"dagster/column_schema": column_schema(SCORED)},
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
        import pandas as pd

        from ml_assets.core.errors import NotReady
        from ml_assets.features.offline import OfflineFeatures
        from ml_assets.ingest.event_log import EventLog
        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.tables import events_schema
        from ml_assets.registry.deployments import Deployments
        from ml_assets.serving.batch import BATCH_PREDICTIONS, agreement, batch_rows, served_rows
        from ml_assets.serving.plots import score_histogram
        from ml_assets.serving.scoring import require_names
        from ml_assets.serving.service import Backends

        deployed = Deployments(settings.deployments).current(system.name)
        if deployed is None:
            raise NotReady(f"no model of {system.name!r} is deployed: materialise "
                           f"{system.name}/deployment first")
        scorer = Backends.of(settings).model(system, deployed.version)
        features = OfflineFeatures(settings, system)
        require_names(system, scorer, features.names)
        lake, log = Lake(settings.lake), EventLog(settings.event_log)
        parts, compared, differing = [], 0, 0
        for day in days(context):
            events = lake.read(system.name, "events", events_schema(system), start=day,
                               end=day + timedelta(days=1))
            values = features.read(events, events["event_timestamp"],
                                   accepted_at=events["accepted_at"])
            parts.append(batch_rows(system, scorer, deployed.version, events, values))
            lake.write(system.name, "batch_predictions", day, parts[-1], BATCH_PREDICTIONS)
            served = served_rows(log.predictions(system.name, *day_bounds(day)))
            found = agreement(parts[-1], served)
            compared, differing = compared + found.compared, differing + found.differing
        log.close()
        scored = pd.concat(parts, ignore_index=True)
        picture = score_histogram(
            scored["score"].tolist(), scorer.threshold, system.label.name,
            title=f"{len(scored)} events, version {deployed.version}",
        )
        return dg.MaterializeResult(
            metadata=rows(
                len(scored),
                positives=int(scored["decision"].sum()),
                model_version=deployed.version,
                compared_with_served=compared,
                scores=plot(picture, "scores"),
                preview=preview(scored.drop(columns=["features", "feature_names"])),
            ),
            check_results=[check_result(differing == 0, "scores_are_those_served",
                                        {"compared": compared, "differing": differing})],
        )

    return batch_predictions
