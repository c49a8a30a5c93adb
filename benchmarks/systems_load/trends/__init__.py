"""Forecasts of weekly sales, beside simple ones, and after demand has begun to move.

A quick run fits the frozen models alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.systems_load.trends.ours import forecast
from benchmarks.systems_load.trends.planted import planted
from benchmarks.systems_load.trends.rows import FIRST_TESTED, Floats, Year, year
from ml_assets.bench import Measurement
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
        naive = errors(of, last_weeks(of, weeks), weeks)[some]
        yield _measured(f"{name}: mean of four weeks", naive,
                        errors(of, last_weeks(of, weeks, 4), weeks)[some])
        for frozen in (True,) if quick else (True, False):
            found = forecast(system, of, weeks, frozen=frozen)
            sold = _sold(of, weeks)
            held = ((found.lower <= sold) & (sold <= found.upper))[some].mean()
            yield _measured(
                f"{name}: {'the frozen model' if frozen else 'retrained each week'}", naive,
                errors(of, found.value, weeks)[some], f"; {held:.1%} within the interval of 90%")


def _measured(name: str, naive: Floats, ours: Floats, more: str = "") -> Measurement:
    found, low, high = ratio(ours, naive)
    return Measurement(
        bench=f"trends, {name}", ours=found, peer=1.0, unit="MASE, by that of last week's sales",
        ratio=None, goal="below 0.9", met=high < 0.9, equal=None,
        note=f"{low:.3f} to {high:.3f} (95%, commodities drawn){more}")


def _sold(of: Year, weeks: Sequence[int]) -> Floats:
    return np.stack([of.sold[:, of.weeks.index(week)] for week in weeks], axis=1)
