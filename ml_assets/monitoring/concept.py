"""Concept drift: does the champion lose more on live rows than it did on its held-out ones?

What is asked may be as it was and yet come out differently. Row losses show it, whatever the
target: each day of events adds its matured losses, and an e-process against "the mean loss is at
most the held-out one" may be read every day (`drift.evidence` says why, and why it is a mean over
the days on which the change may have begun). It takes the held-out mean for as uncertain as it is,
and the days for as different from each other as the held-out ones were. Losses are cut at the bound
of the evaluation, so that no single row decides; the rest is asymptotic in the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from math import log, sqrt
from statistics import NormalDist

import numpy as np

from ml_assets.core.target import Floats, Whole
from ml_assets.core.time import DAY
from ml_assets.monitoring.drift.evidence import log_e
from ml_assets.monitoring.drift.judge import LIKELY

SHIFTS = (0.1, 0.35)
"""Of the mean loss, in standard deviations of a row's."""
LEVEL = 0.05
"""The chance that a champion's reign has any alarm although its losses are as they were."""
SMALLEST = 0.05
"""The smallest lead that matters, in standard deviations of a held-out row's loss."""
NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutLosses:
    """What the champion lost on rows that it was not fitted to: (h,) each, and the days they are
    of, as numbers; `bound` is what a loss is cut at."""

    losses_N: Floats
    days_N: Whole
    bound: float

    @property
    def mean(self) -> float:
        return float(self._cut.mean())

    @property
    def _cut(self) -> Floats:
        return np.minimum(self.losses_N, self.bound)

    @property
    def error(self) -> float:
        """The variance of its mean: between its days if there are ten, and of its rows at least."""
        rows = float(self._cut.var(ddof=1)) / len(self.losses_N)
        return max(rows, self.between_days / max(1, len(np.unique(self.days_N))))

    @property
    def between_days(self) -> float:
        """The variance of a day's mean that its rows do not explain."""
        found, day_N = np.unique(self.days_N, return_inverse=True)
        if len(found) < 10:
            return 0.0
        rows_D = np.bincount(day_N).astype(np.float64)
        mean_D = np.bincount(day_N, self._cut) / rows_D
        excess = float(rows_D @ (mean_D - self.mean) ** 2) / (len(found) - 1)
        return max(0.0, (excess - float(self._cut.var(ddof=1))) / float(rows_D.mean()))


@dataclass(frozen=True, kw_only=True)
class ConceptDrift:
    """lead: by how much a live row loses more than a held-out one, on average since the change most
    likely began, `since`; None as long as that is not likely. log_e: ln of the e-value; rows:
    matured outcomes that it rests on; sure: it reaches 1 / `LEVEL`, and the lead matters."""

    lead: float
    log_e: float
    rows: int
    since: date | None
    sure: bool


def concept_drift(
    held_out: HeldOutLosses, losses_N: Floats, days_N: Whole, *, first: date, last: date,
    earlier: int = 0,
) -> ConceptDrift | None:
    """What the matured losses (n,) of a champion's own answers say; None of none.

    days_N: when their events happened, in days after `first`, the first day of its reign that is
    looked at, `earlier` days after its beginning; last: the last day that is mature
    """
    days = (last - first).days + 1
    inside = (days_N >= 0) & (days_N < days)
    if days < 1 or not inside.any() or len(held_out.losses_N) < 2:
        return None
    cut_N, day_N = np.minimum(losses_N[inside], held_out.bound), days_N[inside]
    sums = [np.cumsum(np.bincount(day_N, each, minlength=days)[::-1])[::-1]
            for each in (np.ones(len(cut_N)), cut_N, cut_N**2)]
    rows_T, sum_T, squares_T = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_T = np.where(rows_T > 0, sum_T / rows_T, held_out.mean)
        spread_T = np.where(rows_T > 1, squares_T / rows_T - mean_T**2, 0.0)
    # Of few rows the held-out variance is surer.
    own = float(np.minimum(held_out.losses_N, held_out.bound).var(ddof=1))
    variance_T = np.maximum(spread_T, own)
    lasted_T = np.arange(days, 0, -1)
    noise_T = (variance_T / np.maximum(rows_T, 1) + held_out.between_days / lasted_T
               + held_out.error)
    evidence_T = np.where(rows_T > 0, _one_sided(mean_T - held_out.mean, noise_T, variance_T), 0.0)
    start, found = int(np.argmax(evidence_T)), log_e(evidence_T, earlier)
    likely = bool(evidence_T[start] >= LIKELY)
    lead = float(mean_T[start if likely else 0] - held_out.mean)
    return ConceptDrift(
        lead=lead, log_e=found,
        rows=int(rows_T[0]), since=first + start * DAY if likely else None,
        sure=found >= log(1 / LEVEL) and lead >= SMALLEST * sqrt(own))


def _one_sided(lead_T: Floats, noise_T: Floats, variance_T: Floats) -> Floats:
    """ln of a normal mixture over positive leads (Robbins 1970): see `evaluation.sequential`."""
    parts = []
    for shift in SHIFTS:
        prior_T = shift**2 * variance_T + 1e-18
        whole_T = noise_T + prior_T
        z_T = lead_T * np.sqrt(prior_T / (noise_T * whole_T))
        tail_T = np.array([log(max(NORMAL.cdf(each), 1e-300)) for each in z_T.tolist()])
        parts.append(log(2) + 0.5 * np.log(noise_T / whole_T) + z_T**2 / 2 + tail_T)
    return np.asarray(np.logaddexp.reduce(np.array(parts), axis=0) - log(len(SHIFTS)))


def said(drift: ConceptDrift, loss: str) -> str:
    """In words. loss: its name"""
    since = "" if drift.since is None else f", most likely since {drift.since}"
    more = "more" if drift.lead >= 0 else "less"
    sure = f"e-value {np.exp(min(drift.log_e, 20)):,.2g}{' or more' if drift.log_e > 20 else ''}"
    return (f"live {loss} is {abs(drift.lead):.3g} {more} than held out on {drift.rows} outcomes "
            f"({sure}, needed {1 / LEVEL:.0f}){since}")


def numbered(event_days: Whole, first: date) -> Whole:
    """Days after `first` of days since 1970."""
    return event_days - (first - date(1970, 1, 1)) // timedelta(days=1)
