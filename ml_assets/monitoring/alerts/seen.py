"""What is wrong with a system, as its latest reports have it, in words for who must act."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.monitoring.alerts.incident import Incident
from ml_assets.monitoring.drift.columns import SCORE
from ml_assets.monitoring.drift.judge import ColumnDrift
from ml_assets.monitoring.drift.together import TOGETHER
from ml_assets.monitoring.drift_report import DriftReport, DriftReports
from ml_assets.monitoring.freshness import data_faults
from ml_assets.monitoring.parity import ParityDay, ParityReports
from ml_assets.monitoring.performance import PerformanceReport, PerformanceReports

SHOWN = 8
"""Lines of what was found, at most."""


def problems_of(system: System, settings: Settings, now: datetime) -> list[Incident]:
    """All that stands at `now`, by cause."""
    drift = DriftReports(settings, system).latest()
    performance = PerformanceReports(settings, system).latest()
    parity = ParityReports(settings, system).latest()
    found = [
        _data(system, settings, now),
        None if parity is None else _parity(system, parity),
        None if drift is None else _drift(system, drift),
        None if performance is None else _quality(system, performance),
    ]
    return [each for each in found if each is not None]


def _data(system: System, settings: Settings, now: datetime) -> Incident | None:
    faults = data_faults(system, settings, now)
    if not faults:
        return None
    first = min(faults, key=lambda each: each.since)
    return Incident(
        system=system.name, cause="data", since=first.since, asset=first.table,
        title=first.says if len(faults) == 1 else f"{first.says}, and {len(faults) - 1} more",
        what=_lines([f"{each.table}: {each.says}; expected {each.expected}" for each in faults]),
        sure="certain: it is counted",
        means="a source is late, has stopped, or sends something else than it did",
        to_do="look at the source and at the latest runs; what is ingested late is caught up with",
    )


def _parity(system: System, report: ParityDay) -> Incident | None:
    if report.holds:
        return None
    wrong = report.unexplained + report.unparsable
    return Incident(
        system=system.name, cause="parity", since=midnight(report.day), asset="parity",
        title=f"{wrong} of {report.checked} served vectors differ from history",
        what=_lines([f"{each.feature} of {each.prediction_id}: served {each.served:g}, history "
                     f"{each.recomputed:g}" for each in report.worst] or [
                         f"{report.unparsable} events that were served no longer parse"]),
        sure="certain: they are compared bit by bit",
        means="the model is asked with features that it was not trained with",
        to_do="`ml-assets explain` one of these predictions; roll back what changed the features",
    )


def _drift(system: System, report: DriftReport) -> Incident | None:
    columns = [each for each in report.by_size() if each.confirmed_on is not None]
    if not columns:
        return None
    alone = [each for each in columns if each.name != TOGETHER]
    names = ", ".join(each.name for each in (alone or columns)[:3])
    more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
    since = min((each.since for each in columns if each.since is not None), default=report.day)
    return Incident(
        system=system.name, cause="drift", since=midnight(since), asset="drift",
        title=f"drift of {names}{more}",
        what=_lines([*map(_column, columns), *_apart(report)]),
        sure=f"at most {system.drift.false_discovery_rate:.0%} of such alarms are false, over all "
             f"columns and days; the surest is {max(columns, key=lambda each: each.log_e).odds}",
        means=_what_drift_means(columns, len(report.columns)),
        to_do="see whether the source has changed on that day; if the world has, retrain "
              f"(version {report.model_version} answers)",
    )


def _column(column: ColumnDrift) -> str:
    since = "" if column.since is None else f", since {column.since}"
    return f"{column.name}: {column.says} (index {column.effect:.2f}{since}, {column.odds})"


def _apart(report: DriftReport) -> list[str]:
    told = report.together
    if told is None or told.auc.low is None or told.auc.low <= 0.5:
        return []
    return [f"live rows are told from those learnt from with an AUC of {told.auc.value:.2f}, by "
            f"{', '.join(told.tells)}"]


def _what_drift_means(columns: Sequence[ColumnDrift], of: int) -> str:
    missing = [each for each in columns if each.missing > each.reference_missing + 0.03]
    if missing:
        return (f"{missing[0].name} is missing more often than it was: a source or a join upstream "
                "has probably broken")
    if [each.name for each in columns] == [SCORE]:
        return "the answers have changed although no input has by itself: what is asked is a mix"
    if len(columns) > of / 3:
        return "most of what is asked has changed at once: other users, another source, a new unit"
    moved = "and so have the answers" if any(each.name == SCORE for each in columns) else (
        "and the answers have not, so far")
    return f"what is asked about has changed, {moved}"


def _quality(system: System, report: PerformanceReport) -> Incident | None:
    if not report.fallen or report.fallen_since is None:
        return None
    return Incident(
        system=system.name, cause="quality", since=midnight(report.fallen_since) + DAY,
        asset="performance", title=f"version {report.champion} is worse than it was held out to be",
        what=(report.note,),
        sure="the 95% intervals of live and held-out losses do not overlap",
        means="what is to be predicted has changed, or the held-out rows were not like these",
        to_do="a candidate is trained by itself if the policy allows; `ml-assets rollout rollback` "
              "puts an earlier version back",
    )


def _lines(lines: Sequence[str]) -> tuple[str, ...]:
    more = len(lines) - SHOWN
    return (*lines[:SHOWN], *([f"and {more} more"] if more > 0 else []))
