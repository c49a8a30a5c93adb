"""`outcomes`: predictions meet what became known about them; `rollout`: what follows from it."""

from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from ml_assets.core.assets import (
    Materialized,
    attributes,
    check_result,
    column_schema,
    days,
    key,
    keys,
    page,
    preview,
    records,
    rows,
)
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import midnight

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
    return [_outcomes(system), _rollout(system)]


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
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings],
        duckdb: DuckDBResource,
    ) -> Materialized:
        from ml_assets.feedback.outcomes import count_by_basis, quality, store_outcomes

        stored = store_outcomes(system, settings, days(context))
        with duckdb.get_connection() as lake:
            so_far = quality(lake, system, until=days(context)[-1])
        return dg.MaterializeResult(
            metadata=rows(
                len(stored.rows),
                **count_by_basis(stored.rows),
                judged_so_far=so_far.judged,
                right_so_far=so_far.right,
                **{f"{name}_so_far": rate for name, rate in so_far.rates.items()},
                preview=preview(stored.rows),
            ),
            check_results=[check_result(
                stored.without_prediction == 0, "every_served_event_is_joined",
                {"without_prediction": stored.without_prediction, "joined": len(stored.rows)},
            )],
        )

    return outcomes


def _rollout(system: System) -> dg.AssetsDefinition:
    policy = system.rollout

    @dg.asset(
        key=key(system, "rollout"),
        deps=keys(system, "outcomes", "predictions", "deployment"),
        description="Decides, once a day, on each version that is tried: its losses beside the "
        "champion's on the same matured outcomes, by tests that may be asked every day. Steps: "
        f"shadow, {', '.join(f'{share:g}' for share in policy.shares) or 'no share'} of the "
        f"traffic, champion, watched for {policy.watch.days} days. Each step is a record of "
        f"`{system.name}/deployment`. Source: `outcomes` and the shadow scores in the event log.",
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec(
                "nothing_harmful", asset=key(system, "rollout"),
                description="No version was taken out on evidence of harm, or by a guardrail of "
                "the API.",
            )
        ],
        **attributes(system, "feedback", "numpy", "sqlite"),
    )
    def rollout(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.evaluation.card.publishing import refreshed
        from ml_assets.feedback.judging import decide_day, guarded, told

        day = days(context)[-1]
        decided = decide_day(system, settings, day, by=f"dagster run {context.run.run_id}")
        for each in decided:
            context.log.info(each.judged.reason)
        harmful = [*guarded(system, settings, day),
                   *(each.judged.reason for each in decided if each.judged.harmful)]
        cards = refreshed(system, settings, midnight(day))
        return dg.MaterializeResult(
            metadata=rows(
                sum(each.pairs for each in decided), tried=len(decided),
                **({"taken_out": "; ".join(harmful)} if harmful else {}),
                **({"verdicts": records(told(decided), 50)} if decided else {}),
                **{f"report_on_version_{each.version}": page(
                    settings, system, each.page, f"open the report on version {each.version}")
                   for each in cards},
            ),
            check_results=[check_result(
                not harmful, "nothing_harmful", {"reasons": harmful},
                severity=dg.AssetCheckSeverity.WARN,
            )],
        )

    return rollout
