"""Precision among the highest groups of each day, for many weightings of the rows at once."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ml_assets.core.data.subjects import Subjects, groups
from ml_assets.core.target import Bools, Floats, Whole
from ml_assets.targets.top_precision import TopPrecision

FEWEST_DAYS = 5
FEW_DAYS = f"fewer than {FEWEST_DAYS} days are judged, and rows of one day are alike"


def added_by_days(values_N: Floats, subjects: Subjects) -> Floats | None:
    """What each day adds to the mean of these rows, (D,); None if there are fewer than
    `FEWEST_DAYS` days, or of some rows the day is not known.

    Rows of one day are alike: sums over days make up the variance of the mean, as those over
    clusters do (Liang and Zeger, "Longitudinal data analysis using generalized linear models",
    Biometrika 73, 1986).
    """
    if np.isnat(subjects.instants).any():
        return None
    days, day_N = np.unique(subjects.instants.astype("M8[D]"), return_inverse=True)
    if len(days) < FEWEST_DAYS:
        return None
    mean = values_N.mean()
    added_D: Floats = mean + np.bincount(day_N, values_N - mean) * len(days) / len(values_N)
    return added_D


class MeasuredTop:
    """N labels and scores by day and group, see `TopPrecision`.

    In a resample a group is what was drawn of its rows, and counts once however often that was.
    Of groups that score alike the one whose key comes first is higher.
    """

    def __init__(
        self, declared: TopPrecision, labels_N: Bools, scores_N: Floats, subjects: Subjects
    ) -> None:
        self._declared = declared
        keys = subjects.keys.get(declared.by)
        self._days: list[_Day] = []
        self._groups = 0
        if keys is None:
            return
        rows = np.flatnonzero(~np.isnat(subjects.instants) & (keys != ""))
        day, group = subjects.instants[rows].astype("M8[D]"), groups(keys[rows])
        self._groups = int(group.max(initial=-1)) + 1
        order = np.lexsort((-scores_N[rows], group, day))
        rows, day, group = rows[order], day[order], group[order]
        for some in np.split(np.arange(len(rows)), np.flatnonzero(day[1:] != day[:-1]) + 1):
            if len(some):
                self._days.append(_Day(
                    rows[some], group[some], labels_N[rows[some]], scores_N[rows[some]]))

    def measure(self, weights_RN: Floats) -> Floats:
        """(R,), NaN without any group. A day with fewer groups has fewer at its top."""
        shares_RD = self._by_day(weights_RN)
        days_R = (~np.isnan(shares_RD)).sum(axis=1)
        means_R: Floats = np.divide(np.nansum(shares_RD, axis=1), days_R,
                                    out=np.full(len(days_R), np.nan), where=days_R > 0)
        return means_R

    @cached_property
    def daily(self) -> Floats:
        """The share of each day that has a group, in order."""
        rows = max((int(day.rows.max()) + 1 for day in self._days), default=0)
        shares_D: Floats = self._by_day(np.ones((1, rows)))[0]
        there_D: Floats = shares_D[~np.isnan(shares_D)]
        return there_D

    def _by_day(self, weights_RN: Floats) -> Floats:
        """(R, D), NaN of a day without any group."""
        found_RG = np.zeros((len(weights_RN), self._groups), bool)
        shares_RD = np.full((len(weights_RN), len(self._days)), np.nan)
        for number, day in enumerate(self._days):
            there_RD = weights_RN[:, day.rows] > 0
            if self._declared.repeat == "once":
                there_RD &= ~found_RG[:, day.group]
            taken_RK, right_RK = day.highest(there_RD, self._declared.top)
            found_RG[:, day.groups] |= right_RK
            count = taken_RK.sum(axis=1)
            np.divide(right_RK.sum(axis=1), count, out=shares_RD[:, number], where=count > 0)
        return shares_RD


class _Day:
    """The D rows of a day, by its K groups and in each from the highest score on."""

    def __init__(self, rows: Whole, group: Whole, labels_D: Bools, scores_D: Floats) -> None:
        self.rows, self.group, self._labels = rows, group, labels_D
        self._starts = np.flatnonzero(np.diff(group, prepend=-1))
        self.groups = group[self._starts]
        self._sizes = np.diff(np.append(self._starts, len(group)))
        self._by_score = np.argsort(-scores_D, kind="stable")

    def highest(self, there_RD: Bools, top: int) -> tuple[Bools, Bools]:
        """(R, K) each: which groups are among the `top`, and which of these are True."""
        before: Whole = np.cumsum(there_RD, axis=1) - there_RD
        opens: Whole = np.repeat(before[:, self._starts], self._sizes, axis=1)
        first = (there_RD & (before == opens))[:, self._by_score]
        taken_RD = np.zeros_like(there_RD)
        taken_RD[:, self._by_score] = first & (np.cumsum(first, axis=1) <= top)
        taken_RK = np.logical_or.reduceat(taken_RD, self._starts, axis=1)
        true_RK = np.logical_or.reduceat(there_RD & self._labels, self._starts, axis=1)
        return taken_RK, taken_RK & true_RK
