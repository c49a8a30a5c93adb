"""`drift`, `performance` and `parity`: what each day's predictions say about the loop."""

from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from ml_assets.core.assets import (
    Materialized,
    attributes,
    check_result,
    days,
    key,
    keys,
    plot,
    preview,
    records,
    rows,
)
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY

PLOTTED_DAYS = 60
"""How far back the plot of live quality goes."""


def build(system: System) -> list[Any]:
    return [_drift(system), _performance(system), _parity(system)]


def _drift(system: System) -> dg.AssetsDefinition:
    policy = system.drift

    @dg.asset(
        key=key(system, "drift"),
        deps=keys(system, "predictions", "deployment",
                  *([system.asked.table] if system.model.categories else [])),
        description="One report for each day: every number and category that the model reads, its "
        "score, and all numbers together, over the days since the champion took over, beside its "
        f"training set. A column drifts if it differs by a stability index of {policy.effect:g}, "
        f"or {policy.missing_effect:.0%} more or fewer missing values, and if that is no chance: "
        "over all columns and days false discoveries are at most "
        f"{policy.false_discovery_rate:.0%}. What grows by construction, such as a counter or a "
        "date, is compared with the days before. Source: "
        f"`{system.name}/predictions` and the training set named by the deployed model.",
        code_version="2",
        check_specs=[
            dg.AssetCheckSpec(
                "no_confirmed_drift", asset=key(system, "drift"),
                description=f"No column has drifted for {policy.persistence} days against the same "
                "training set.",
            )
        ],
        **attributes(system, "monitoring", "numpy", "json"),
    )
    def drift(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings],
        duckdb: DuckDBResource,
    ) -> Materialized:
        from ml_assets.monitoring import plots
        from ml_assets.monitoring.drift.of_days import report_drift
        from ml_assets.monitoring.drift_report import figures

        with duckdb.get_connection() as lake:
            drifts = report_drift(system, settings, lake, days(context))
        for each in drifts.reports:
            context.log.info(f"{each.day}: {each.note}")
        last = drifts.reports[-1]
        pictures = {"plot": plot(
            settings, system, plots.drift(last, drifts.columns, policy.effect),
            f"drift on {last.day}")} if last.judged else {}
        return dg.MaterializeResult(
            metadata=rows(last.rows, **pictures, **figures(last),
                          columns=records(last.by_size(), 50)),
            check_results=[check_result(
                not last.confirmed, "no_confirmed_drift",
                {"confirmed": list(last.confirmed), "note": last.note},
                severity=dg.AssetCheckSeverity.WARN,
            )],
        )

    return drift


def _performance(system: System) -> dg.AssetsDefinition:
    maturity = system.truth.maturity
    standard = "that of its own first days" if system.target.selects else "its held-out one"

    @dg.asset(
        key=key(system, "performance"),
        deps=keys(system, "outcomes", "deployment"),
        description="One report for each day: how many decisions were wrong, and "
        f"{', '.join(system.target.shown)} of what was served, by model version, with 95% "
        f"intervals, over 7 and 28 days of events that were {maturity.days} days old, so that "
        f"every outcome had its time. Source: `{system.name}/outcomes`.",
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec(
                "live_quality_holds", asset=key(system, "performance"),
                description=f"The champion's live {system.target.currency} is not significantly "
                f"above {standard}: their 95% intervals overlap.",
            )
        ],
        **attributes(system, "monitoring", "numpy", "json"),
    )
    def performance(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.monitoring import plots
        from ml_assets.monitoring.daily import report_performance
        from ml_assets.monitoring.performance import PerformanceReports, figures, table

        reports = report_performance(system, settings, days(context))
        for each in reports:
            context.log.info(f"{each.day}: {each.note}")
        last = reports[-1]
        shown = list(PerformanceReports(settings, system).between(
            last.day - timedelta(days=PLOTTED_DAYS), last.day + DAY))
        return dg.MaterializeResult(
            metadata=rows(
                last.judged,
                **figures(last, system.target),
                plot=plot(settings, system, plots.performance(
                    shown, system.target.currency, system.truth.maturity.days),
                          f"live quality up to {last.day}"),
                quality=preview(table(last, system.target), 20),
            ),
            check_results=[check_result(
                not last.fallen, "live_quality_holds", {"note": last.note},
                severity=dg.AssetCheckSeverity.WARN,
            )],
        )

    return performance


def _parity(system: System) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(system, "parity"),
        deps=keys(system, "predictions", "raw", "events", "labels", system.feature_service),
        description="One report for each day: every feature vector that was served, computed "
        "again from the request and from the stored streams, and compared bit by bit. "
        f"Source: `{system.name}/predictions`, `{system.name}/raw`, the offline store.",
        code_version="3",
        check_specs=[
            dg.AssetCheckSpec(
                "parity_holds", asset=key(system, "parity"), blocking=True,
                description="No prediction saw a feature that history does not give at the "
                "position of the log that the prediction read, bit by bit.",
            )
        ],
        **attributes(system, "monitoring", "feast", "json"),
    )
    def parity(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from ml_assets.monitoring.daily import report_parity

        parities = report_parity(system, settings, days(context))
        counts, worst = parities.counts, parities.worst
        return dg.MaterializeResult(
            metadata=rows(
                counts["checked"], features=parities.features, **counts,
                worst=records(worst, 20) if worst else "all equal, bit by bit",
            ),
            check_results=[check_result(
                parities.holds, "parity_holds", {**counts, "worst": records(worst, 10)},
            )],
        )

    return parity
