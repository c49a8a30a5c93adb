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
    table,
)
from ml_assets.core.settings import Settings
from ml_assets.core.slates import SlatePolicy
from ml_assets.core.system import System

SCORED = [
    ("event_id", "string", "id of the event"),
    ("event_timestamp", "timestamp", "when it happened, UTC"),
    ("features", "list<float32>", "what the model saw beside the texts"),
    ("feature_names", "list<string>", "the names of `features`, in order"),
    ("model_version", "int", "the version that scored it"),
    ("score", "double", "the number that stands for the answer"),
    ("decision", "label", "what was answered, in the type of labels"),
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
    ("audit", "double", "how probable it was that its truth is asked for; null: it is not"),
]


CANDIDATES = [
    ("user", "string", "whom the list is for; empty for all who have none of their own"),
    ("position", "int", "the place in the list, from 1"),
    ("item", "key", "the item, in the type of its column"),
    ("score", "double", "by the version that made the list; null if no model was deployed"),
    ("model_version", "int", "that version"),
    ("basis", "string", "`nightly`, or `newcomers`"),
]


def build(system: System) -> list[Any]:
    policy = system.target.slates
    candidates = [] if policy is None else [_candidates(system, policy)]
    return [_predictions(system), _batch_predictions(system), *candidates]


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
        from ml_assets.serving.batch.daily import plot_served, store_predictions

        served = store_predictions(system, settings, days(context))
        degraded = int(served["degraded"].sum())
        return dg.MaterializeResult(
            metadata=rows(
                len(served),
                degraded=degraded,
                model_versions=sorted(int(each) for each in served["model_version"].unique()),
                scores=plot(settings, system, plot_served(system, served), "scores"),
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
                "features, it gave this score, within 1e-6.",
            )
        ],
        **attributes(system, "serving", "parquet", "numpy"),
    )
    def batch_predictions(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.serving.batch.daily import score_days
        from ml_assets.serving.composition import Backends

        load = Backends.of(settings).model
        scored = score_days(system, settings, days(context), load=load)
        summary = scored.summary
        return dg.MaterializeResult(
            metadata=rows(
                summary.rows,
                model_version=scored.version,
                compared_with_served=summary.compared,
                scores=plot(settings, system, scored.plot, "scores"),
                preview=preview(summary.preview),
            ),
            check_results=[check_result(summary.differing == 0, "scores_are_those_served",
                                        {"compared": summary.compared,
                                         "differing": summary.differing})],
        )

    return batch_predictions


def _candidates(system: System, policy: SlatePolicy) -> dg.AssetsDefinition:
    told = dict.fromkeys(kind.stream for kind in policy.taken if kind.stream is not None)

    @dg.asset(
        key=key(system, "candidates"),
        deps=keys(system, "deployment", "events", "labels", *told, system.feature_service),
        description="What slates are made of on the day after: one row for each item of each list. "
        "For every user who was active lately the best of the popular items, and of his own if the "
        "system says so, by the model in force, as of the end of the day; and the popular ones for "
        "everybody else. Source: `events`, `labels`, the streams that say what was taken, and "
        "those that the features are computed from. The API reads the latest "
        "day's lists from a file, which this replaces.",
        code_version="1",
        metadata={"dagster/column_schema": column_schema(CANDIDATES)},
        check_specs=[
            dg.AssetCheckSpec(
                "there_is_a_list", asset=key(system, "candidates"),
                description="Newcomers have a list: something was taken lately (warning).",
            )
        ],
        **attributes(system, "serving", "parquet", "sqlite"),
    )
    def candidates(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.serving.batch.candidates.plots import coverage_plot
        from ml_assets.serving.batch.candidates.storing import store_candidates
        from ml_assets.serving.composition import Backends

        made = store_candidates(system, policy, settings, days(context),
                                load=Backends.of(settings).model)
        return dg.MaterializeResult(
            metadata=rows(
                made.rows, lists=made.lists, items=len(made.items),
                model_version=made.version or "none", coverage=made.coverage,
                lists_offer=plot(settings, system, coverage_plot(made, policy.page), "coverage"),
                sample=table([
                    {"user": each.user or "(newcomers)",
                     "items": ", ".join(map(str, each.items[:policy.page]))}
                    for each in made.sample
                ]),
            ),
            check_results=[check_result(made.rows > 0, "there_is_a_list",
                                        {"rows": made.rows, "lists": made.lists},
                                        severity=dg.AssetCheckSeverity.WARN)],
        )

    return candidates
