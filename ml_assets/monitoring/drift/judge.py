"""What is said of each column on a day: whether it has changed, since when, by how much, how.

A column drifts if the change is large (population stability index, or the share of missing values)
*and* cannot be chance, over all columns and all days (`evidence`). Effect alone alarms on small
samples, significance alone on large ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from math import exp, log

import numpy as np

from ml_assets.core.policies import DriftPolicy
from ml_assets.core.time import DAY
from ml_assets.monitoring.drift.bins import Counts, stability_index
from ml_assets.monitoring.drift.discoveries import discovered
from ml_assets.monitoring.drift.evidence import (
    Yardstick,
    log_e,
    log_e_of_starts,
    telling,
)

LIKELY = log(20)
"""ln of the e-value from which on one may say since when."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveColumn:
    """A column's reference, and its counts of T live days without a gap, the last one judged.

    names: of the bins; moves: it moves by itself, and is counted beside the days before (`moving`);
    rises: only higher values say anything
    """

    yardstick: Yardstick
    names: tuple[str, ...]
    live_TB: Counts
    moves: bool = False
    rises: bool = False


@dataclass(frozen=True, kw_only=True)
class ColumnDrift:
    """One column on a day.

    effect: population stability index of the days since the change began, a window of them at most,
        and of the whole window if none is likely; less what chance makes of so few rows: 0.1 is
        called small, 0.25 large.
    log_e: ln of the e-value against "nothing has changed": 3 is evidence at 5% for a single column.
    since: the day from which on the rows differ most surely; None as long as that is not likely.
    says: what has changed, in words.
    reference_missing, missing: shares of missing values, in the reference and since the change.
    moves: it moves by itself already in the reference, and is judged beside the days before.
    drifted: large and sure, by the system's policy.
    days: for how many days it has been different, if it drifts.
    confirmed_on: the day on which these became enough; None if they are not.
    watched_from: the first day that counts: what was before ended as a drift of its own.
    """

    name: str
    reference_missing: float
    missing: float
    drifted: bool
    effect: float = 0.0  # reports of an earlier release have neither this nor the next two
    log_e: float = 0.0
    says: str = ""
    since: date | None = None
    moves: bool = False
    days: int = 0
    confirmed_on: date | None = None
    watched_from: date | None = None

    @property
    def odds(self) -> str:
        """How sure, in words: the e-value."""
        if self.log_e <= 0:
            return "none"
        return (f"{float(f'{exp(self.log_e):.2g}'):,.0f} to 1" if self.log_e < 14 else
                f"10^{self.log_e / log(10):.0f} to 1")


@dataclass(kw_only=True)
class _Found:
    """A column before all of them are judged."""

    log_e: float = 0.0
    effect: float = 0.0
    since: date | None = None
    lasted: int = 0
    says: str = "no row yet"
    missing: tuple[float, float] = (0.0, 0.0)
    large: bool = False
    watched_from: date | None = field(default=None)


def judge(
    columns: Mapping[str, LiveColumn], policy: DriftPolicy, day: date,
    earlier: Mapping[str, ColumnDrift],
) -> tuple[ColumnDrift, ...]:
    """Every column on `day`, the last of the live days, in their order.

    earlier: of the day before, against the same reference. Once a drift has ended, its column is
    watched anew from that day on, with a level of its own.
    """
    found = {name: _look(column, policy, day, earlier.get(name))
             for name, column in columns.items()}
    # An e-value times "the effect is large" is at most the e-value, and so one too.
    sure = discovered([each.log_e if each.large else -np.inf for each in found.values()],
                      policy.false_discovery_rate)
    judged = []
    for (name, each), drifts in zip(found.items(), sure.tolist(), strict=True):
        before = earlier.get(name)
        confirmed = before.confirmed_on if before is not None and drifts else None
        if drifts and confirmed is None and each.lasted >= policy.persistence:
            confirmed = day
        ended = before is not None and before.drifted and not drifts
        judged.append(ColumnDrift(
            name=name, effect=each.effect, log_e=each.log_e, says=each.says, since=each.since,
            reference_missing=each.missing[0], missing=each.missing[1], drifted=drifts,
            moves=columns[name].moves, days=each.lasted if drifts else 0, confirmed_on=confirmed,
            watched_from=day + DAY if ended else each.watched_from,
        ))
    return tuple(judged)


def _look(
    column: LiveColumn, policy: DriftPolicy, day: date, before: ColumnDrift | None
) -> _Found:
    live_TB = column.live_TB
    watched_from = before.watched_from if before is not None else None
    if watched_from is not None:
        live_TB = live_TB[max(0, len(live_TB) - ((day - watched_from).days + 1)):]
    found = _Found(watched_from=watched_from)
    if not live_TB.sum() or not column.yardstick.rows:
        return found
    of_starts_T = log_e_of_starts(column.yardstick, live_TB)
    found.log_e = log_e(of_starts_T)
    start, window = int(np.argmax(of_starts_T)), max(0, len(live_TB) - policy.window.days)
    if of_starts_T[start] >= LIKELY:
        found.lasted = len(live_TB) - start
        found.since = day - (found.lasted - 1) * DAY
    else:
        start = window
    now_B = live_TB[max(start, window):].sum(axis=0)
    then_B = column.yardstick.counts_B
    found.effect = stability_index(then_B, now_B)
    found.missing = float(then_B[-1] / then_B.sum()), float(now_B[-1] / max(1, now_B.sum()))
    found.large = found.effect >= policy.effect or (
        abs(found.missing[1] - found.missing[0]) >= policy.missing_effect)
    if column.rises and found.large:
        found.large = _mean_rank(column, now_B) > _mean_rank(column, then_B)
    found.says = said(column, now_B)
    return found


def _mean_rank(column: LiveColumn, counts_B: Counts) -> float:
    waves_JB = column.yardstick.scores_JB
    return float(waves_JB[0] @ counts_B / max(1, counts_B.sum())) if len(waves_JB) else 0.0


def said(column: LiveColumn, now_B: Counts) -> str:
    """What tells `now_B` from the reference most surely, in words."""
    yardstick = column.yardstick
    then_B = yardstick.counts_B
    if not now_B.sum():
        return "no row"
    name, index = telling(yardstick, now_B)
    then, now = (counts / counts.sum() for counts in (then_B, now_B))
    if name in ("location", "spread", "skewness"):
        lead = float(yardstick.scores_JB[index] @ now - yardstick.scores_JB[index] @ then)
        if name == "location":
            return f"{'higher' if lead > 0 else 'lower'} by {abs(lead):.2f} standard deviations"
        if name == "spread":
            return f"{'more' if lead > 0 else 'less'} spread out"
        return "another shape"
    if name == "outside":
        return (f"{now[0] + now[-2]:.1%} outside the range of the reference")
    return f"{column.names[index]} {then[index]:.1%} -> {now[index]:.1%}"
