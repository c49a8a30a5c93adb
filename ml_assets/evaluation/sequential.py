"""Evidence on a mean lead that may be looked at after every row: e-processes, and what follows.

A *lead* is by how much one model loses less than another on the same row. An e-process against "the
mean lead is at most m" is the capital of somebody who starts with 1 and bets on higher leads: if
the claim is true, the capital ever reaches 1 / level with a chance of at most `level` (Ville's
inequality), however often one looks and whenever one stops. The mean is each row's own, given all
before: it may change from day to day.

Bounded leads of independent rows are bet on (Waudby-Smith and Ramdas, "Estimating means of bounded
random variables by betting", Journal of the Royal Statistical Society B 86, 2024): exact for any
sample size. The share of the capital that is bet is a mixture of fixed ones, so the order of rows
does not matter: what was computed yesterday is computed again from the same rows.

Rows of one unit, such as a user's, are alike, and come back on later days. Sums over units have a
normal mixture with the variance between units (one-sided, Robbins 1970; Howard et al.,
"Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49, 2021),
which is asymptotic (Waudby-Smith et al., "Time-uniform central limit theory and asymptotic
confidence sequences", Annals of Statistics 52, 2024). That rows to come resemble those of the same
unit makes crossings rarer, not likelier: of two Gaussian paths with the same variances the one
with larger correlations exceeds a boundary less often (Slepian 1962).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf, log, sqrt
from statistics import NormalDist
from typing import Self

import numpy as np

from ml_assets.core.target import Floats, Whole

STAKES = tuple(np.geomspace(0.02, 0.9, 12).tolist())
"""Shares of the capital that are bet, all with the same weight. Neighbours differ by 1.4, so that
the best stake's growth is missed by a tenth at most."""
FEWEST_UNITS = 50
"""Below, a variance between units says too little."""
USUAL_UNITS = 500
"""At so many units the mixture is tightest."""
NORMAL = NormalDist()


class Leads(ABC):
    """N rows of leads.

    rows: N; mean: of the leads, NaN without rows
    """

    rows: int
    mean: float
    reach: float
    """No mean lead is farther from 0."""

    @abstractmethod
    def against(self, mean: float) -> float:
        """ln of the e-value against "the mean lead is at most `mean`"."""

    @property
    @abstractmethod
    def mirrored(self) -> Self:
        """The leads of the other model."""

    def interval(self, level: float = 0.05) -> tuple[float, float]:
        """A confidence sequence: all of them together hold the mean with a chance of 1 - level.

        >>> leads = BoundedLeads.of(np.array([1.0, 0.0, 1.0, 1.0] * 25), 1.0)
        >>> [round(end, 2) for end in leads.interval()]
        [0.59, 0.87]
        """
        needed = log(2 / level)
        return self._least(needed), -self.mirrored._least(needed)

    def _least(self, needed: float) -> float:
        """The largest mean that the evidence speaks against, by bisection: it falls with the
        mean."""
        low, high = -self.reach, self.mean
        if not self.rows or self.against(low) < needed:
            return -self.reach
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (middle, high) if self.against(middle) >= needed else (low, middle)
        return low


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundedLeads(Leads):
    """Leads of independent rows.

    leads_N: (N,); reaches_N: (N,) no lead is farther from 0, known before the row
    """

    leads_N: Floats
    reaches_N: Floats

    @classmethod
    def of(cls, leads_N: Floats, reach: float) -> BoundedLeads:
        """With one reach for all."""
        return cls(leads_N=leads_N, reaches_N=np.full(len(leads_N), reach))

    @property
    def rows(self) -> int:  # type: ignore[override]
        return len(self.leads_N)

    @property
    def mean(self) -> float:  # type: ignore[override]
        return float(self.leads_N.mean()) if len(self.leads_N) else float("nan")

    @property
    def reach(self) -> float:  # type: ignore[override]
        return float(self.reaches_N.max(initial=0.0))

    @property
    def mirrored(self) -> BoundedLeads:
        return BoundedLeads(leads_N=-self.leads_N, reaches_N=self.reaches_N)

    def against(self, mean: float) -> float:
        """See `Leads.against`.

        >>> better = BoundedLeads.of(np.full(40, 0.25), 1.0)
        >>> better.against(0.0) > log(1 / 0.05) > 0 > better.mirrored.against(0.0)
        True
        """
        returns_N = self._returns(mean)
        with np.errstate(invalid="ignore"):
            grown = [float(np.log1p(stake * returns_N).sum()) for stake in STAKES]
        return float(np.logaddexp.reduce(grown)) - log(len(STAKES))

    def path(self, mean: float) -> Floats:
        """The same after each row, (N,)."""
        grown_N, returns_N = np.full(self.rows, -inf), self._returns(mean)
        for stake in STAKES:
            grown_N = np.logaddexp(grown_N, np.cumsum(np.log1p(stake * returns_N)))
        path_N: Floats = grown_N - log(len(STAKES))
        return path_N

    def _returns(self, mean: float) -> Floats:
        """What a row yields of its stake: a lead of -reach loses it, one of `mean` keeps it."""
        room_N = self.reaches_N + mean
        returns_N: Floats = np.divide(self.leads_N - mean, room_N, out=np.full(self.rows, inf),
                                      where=room_N > 0)
        return returns_N


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusteredLeads(Leads):
    """Leads of rows that belong to units, whose leads may be alike.

    sums_G, rows_G: of each of G units the sum of its leads and how many rows it has
    """

    sums_G: Floats
    rows_G: Floats
    reach: float

    @classmethod
    def of(cls, leads_N: Floats, unit_N: Whole, reach: float) -> ClusteredLeads:
        """unit_N: the unit of each row, from 0 on"""
        _, unit_N = np.unique(unit_N, return_inverse=True)
        return cls(sums_G=np.bincount(unit_N, leads_N).astype(np.float64), reach=reach,
                   rows_G=np.bincount(unit_N).astype(np.float64))

    @property
    def rows(self) -> int:  # type: ignore[override]
        return int(self.rows_G.sum())

    @property
    def mean(self) -> float:  # type: ignore[override]
        return float(self.sums_G.sum() / self.rows) if self.rows else float("nan")

    @property
    def mirrored(self) -> ClusteredLeads:
        return ClusteredLeads(sums_G=-self.sums_G, rows_G=self.rows_G, reach=self.reach)

    def against(self, mean: float) -> float:
        """See `Leads.against`; 0 as long as there are few units."""
        units = len(self.sums_G)
        if units < FEWEST_UNITS:
            return 0.0
        spread_G = self.sums_G - self.rows_G * self.mean
        variance = float(spread_G @ spread_G) * units / (units - 1)
        excess = float(self.sums_G.sum()) - self.rows * mean
        if variance <= 0:
            return inf if excess > 0 else 0.0
        # Where the mixture is tightest: Howard et al. (2021), section 3.5, at a level of 5%.
        prior = variance * USUAL_UNITS / units / 8.9
        whole = variance + prior
        tail = NORMAL.cdf(excess / sqrt(whole))
        if tail <= 0:
            return -inf
        return log(2) + 0.5 * log(prior / whole) + excess**2 / (2 * whole) + log(tail)

