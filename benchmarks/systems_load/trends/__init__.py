"""Forecasts of weekly sales, beside simple ones and peers, and after demand has begun to move.

A quick run fits the frozen models alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.environments import NotInstalled
from benchmarks.systems_load.trends.ours import Forecasts, forecast
from benchmarks.systems_load.trends.peers import peer_forecast
from benchmarks.systems_load.trends.planted import planted
from benchmarks.systems_load.trends.rows import FIRST_TESTED, Floats, Year, year
from ml_assets.bench import Measurement
from ml_assets.core.target import Bools
from ml_assets.systems import find

DRAWS = 1000
PLANTED, GROWTH, SHARE = 44, 1.15, 1 / 3
"""From this week on a third of the commodities grow by 15% a week."""


def errors(of: Year, expected: Floats, weeks: Sequence[int]) -> Floats:
    """(N, T) absolute errors, by the error that last week's sales had before the test."""
    return np.asarray(np.abs(_sold(of, weeks) - expected) / of.scale[:, None])


def last_weeks(of: Year, weeks: Sequence[int], count: int = 1) -> Floats:
    """(N, T): each week as the mean of the `count` before it."""
    before = [_sold(of, [week - back for week in weeks]) for back in range(1, count + 1)]
    return np.asarray(np.stack(before).mean(axis=0))


def lead(ours: Floats, theirs: Floats, naive: Floats) -> tuple[float, float, float]:
    """By how much the mean error of ours is smaller than theirs, by that of the naive forecast, and
    95% of it: commodities are drawn, with their errors of all three.
    """
    known = ~np.isnan(naive).any(axis=1)
    better, other = (theirs - ours)[known].mean(axis=1), naive[known].mean(axis=1)
    draw = np.random.default_rng(0).integers(len(better), size=(DRAWS, len(better)))
    low, high = np.quantile(better[draw].sum(1) / other[draw].sum(1), [0.025, 0.975])
    return float(better.sum() / other.sum()), float(low), float(high)


def ratio(ours: Floats, naive: Floats) -> tuple[float, float, float]:
    """Mean error by that of the naive forecast, and 95% of it: commodities are drawn, with all
    their weeks.
    """
    known = ~np.isnan(ours).any(axis=1)
    mine, other = ours[known].mean(axis=1), naive[known].mean(axis=1)
    draw = np.random.default_rng(0).integers(len(mine), size=(DRAWS, len(mine)))
    low, high = np.quantile(mine[draw].sum(1) / other[draw].sum(1), [0.025, 0.975])
    return float(mine.sum() / other.sum()), float(low), float(high)


def measure(*, quick: bool) -> Iterator[Measurement]:
    system = find("trends")
    with TemporaryDirectory(prefix="ml_assets-trends-") as scratch:
        recorded = year(Path(scratch))
    chosen = np.random.default_rng(1).random(len(recorded.commodities)) < SHARE
    moved = planted(recorded, PLANTED, GROWTH, chosen)
    every = np.ones(len(chosen), dtype=bool)
    for name, of, first, some in (("as recorded", recorded, FIRST_TESTED, every),
                                  ("a planted trend", moved, PLANTED, chosen)):
        weeks = [week for week in of.weeks if week >= first]
        case = Case(name=name, of=of, weeks=weeks, some=some)
        yield case.measured("mean of four weeks", last_weeks(of, weeks, 4))
        for frozen in (True,) if quick else (True, False):
            ours = forecast(system, of, weeks, frozen=frozen)
            yield case.judged(f"{'the frozen model' if frozen else 'retrained each week'}", ours)
            yield from _peers(case, ours, frozen=frozen, create=not quick)


def _peers(case: Case, ours: Forecasts, *, frozen: bool, create: bool) -> Iterator[Measurement]:
    """Those that are fitted as rarely as ours: exponential smoothing always sees all weeks."""
    for peer, title in (("lightgbm", "LightGBM"), *(() if frozen else (("ets", "ETS"),))):
        how = "" if peer == "ets" else ", frozen" if frozen else ", retrained each week"
        try:
            found = peer_forecast(peer, case.of, case.weeks, frozen=frozen, create=create)
        except NotInstalled as error:
            yield case.not_measured(f"{title}{how}", str(error))
        else:
            yield case.judged(f"{title}{how}", found, beside=ours)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Weeks of a year, and the commodities that are judged in them (N,)."""

    name: str
    of: Year
    weeks: Sequence[int]
    some: Bools

    def measured(self, who: str, expected: Floats, more: str = "") -> Measurement:
        """Of forecasts (N, T)."""
        found, low, high = ratio(self._errors(expected), self._naive)
        return self._line(
            who, ours=found, met=high < 0.9, goal="below 0.9",
            note=f"{low:.3f} to {high:.3f} (95%, commodities drawn){more}")

    def judged(
        self, who: str, found: Forecasts, *, beside: Forecasts | None = None
    ) -> Measurement:
        """With its interval; of a peer also by how much `beside`, ours, is better."""
        sold = _sold(self.of, self.weeks)
        held = ((found.lower <= sold) & (sold <= found.upper))[self.some].mean()
        more = f"; {held:.1%} within the interval of 90%"
        if beside is None:
            return self.measured(who, found.value, more)
        theirs, low, high = lead(
            self._errors(beside.value), self._errors(found.value), self._naive)
        value, *_ = ratio(self._errors(found.value), self._naive)
        return self._line(
            who, ours=value, met=True, goal="none, for information",
            note=f"ours is better by {theirs:.3f} ({low:.3f} to {high:.3f}, 95%, paired){more}")

    def not_measured(self, who: str, why: str) -> Measurement:
        return self._line(who, ours=float("nan"), met=True, goal="none, for information",
                          not_measured=why)

    @property
    def _naive(self) -> Floats:
        return self._errors(last_weeks(self.of, self.weeks))

    def _errors(self, expected: Floats) -> Floats:
        return errors(self.of, expected, self.weeks)[self.some]

    def _line(
        self, who: str, *, ours: float, met: bool, goal: str, note: str = "",
        not_measured: str | None = None,
    ) -> Measurement:
        return Measurement(
            bench=f"trends, {self.name}: {who}", ours=ours, peer=1.0,
            unit="MASE, by that of last week's sales", ratio=None, goal=goal, met=met, equal=None,
            note=note, not_measured=not_measured)


def _sold(of: Year, weeks: Sequence[int]) -> Floats:
    return np.stack([of.sold[:, of.weeks.index(week)] for week in weeks], axis=1)
