"""`outcomes`: predictions meet what became known of them."""

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
    preview,
    rows,
)
from ml_assets.core.settings import Settings
from ml_assets.core.system import System

COLUMNS = [
    ("prediction_id", "string", "the prediction"),
    ("event_id", "string", "its event"),
    ("event_timestamp", "timestamp", "when the event happened, UTC"),
    ("known_at", "timestamp", "when the label became known; its day is the partition"),
    ("label", "bool", "what turned out to be true"),
    ("basis", "string", "feedback or silence"),
    ("model_version", "int", "the version that decided"),
    ("score", "double", "probability of True"),
    ("decision", "bool", "what was decided"),
    ("role", "string", "of the version when it decided: champion or challenger"),
    ("propensity", "double", "how probable it was that this version would decide"),
]


def build(system: System) -> list[Any]:
    return [_outcomes(system)]


def _outcomes(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "outcomes"),
        deps=keys(system, "labels", "predictions"),
        description="One row for each label that became known on the day of an event that was "
        "predicted, beside the prediction. A later row for the same prediction corrects an "
        "earlier one. Source: `labels` of the day, `predictions` of all days up to it.",
        code_version="2",
        metadata={"dagster/column_schema": column_schema(COLUMNS)},
        check_specs=[
            dg.AssetCheckSpec(
                "every_served_event_is_joined", asset=key(system, "outcomes"), blocking=True,
                description="Each label from feedback or silence found its prediction.",
            )
        ],
        **attributes(system, "feedback", "parquet"),
    )
    def outcomes(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.feedback.outcomes import count_by_basis, join_outcomes, quality
        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.tables import LABELS, OUTCOMES, PREDICTIONS

        lake, wanted = Lake(settings.lake), days(context)
        end = wanted[-1] + timedelta(days=1)
        shared = [name for name in OUTCOMES.names if name in PREDICTIONS.names]
        served = lake.read(system.name, "predictions", PREDICTIONS, end=end, columns=shared)
        unjoined = 0
        for day in wanted:
            after = day + timedelta(days=1)
            labels = lake.read(system.name, "labels", LABELS, start=day, end=after)
            joined = join_outcomes(served, labels)
            lake.write(system.name, "outcomes", day, joined, OUTCOMES)
            unjoined += int((labels["basis"] != "archive").sum() - len(joined))
        fresh = lake.read(system.name, "outcomes", OUTCOMES, start=wanted[0], end=end)
        so_far = quality(lake.read(system.name, "outcomes", OUTCOMES, end=end))
        return dg.MaterializeResult(
            metadata=rows(
                len(fresh),
                **count_by_basis(fresh),
                judged_so_far=so_far.judged,
                accuracy_so_far=so_far.accuracy,
                false_positives_so_far=so_far.false_positives,
                false_negatives_so_far=so_far.false_negatives,
                preview=preview(fresh),
            ),
            check_results=[check_result(unjoined == 0, "every_served_event_is_joined",
                                        {"without_prediction": unjoined, "joined": len(fresh)})],
        )

    return outcomes
