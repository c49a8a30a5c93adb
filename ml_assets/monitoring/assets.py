"""`drift`, `performance` and `parity`: what each day's predictions say about the loop."""

from typing import Any

import dagster as dg

from ml_assets.core.assets import (
    Materialized,
    attributes,
    check_result,
    days,
    key,
    keys,
    plot,
    preview,
    rows,
)
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight

PLOTTED_DAYS = 60
"""How far back the plot of live quality goes."""


def build(system: System) -> list[Any]:
    return [_drift(system), _performance(system), _parity(system)]


def _drift(system: System) -> dg.AssetsDefinition:
    policy = system.drift

    @dg.asset(
        key=key(system, "drift"),
        deps=keys(system, "predictions", "deployment"),
        description="One report for each day: every model input and the model's score, over the "
        f"predictions of the last {policy.window.days} days, beside the champion's training set. "
        f"A column drifts where its stability index reaches {policy.effect:g} and the change is "
        f"significant (false-discovery rate {policy.false_discovery_rate:g}). Counters over long "
        "windows grow for weeks after going live: that is drift, and reported as such. Source: "
        f"`{system.name}/predictions` and the training set named by the deployed model.",
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec(
                "no_confirmed_drift", asset=key(system, "drift"),
                description=f"No column has drifted on {policy.persistence} days in a row against "
                "the same training set.",
            )
        ],
        **attributes(system, "monitoring", "numpy", "json"),
    )
    def drift(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        import pandas as pd

        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.tables import PREDICTIONS
        from ml_assets.monitoring import plots
        from ml_assets.monitoring.drift_report import DriftReports, judge_day, nothing_deployed
        from ml_assets.monitoring.samples import (
            SCORE,
            References,
            champion_at,
            samples,
            window_start,
        )
        from ml_assets.registry.deployments import Deployments

        lake, reports = Lake(settings.lake), DriftReports(settings, system)
        references = References(settings, system)
        history = Deployments(settings.deployments).history(system.name)
        png = b""
        for day in days(context):
            end = midnight(day) + DAY
            champion = champion_at(history, end)
            if champion is None:
                report = nothing_deployed(day)
                reports.write(report)
                continue
            reference = references.read(champion.version)
            served = lake.read(
                system.name, "predictions", PREDICTIONS,
                start=window_start(day, policy), end=end.date(),
                columns=["accepted_at", "features", "feature_names", "model_version", "score"],
            )
            served = served[served["accepted_at"] >= end - policy.window]
            columns, count = samples(reference, served, champion.version, policy)
            report = judge_day(
                day, columns, reports.read((midnight(day) - DAY).date()), policy,
                model_version=champion.version, reference=reference.training_set,
                reference_rows=len(reference.dense), rows=count,
            )
            reports.write(report)
            context.log.info(f"{day}: {report.note}")
            if report.judged and day == days(context)[-1]:
                png = plots.drift(report, columns, policy.effect)
        worst = report.by_size()
        picture = {"plot": plot(settings, png, f"drift on {report.day}")} if png else {}
        metadata = rows(
            report.rows,
            **picture,
            drifted=len(report.drifted),
            confirmed=len(report.confirmed),
            largest_index=worst[0].psi if worst else 0.0,
            score_index=next((c.psi for c in worst if c.name == SCORE), 0.0),
            champion=report.model_version or 0,
            note=report.note,
            columns=preview(pd.DataFrame(worst).round(4), 50) if worst else "none",
        )
        return dg.MaterializeResult(
            metadata=metadata,
            check_results=[
                check_result(
                    not report.confirmed, "no_confirmed_drift",
                    {"confirmed": list(report.confirmed), "note": report.note},
                    severity=dg.AssetCheckSeverity.WARN,
                )
            ],
        )

    return drift


def _performance(system: System) -> dg.AssetsDefinition:
    maturity = system.label.maturity

    @dg.asset(
        key=key(system, "performance"),
        deps=keys(system, "outcomes", "deployment"),
        description="One report for each day: error rate, false positive rate, recall, area "
        "under the ROC curve and log loss of what was served, by model version, with 95% "
        f"intervals, over 7 and 28 days of events that were {maturity.days} days old, so that "
        f"every outcome had its time. Source: `{system.name}/outcomes`.",
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec(
                "live_quality_holds", asset=key(system, "performance"),
                description="The champion's live log loss is not significantly above its "
                "held-out one: their 95% intervals overlap.",
            )
        ],
        **attributes(system, "monitoring", "numpy", "json"),
    )
    def performance(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Materialized:
        from datetime import timedelta

        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.tables import OUTCOMES
        from ml_assets.monitoring import plots
        from ml_assets.monitoring.performance import (
            WINDOWS,
            PerformanceReports,
            held_out,
            judge_day,
            table,
        )
        from ml_assets.monitoring.samples import champion_at
        from ml_assets.registry.deployments import Deployments
        from ml_assets.registry.models import ModelRegistry

        reports = PerformanceReports(settings, system)
        history = Deployments(settings.deployments).history(system.name)
        registry = ModelRegistry(settings)
        for day in days(context):
            end = midnight(day) + DAY
            champion = champion_at(history, end)
            version = None if champion is None else champion.version
            outcomes = Lake(settings.lake).read(
                system.name, "outcomes", OUTCOMES, end=end.date(),
                start=(end - maturity - timedelta(days=max(WINDOWS))).date(),
            )
            report = judge_day(
                day, outcomes, reports.read((midnight(day) - DAY).date()), system,
                champion=version,
                held_out_log_loss=None if version is None
                else held_out(registry.evaluation(system.name, version)),
            )
            reports.write(report)
            context.log.info(f"{day}: {report.note}")
        shown = list(reports.between(report.day - timedelta(days=PLOTTED_DAYS), end.date()))
        recent, long = (report.quality(window) for window in WINDOWS)
        numbers = {
            "error_rate_7d": recent and recent.error_rate.value,
            "false_positive_rate_7d": recent and recent.false_positive_rate.value,
            "recall_7d": recent and recent.recall.value,
            "log_loss_28d": long and long.log_loss.value,
            "roc_auc_28d": long and long.roc_auc.value,
        }
        return dg.MaterializeResult(
            metadata=rows(
                long.n if long else 0,
                **{name: value for name, value in numbers.items() if value is not None},
                champion=report.champion or 0,
                note=report.note,
                plot=plot(settings, plots.performance(shown), f"live quality up to {report.day}"),
                quality=preview(table(report), 20),
            ),
            check_results=[
                check_result(not report.fallen, "live_quality_holds", {"note": report.note},
                             severity=dg.AssetCheckSeverity.WARN)
            ],
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
        import pandas as pd

        from ml_assets.features.offline import OfflineFeatures
        from ml_assets.features.parity import compare
        from ml_assets.ingest.lake import Lake
        from ml_assets.ingest.tables import PREDICTIONS, RAW
        from ml_assets.monitoring.parity import ParityReports, parity_day, recompute

        lake, wanted = Lake(settings.lake), days(context)
        offline = OfflineFeatures(settings, system)
        reports, kept = ParityReports(settings, system), []
        for day in wanted:
            end = (midnight(day) + DAY).date()
            served = lake.read(system.name, "predictions", PREDICTIONS, start=day, end=end)
            raw = lake.read(system.name, "raw", RAW, start=day, end=end)
            again = recompute(system, served, raw, offline)
            report = compare(served, again.vectors, feature_names=again.names)
            kept.append(parity_day(day, report, len(again.unparsable)))
            reports.write(kept[-1])
        worst = [mismatch for each in kept for mismatch in each.worst]
        counts = {
            name: sum(getattr(each, name) for each in kept)
            for name in ("unexplained", "degraded", "other_features", "without_position",
                         "unparsable")
        }
        checked = sum(each.checked for each in kept)
        return dg.MaterializeResult(
            metadata=rows(
                checked, features=len(offline.names) + len(system.model.numbers), **counts,
                worst=preview(pd.DataFrame(worst), 20) if worst else "all equal, bit by bit",
            ),
            check_results=[
                check_result(
                    all(each.holds for each in kept), "parity_holds",
                    {"checked": checked, **counts,
                     "worst": preview(pd.DataFrame(worst), 10) if worst else "none"},
                )
            ],
        )

    return parity
