"""How good the served predictions turned out to be.

Only events as old as the label's maturity are judged. Complaints arrive sooner than silence
speaks, so among all outcomes known so far the youngest events would be those with mistakes,
and every new model would seem to fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.evaluation.calibration import wilson
from ml_assets.evaluation.comparison import Estimate, compare
from ml_assets.evaluation.report import EvaluationReport
from ml_assets.ingest.labels import latest_labels
from ml_assets.monitoring.reports import DailyReports

WINDOWS = (7, 28)
"""Days of events that are judged together: what is new, and what is sure."""

RESAMPLES = 300
"""Bootstrap draws for an interval; enough for two digits, and a day has many intervals."""


@dataclass(frozen=True, kw_only=True)
class LiveQuality:
    """The events of some days, as served by one model version, or by all (None).

    n: events whose outcome is mature; positives: of which the outcome was True.
    error_rate, false_positive_rate, recall: of the decisions that were served; shares.
    roc_auc, log_loss: of the scores. All with 95% intervals, None if undefined.
    """

    days: int
    model_version: int | None
    n: int
    positives: int
    error_rate: Estimate
    false_positive_rate: Estimate
    recall: Estimate
    roc_auc: Estimate
    log_loss: Estimate


@dataclass(frozen=True, kw_only=True)
class PerformanceReport:
    """Live quality as it was known at the end of a day.

    champion: the version in force at the end of the day; None if nothing was deployed.
    live: for each of `WINDOWS` all predictions, then each version's own.
    held_out_log_loss: the champion's, from its evaluation; None if that is not known.
    fallen: the champion's live log loss is significantly above its held-out one: their 95%
        intervals do not overlap (for equal widths, a one-sided test at 0.3%: strict, because
        it is asked every day). Needs `DriftPolicy.min_events` events.
    fallen_since: the first of the days on which that has held without a break.
    """

    day: date
    champion: int | None
    live: tuple[LiveQuality, ...]
    held_out_log_loss: Estimate | None
    fallen: bool
    fallen_since: date | None
    note: str

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


def quality(rows: pd.DataFrame, *, days: int, model_version: int | None) -> LiveQuality:
    """Measure the decisions and scores of `rows`, mature rows of `tables.outcomes_schema`."""
    labels = rows["label"].to_numpy(bool)
    decided = rows["decision"].to_numpy(bool)
    # The threshold enters only metrics that are taken from the served decisions instead.
    scored = compare(labels, rows["score"].to_numpy(np.float64), None, threshold=0.5,
                     resamples=RESAMPLES).candidate
    return LiveQuality(
        days=days, model_version=model_version, n=len(rows), positives=int(labels.sum()),
        error_rate=_share(decided != labels), false_positive_rate=_share(decided[~labels]),
        recall=_share(decided[labels]), roc_auc=scored["roc_auc"], log_loss=scored["log_loss"],
    )


def judge_day(
    day: date,
    outcomes: pd.DataFrame,
    previous: PerformanceReport | None,
    system: System,
    *,
    champion: int | None,
    held_out_log_loss: Estimate | None,
) -> PerformanceReport:
    """The report of `day`; `previous` is that of the day before, None if there is none."""
    live = []
    for days in WINDOWS:
        rows = mature(outcomes, midnight(day) + DAY, maturity=system.truth.maturity, days=days)
        live.append(quality(rows, days=days, model_version=None))
        for version, part in rows.groupby("model_version"):
            live.append(quality(part, days=days, model_version=int(str(version))))
    own = next((each for each in live
                if each.days == WINDOWS[-1] and each.model_version == champion), None)
    if champion is None:
        fallen, note = False, "no model was deployed by the end of the day"
    else:
        fallen, note = has_fallen(own, held_out_log_loss, least=system.drift.min_events)
    since = None
    if fallen:
        lasts = previous is not None and previous.champion == champion and previous.fallen
        since = previous.fallen_since if previous is not None and lasts else day
    return PerformanceReport(day=day, champion=champion, live=tuple(live),
                             held_out_log_loss=held_out_log_loss, fallen=fallen,
                             fallen_since=since, note=note)


def has_fallen(
    live: LiveQuality | None, held_out: Estimate | None, *, least: int
) -> tuple[bool, str]:
    """Whether live log loss is significantly above the held-out one, and why, in words."""
    n = 0 if live is None else live.n
    if live is None or n < least:
        return False, f"{n} mature outcomes of the champion, {least} needed to judge it"
    now = live.log_loss
    if held_out is None or held_out.high is None or now.low is None:
        return False, "the champion's held-out log loss is not known"
    fallen = now.low > held_out.high
    return fallen, (
        f"live log loss {_said(now)} on {n} events is "
        f"{'significantly worse than' if fallen else 'not significantly worse than'} the held-out "
        f"{_said(held_out)}"
    )


def held_out(evaluation: Mapping[str, Any] | None) -> Estimate | None:
    """The log loss of a model on its held-out events, from its stored evaluation report."""
    if evaluation is None:
        return None
    measured = EvaluationReport.from_json(evaluation).metrics.candidate
    return None if measured is None else measured["log_loss"]


def figures(report: PerformanceReport) -> dict[str, float | int | str]:
    """What of the report is followed from day to day; without what is not known."""
    recent, long = (report.quality(window) for window in WINDOWS)
    estimates = {} if recent is None or long is None else {
        "error_rate_7d": recent.error_rate,
        "false_positive_rate_7d": recent.false_positive_rate,
        "recall_7d": recent.recall,
        "log_loss_28d": long.log_loss,
        "roc_auc_28d": long.roc_auc,
    }
    known = {name: each.value for name, each in estimates.items() if each.value is not None}
    return {**known, "champion": report.champion or 0, "note": report.note}


def table(report: PerformanceReport) -> pd.DataFrame:
    """The report as a person reads it: a row for each window and version."""
    names = ("error_rate", "false_positive_rate", "recall", "roc_auc", "log_loss")
    return pd.DataFrame([
        {"events of days": live.days, "version": live.model_version or "all", "n": live.n,
         "positives": live.positives, **{name: _said(getattr(live, name)) for name in names}}
        for live in report.live
    ])


def _share(hits: npt.NDArray[np.bool_]) -> Estimate:
    if not len(hits):
        return Estimate(value=None, low=None, high=None)
    low, high = wilson(hits.sum(), len(hits))
    return Estimate(value=float(hits.mean()), low=float(low), high=float(high))


def _said(estimate: Estimate) -> str:
    if estimate.value is None:
        return "none"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
