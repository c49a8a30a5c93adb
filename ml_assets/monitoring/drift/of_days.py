"""The drift reports of days: reads what was answered, has it judged, keeps the reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import blake2b

from duckdb import DuckDBPyConnection

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.monitoring.drift.columns import LiveRows, filled_from
from ml_assets.monitoring.drift.judge import LiveColumn
from ml_assets.monitoring.drift.live import KeptCounts, served
from ml_assets.monitoring.drift.reference import References
from ml_assets.monitoring.drift.watch import Watch, of_served
from ml_assets.monitoring.drift_report import DriftReport, DriftReports, nothing_deployed
from ml_assets.registry.deployments import Deployment, Deployments, takeovers


@dataclass(frozen=True, kw_only=True)
class DriftOfDays:
    """reports: one for each day, in order; columns: what the last of them judged, by name."""

    reports: tuple[DriftReport, ...]
    columns: Mapping[str, LiveColumn]


def report_drift(
    system: System, settings: Settings, lake: DuckDBPyConnection, days: Sequence[date]
) -> DriftOfDays:
    """Compare the live days up to each of `days` with what the champion learnt from; keep reports.

    lake: a connection that has the system's tables, see `ingest.lake_in_sql`
    """
    reports = DriftReports(settings, system)
    history = Deployments(settings.deployments).history(system.name)
    written, columns = list[DriftReport](), dict[str, LiveColumn]()
    watches = dict[int, tuple[Watch, KeptCounts]]()
    for day in days:
        reign = reign_at(history, midnight(day) + DAY)
        if reign is None:
            columns, report = {}, nothing_deployed(day)
        else:
            if reign.id not in watches:
                watches[reign.id] = _watch(system, settings, lake, reign)
            columns, report = watches[reign.id][0].judge(day, reports.read(day - DAY))
        reports.write(report)
        written.append(report)
    for _, kept in watches.values():
        kept.save()
    return DriftOfDays(reports=tuple(written), columns=columns)


def _watch(
    system: System, settings: Settings, lake: DuckDBPyConnection, reign: Deployment
) -> tuple[Watch, KeptCounts]:
    policy, version = system.drift, reign.version
    own = system.target.selects
    reference = References(settings, system).read(version)
    live_since = system.calendar.go_live
    first = max(live_since, reign.at.date())

    def rows(start: date, end: date, most: int | None = None) -> LiveRows:
        return served(lake, system, midnight(start), midnight(end), names=reference.names,
                      version=version, own=own, most=most)

    if own:
        # What a model itself chooses to show is compared with what it chose at first.
        reference, first = of_served(rows(first, first + policy.window), reference), (
            first + policy.window)
    service = load_manifest(settings).services.get(system.feature_service)
    made_of = repr((reference.training_set, len(reference.dense), first, policy))
    kept = KeptCounts(settings, system, version,
                      made_of=blake2b(made_of.encode(), digest_size=16).hexdigest())
    return Watch(policy, reference, version, rows, first=first, live_since=live_since, kept=kept,
                 filled={} if service is None else filled_from(system, service)), kept


def reign_at(history: Iterable[Deployment], instant: datetime) -> Deployment | None:
    """The record with which the champion just before `instant` took over."""
    earlier = [record for record in history if record.at < instant]
    return takeovers(earlier)[-1] if earlier else None


def champion_at(history: Iterable[Deployment], instant: datetime) -> Deployment | None:
    """The deployment that was in force just before `instant`."""
    earlier = [deployment for deployment in history if deployment.at < instant]
    return max(earlier, key=lambda deployment: deployment.id, default=None)
