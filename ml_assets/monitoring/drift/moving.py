"""Columns that move by themselves: counters of a lifetime, the date, whatever grows.

Of these any live day differs from the training set, and says nothing. A reference that ages with
the window does: each row is ranked among the rows of the two windows before its day. What grows as
it always grew keeps its ranks, in the training set and live; what jumps does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml_assets.core.target import Floats, Whole
from ml_assets.monitoring.drift.bins import Vector
from ml_assets.monitoring.drift.evidence import Yardstick

WINDOWS = 2
"""Windows before a day that its rows are ranked among."""
FEWEST_DAYS, SURE = 8, 4.0
"""Days of a reference that show a trend, and by how many standard errors it must differ from none.
"""


def moves(yardstick: Yardstick, effect: float) -> bool:
    """Whether the column has a trend within its reference: the days' mean ranks, as units, have a
    slope that is sure, and from its first day to its last that comes to a shift whose stability
    index is `effect`: the square of it, in standard deviations."""
    days_DB = yardstick.days_DB
    rows_D = days_DB.sum(axis=1).astype(np.float64)
    days_DB, rows_D = days_DB[rows_D > 0], rows_D[rows_D > 0]
    if len(days_DB) < FEWEST_DAYS or not len(yardstick.scores_JB):
        return False
    mean_D = days_DB @ yardstick.scores_JB[0] / rows_D
    weight_D = rows_D / rows_D.sum()
    at_D = np.arange(len(days_DB)) - weight_D @ np.arange(len(days_DB))
    spread = float(weight_D @ at_D**2)
    slope = float(weight_D @ (at_D * mean_D)) / spread
    rest_D = mean_D - weight_D @ mean_D - slope * at_D
    error = np.sqrt(float(weight_D @ rest_D**2) / (len(days_DB) - 2) / spread)
    whole = abs(slope) * len(days_DB)
    return bool(abs(slope) > SURE * max(error, 1e-9) and whole**2 >= effect)


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedDays:
    """Rows of a column in the order of their days: values (n,) and days (n,), as numbers."""

    values: Vector
    days: Whole

    @classmethod
    def of(cls, values: Vector, days: Whole) -> RankedDays:
        order = np.argsort(days, kind="stable")
        return cls(values=values[order], days=days[order])

    def ranks(self, values: Vector, day: int, span: int) -> Floats | None:
        """The mid-rank in [0, 1] of each value (m,) among the rows of the `span` days before `day`;
        NaN stays NaN. None if there is no row in the first or in the last half of these days."""
        first, middle, end = np.searchsorted(self.days, [day - span, day - span // 2, day])
        if first == middle or middle == end:
            return None
        window = self.values[first:end]
        ordered = np.sort(window[~np.isnan(window)])
        if not len(ordered):
            return None
        below = np.searchsorted(ordered, values, side="left")
        upto = np.searchsorted(ordered, values, side="right")
        ranks: Floats = (below + upto) / (2 * len(ordered))
        ranks[np.isnan(values)] = np.nan
        return ranks

    def own_ranks(self, span: int) -> tuple[Floats, Whole]:
        """Of all its rows that have such days before them: their ranks and days."""
        ranks, days = [], []
        for day in np.unique(self.days).tolist():
            first, end = np.searchsorted(self.days, [day, day + 1])
            found = self.ranks(self.values[first:end], day, span)
            if found is not None:
                ranks.append(found)
                days.append(np.full(len(found), day))
        if not ranks:
            return np.empty(0), np.empty(0, np.int64)
        return np.concatenate(ranks), np.concatenate(days)


