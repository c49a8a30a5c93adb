"""What a day's run keeps of each day: its report of drift, of live performance and of parity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pandas as pd
from duckdb import DuckDBPyConnection

from ml_assets.core.settings import Settings
from ml_assets.core.storage.sql import name_of
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.parity import compare
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.lake_in_sql import select
from ml_assets.ingest.tables import outcomes_schema, predictions_schema, raw_schema
from ml_assets.monitoring import drift_report, performance
from ml_assets.monitoring.audited import audited
from ml_assets.monitoring.drift import Samples
from ml_assets.monitoring.drift_report import DriftReport, DriftReports, nothing_deployed
from ml_assets.monitoring.parity import Mismatch, ParityDay, ParityReports, parity_day, recompute
from ml_assets.monitoring.performance import WINDOWS, PerformanceReport, PerformanceReports
from ml_assets.monitoring.samples import (
    EVENT_FOUND,
    References,
    champion_at,
    filled_from,
    samples,
)
from ml_assets.monitoring.standards import Standard, first_served, held_out
from ml_assets.registry.deployments import Deployment, Deployments, takeovers
from ml_assets.registry.models import ModelRegistry

SERVED = "features, feature_names, model_version, score, event_timestamp"
COUNTS = ("checked", "unexplained", "degraded", "other_features", "without_position", "unparsable")
"""What a day's parity report counts."""


@dataclass(frozen=True, kw_only=True)
class DriftOfDays:
    """reports: one for each day, in order; samples: what the last of them compared, by column."""

    reports: tuple[DriftReport, ...]
    samples: Mapping[str, Samples]


def report_drift(
    system: System, settings: Settings, lake: DuckDBPyConnection, days: Sequence[date]
) -> DriftOfDays:
    """Compare the window that ends with each day with what the champion learnt from; keep reports.

    lake: a connection that has the system's tables, see `ingest.lake_in_sql`
    """
    reports, references = DriftReports(settings, system), References(settings, system)
    history = Deployments(settings.deployments).history(system.name)
    kept, columns = [], dict[str, Samples]()
    service = load_manifest(settings).services.get(system.feature_service)
    filled = {} if service is None else filled_from(system, service)
    for day in days:
        champion = champion_at(history, midnight(day) + DAY)
        if champion is None:
            columns, report = {}, nothing_deployed(day)
        else:
            reference, end = references.read(champion.version), midnight(day) + DAY
            served = served_in_window(lake, system, end)
            columns, count = samples(reference, served, champion.version, system.drift, filled)
            report = drift_report.judge_day(
                day, columns, reports.read(day - DAY), system.drift,
                model_version=champion.version, reference=reference.training_set,
                reference_rows=len(reference.dense), rows=count,
                whole=end - system.drift.window >= system.calendar.live_from,
            )
        reports.write(report)
        kept.append(report)
    return DriftOfDays(reports=tuple(kept), samples=columns)


def served_in_window(lake: DuckDBPyConnection, system: System, end: datetime) -> pd.DataFrame:
    """The columns for `samples` of what was accepted in the drift window before `end`."""
    start = end - system.drift.window
    name, events = name_of(system.name), name_of(system.asked.table)
    categories = [name_of(each) for each in system.model.categories]
    texts = [f"cast({each} as varchar) as {each}" for each in categories]  # ids are numbers
    # An archived event may have the id of one that was posted, but was not accepted when it was.
    of_events = f"""
        left join (select event_id, accepted_at, {', '.join(texts)}, true as {EVENT_FOUND}
                   from {name}.{events} where day >= $1 and day < $2)
        using (event_id, accepted_at)
    """ if categories else ""
    found = [EVENT_FOUND, *categories] if categories else []
    return select(
        lake,
        f"select {', '.join([SERVED, *found])} "
        f"from {name}.predictions {of_events} where day >= $1 and day < $2 and accepted_at >= $3",
        [start.date(), end.date(), start],
    )


def report_performance(
    system: System, settings: Settings, days: Sequence[date]
) -> list[PerformanceReport]:
    """Judge what was served by the outcomes known at the end of each day; keep the reports."""
    reports, registry = PerformanceReports(settings, system), ModelRegistry(settings)
    history = Deployments(settings.deployments).history(system.name)
    lake, reach = Lake(settings.lake), system.truth.maturity + timedelta(days=max(WINDOWS))
    kept = []
    for day in days:
        end = midnight(day) + DAY
        champion = champion_at(history, end)
        version = None if champion is None else champion.version
        outcomes = lake.read(system.name, "outcomes", outcomes_schema(system),
                             start=(end - reach).date(), end=day + DAY)
        report = performance.judge_day(
            day, outcomes, reports.read(day - DAY), system, champion=version,
            standard=_standard(system, lake, registry, history, end),
        )
        report = replace(report, audited=audited(lake, system, end))
        reports.write(report)
        kept.append(report)
    return kept


def _standard(
    system: System, lake: Lake, registry: ModelRegistry, history: Sequence[Deployment],
    end: datetime,
) -> Standard:
    """What the live loss of the champion at `end` is compared with."""
    reigns = takeovers([record for record in history if record.at < end])
    if not reigns:
        return Standard()
    version, since = reigns[-1].version, reigns[-1].at
    if not system.target.selects:
        return held_out(system.target, registry.evaluation(system.name, version))
    first = lake.read(
        system.name, "outcomes", outcomes_schema(system), start=since.date(), end=min(
            end, since + timedelta(days=WINDOWS[0]) + system.truth.maturity).date() + DAY)
    return first_served(system, first, end, champion=version, since=since)


@dataclass(frozen=True, kw_only=True)
class ParityOfDays:
    """reports: one for each day, in order; features: how many numbers a vector has."""

    reports: tuple[ParityDay, ...]
    features: int

    @property
    def holds(self) -> bool:
        return all(report.holds for report in self.reports)

    @property
    def counts(self) -> dict[str, int]:
        """Of all days, see `ParityDay`."""
        return {name: sum(getattr(report, name) for report in self.reports) for name in COUNTS}

    @property
    def worst(self) -> list[Mismatch]:
        return [mismatch for report in self.reports for mismatch in report.worst]


def report_parity(system: System, settings: Settings, days: Sequence[date]) -> ParityOfDays:
    """Compute what was served on each day once more and compare it bit by bit; keep the reports."""
    lake, reports = Lake(settings.lake), ParityReports(settings, system)
    offline = OfflineFeatures(settings, system)
    kept = []
    for day in days:
        served = lake.read(
            system.name, "predictions", predictions_schema(system), start=day, end=day + DAY)
        raw = lake.read(system.name, "raw", raw_schema(system), start=day, end=day + DAY)
        again = recompute(system, served, raw, offline)
        report = compare(served, again.vectors, feature_names=again.names)
        kept.append(parity_day(day, report, len(again.unparsable)))
        reports.write(kept[-1])
    return ParityOfDays(reports=tuple(kept),
                        features=len(system.model.numbers) + len(offline.names))
