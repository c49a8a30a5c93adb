"""How good the served predictions turned out to be.

Only events as old as the label's maturity are judged. Complaints arrive sooner than silence
speaks, so among all outcomes known so far the youngest events would be those with mistakes,
and every new model would seem to fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.target import Target
from ml_assets.core.time import DAY, midnight
from ml_assets.evaluation.comparison import Estimate, compare, share
from ml_assets.evaluation.subjects import subjects_of
from ml_assets.ingest.labels import latest_labels
from ml_assets.monitoring.audited import Audited, audit_figures
from ml_assets.monitoring.concept import ConceptDrift
from ml_assets.monitoring.concept import said as concept_said
from ml_assets.monitoring.estimated import ExpectedLoss
from ml_assets.monitoring.reports import DailyReports
from ml_assets.targets.stored import kept_outputs

if TYPE_CHECKING:
    from ml_assets.monitoring.standards import Standard

WINDOWS = (7, 28)
"""Days of events that are judged together: what is new, and what is sure."""

NOTHING = Estimate(value=None, low=None, high=None)


@dataclass(frozen=True, kw_only=True)
class LiveQuality:
    """The events of some days, as served by one model version, or by all (None).

    n: events whose outcome is mature; labels: what these were, in words.
    error_rate: the share of the served decisions that are not right; rates: what else the target
        tells of decisions. costs: what the decisions came to, all together.
    loss: the mean loss of a row, in the target's currency; metrics: of the outputs, those that
        the target shows. All with 95% intervals, None if undefined.
    """

    days: int
    model_version: int | None
    n: int
    error_rate: Estimate
    labels: str = ""
    loss: Estimate = NOTHING
    rates: dict[str, Estimate] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PerformanceReport:
    """Live quality as it was known at the end of a day.

    champion: the version in force at the end of the day; None if nothing was deployed.
    live: for each of `WINDOWS` all predictions, then each version's own.
    held_out_loss: what the champion's live loss is compared with, its `Standard`; None if that is
        not known.
    fallen: the champion's live loss is significantly above this one: their 95% intervals do not
        overlap (for equal widths, a one-sided test at 0.3%: strict, because it is asked every
        day), or the losses of its reign say so together (`concept`). Needs
        `DriftPolicy.min_events` events.
    fallen_since: the first of the days on which that has held without a break.
    audited: what audits say, if the system declares some.
    concept: what the losses of its reign say together; None if held-out rows are no standard.
    expected: what the latest answers will have lost, as it looks before their labels.
    """

    day: date
    champion: int | None
    live: tuple[LiveQuality, ...]
    fallen: bool
    fallen_since: date | None
    note: str
    held_out_loss: Estimate | None = None
    audited: Audited | None = None
    concept: ConceptDrift | None = None
    expected: ExpectedLoss | None = None

    @property
    def fallen_at(self) -> datetime | None:
        """Since when live quality has been known to be down: the end of that day."""
        return midnight(self.fallen_since) + DAY if self.fallen_since else None

    @property
    def judged(self) -> int:
        """How many events the longest window has."""
        live = self.quality(WINDOWS[-1])
        return live.n if live else 0

    def quality(self, days: int, model_version: int | None = None) -> LiveQuality | None:
        """Of one version, or of all that was served; None if the window has none of it."""
        for live in self.live:
            if (live.days, live.model_version) == (days, model_version):
                return live
        return None


class PerformanceReports(DailyReports[PerformanceReport]):
    """A system's performance reports: `<lake>/<system>/performance/<day>.json`."""

    def __init__(self, settings: Settings, system: System) -> None:
        super().__init__(settings.lake / system.name / "performance", PerformanceReport)


def mature(
    outcomes: pd.DataFrame, end: datetime, *, maturity: timedelta, days: int
) -> pd.DataFrame:
    """One row, the latest known before `end`, for each event of the `days` days that were
    mature at `end`: those with `event_timestamp` in `[end - maturity - days, end - maturity)`.

    outcomes: rows of `tables.outcomes_schema` from the day `end - maturity - days` on.
    """
    stop = end - maturity
    known = latest_labels(outcomes, end)
    inside = (known["event_timestamp"] >= stop - timedelta(days=days)) & (
        known["event_timestamp"] < stop)
    return known[inside].reset_index(drop=True)


def quality(
    target: Target, rows: pd.DataFrame, *, days: int, model_version: int | None,
    subjects: Subjects | None = None,
) -> LiveQuality:
    """Measure the decisions and outputs of `rows`, mature rows of `tables.outcomes_schema`.

    subjects: of the rows, if these are a part of others
    """
    subjects = subjects_of(target, rows) if subjects is None else subjects
    labels, decisions = (target.codes(rows[name].tolist()) for name in ("label", "decision"))
    lists = rows["outputs"].tolist() if "outputs" in rows.columns else [None] * len(rows)
    outputs = kept_outputs(target, rows["score"].tolist(), lists)
    measured = compare(target, labels, outputs, None, subjects=subjects).candidate
    costs = {name: float(each.sum())
             for name, each in target.costs(labels, decisions, outputs).items()}
    wrong = int(np.count_nonzero(~target.right(labels, decisions)))
    rates = target.rates(labels, decisions)
    return LiveQuality(
        days=days, model_version=model_version, n=len(rows), labels=target.described(labels),
        error_rate=share(wrong, len(rows)), loss=measured[target.currency],
        rates={name: share(*counts) for name, counts in rates.items()}, costs=costs,
        # A threshold may have moved since: of decisions, those that were served count.
        metrics={name: measured[name] for name in target.shown
                 if name not in rates and name not in costs and name != target.currency},
    )


def judge_day(
    day: date,
    outcomes: pd.DataFrame,
    previous: PerformanceReport | None,
    system: System,
    *,
    champion: int | None,
    standard: Standard,
    concept: ConceptDrift | None = None,
    expected: ExpectedLoss | None = None,
) -> PerformanceReport:
    """The report of `day`; `previous` is that of the day before, None if there is none."""
    live, target = [], system.target
    for days in WINDOWS:
        rows = mature(outcomes, midnight(day) + DAY, maturity=system.truth.maturity, days=days)
        subjects = subjects_of(target, rows)
        whole = quality(target, rows, days=days, model_version=None, subjects=subjects)
        answered_by = rows["model_version"].to_numpy()
        live += [whole, *(
            # The same rows have the same quality; intervals are what a day's report costs.
            replace(whole, model_version=int(version)) if its.all()
            else quality(target, rows[its], days=days, model_version=int(version),
                         subjects=subjects.of_rows(its))
            for version in np.unique(answered_by) for its in [answered_by == version]
        )]
    own = next((each for each in live
                if each.days == standard.days and each.model_version == champion), None)
    if champion is None:
        fallen, note = False, "no model was deployed by the end of the day"
    else:
        fallen, note = standard.has_fallen(own, loss=target.currency,
                                           least=system.drift.min_events)
        if concept is not None and concept.rows >= system.drift.min_events:
            fallen = fallen or concept.sure
            note = f"{note}; {concept_said(concept, target.currency.replace('_', ' '))}"
    since = None
    if fallen:
        lasts = previous is not None and previous.champion == champion and previous.fallen
        since = previous.fallen_since if previous is not None and lasts else day
    return PerformanceReport(day=day, champion=champion, live=tuple(live),
                             held_out_loss=standard.loss, fallen=fallen, fallen_since=since,
                             note=note, concept=concept, expected=expected)


def figures(report: PerformanceReport, target: Target) -> dict[str, float | int | str]:
    """What of the report is followed from day to day; without what is not known."""
    recent, long = (report.quality(window) for window in WINDOWS)
    short_term = {} if recent is None else {"error_rate": recent.error_rate, **recent.rates}
    long_term = {} if long is None else {target.currency: long.loss, **long.metrics}
    known = {
        f"{name}_{days}d".replace("%", "pc").replace(".", "_"): each.value
        for days, estimates in zip(WINDOWS, (short_term, long_term), strict=True)
        for name, each in estimates.items() if each.value is not None
    }
    spent = {} if recent is None else {
        f"{name}_{WINDOWS[0]}d": each for name, each in recent.costs.items()}
    expected = report.expected
    if expected is not None and expected.loss.value is not None:
        known[f"expected_{target.currency}_{expected.days}d"] = expected.loss.value
    return {**known, **spent, **audit_figures(report.audited),
            "champion": report.champion or 0, "note": report.note}


def table(report: PerformanceReport, target: Target) -> pd.DataFrame:
    """The report as a person reads it: a row for each window and version."""
    return pd.DataFrame([
        {"events of days": live.days, "version": live.model_version or "all",
         "labels": live.labels,
         **{name: said(each) for name, each in (
             ("error_rate", live.error_rate), *live.rates.items(), (target.currency, live.loss),
             *live.metrics.items())},
         **{name: f"{each:,.0f}" for name, each in live.costs.items()}}
        for live in report.live
    ])


def said(estimate: Estimate) -> str:
    """A value with its interval, as a person reads it."""
    if estimate.value is None:
        return "none"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    if max(abs(estimate.value), abs(estimate.high or 0)) >= 1000:
        return f"{estimate.value:,.0f} [{estimate.low:,.0f}, {estimate.high:,.0f}]"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
