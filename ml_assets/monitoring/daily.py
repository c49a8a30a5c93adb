"""What a day's run keeps of each day: its report of drift, of live performance and of parity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.offline import OfflineFeatures
from ml_assets.features.parity import compare
from ml_assets.feedback.parity_guard import guard_parity
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import outcomes_schema, predictions_schema, raw_schema
from ml_assets.monitoring import performance
from ml_assets.monitoring.audited import audited
from ml_assets.monitoring.drift.of_days import champion_at
from ml_assets.monitoring.outlook import look_ahead
from ml_assets.monitoring.parity import Mismatch, ParityDay, ParityReports, parity_day, recompute
from ml_assets.monitoring.performance import WINDOWS, PerformanceReport, PerformanceReports
from ml_assets.monitoring.standards import Standard, first_served, held_out
from ml_assets.registry.deployments import Deployment, Deployments, takeovers
from ml_assets.registry.models import ModelRegistry

COUNTS = ("checked", "unexplained", "degraded", "other_features", "without_position", "unparsable")
"""What a day's parity report counts."""


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
        outlook = look_ahead(system, settings, registry, outcomes, history, end)
        report = performance.judge_day(
            day, outcomes, reports.read(day - DAY), system, champion=version,
            standard=_standard(system, lake, registry, history, end),
            concept=outlook.concept, expected=outlook.expected,
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
    """Compute what was served on each day once more and compare it bit by bit; keep the reports.

    A version that alone was served what history does not give is taken out, see `parity_guard`.
    """
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
        guard_parity(system, settings, served[served["prediction_id"].isin(report.compared)],
                     report.differing)
    return ParityOfDays(reports=tuple(kept),
                        features=len(system.model.numbers) + len(offline.names))
