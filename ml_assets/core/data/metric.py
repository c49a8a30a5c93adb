"""Ways to say how good answers are, and what can be measured by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One way to say how good answers are.

    higher: whether more is better
    lowest, highest: between these every value lies
    best: the value that is best, if neither more nor less than it is: then the distance from it
        alone says how bad a value is
    root_of: the metric whose square root it is; complement_of: 1 minus which it is
    heavy: whether it is a mean of rows a few of which are far above all others, as costs are
    """

    higher: bool
    lowest: float = 0.0
    highest: float = np.inf
    best: float | None = None
    root_of: str | None = None
    complement_of: str | None = None
    heavy: bool = False

    @property
    def complemented(self) -> Metric:
        """What 1 minus the metric is, if that lies in [0, 1]."""
        return Metric(higher=not self.higher, highest=1)

    def goodness(self, values: Floats) -> Floats:
        """The values turned so that more is better: differences of these are leads."""
        if self.best is not None:
            return -np.abs(values - self.best)
        return values if self.higher else -values


@dataclass(frozen=True, kw_only=True, eq=False)
class Cases:
    """What answers lost, case by case: C cases among N rows.

    losses: (C,) of each, lower is better; rows: (C,) the first row of each
    """

    losses: Floats
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanOfShares:
    """The mean of K shares of rows.

    hits, trials: (K,)
    alike: how the shares move together, correlations (K, K)
    turned: what a share counts as: rising, from [0, 1] to [0, 1]; None if as itself
    below, above: how much less or more their mean may be for a reason that has nothing to do with
        them, such as a threshold that is estimated
    """

    hits: Floats
    trials: Floats
    alike: Floats
    turned: Callable[[Floats], Floats] | None = None
    below: float = 0.0
    above: float = 0.0

    def counted(self, shares: Floats) -> Floats:
        """What shares count as."""
        return shares if self.turned is None else self.turned(shares)


class Measured(Protocol):
    """N rows of codes and outputs, prepared to be measured under any weighting.

    NaN stands for what cannot be computed, such as the recall of rows without positives.
    """

    @property
    def shares(self) -> Mapping[str, tuple[int, int]]:
        """(hits, trials) of the metrics that are shares of rows: they have exact intervals."""
        ...

    @property
    def means(self) -> Mapping[str, MeanOfShares]:
        """The metrics that are means of such shares, such as one for each class."""
        ...

    @property
    def contributions(self) -> Mapping[str, tuple[Floats, ...]]:
        """What each row adds to a metric, so that their mean is its value: of means of rows and of
        what is as good as one (one group), of shares of pairs (a group for either side). If rows
        come in units that are alike, what each unit adds."""
        ...

    @property
    def clustered(self) -> Mapping[str, Floats]:
        """Of means of rows that are alike within a cluster, such as a day, what each of D clusters
        adds, (D,). Leads have no need of it: how hard a day is concerns both models alike."""
        ...

    @property
    def unsure(self) -> Mapping[str, str]:
        """The metrics of which these rows are too few to give an interval, or of which none is
        known to hold: they are told without. Why, in words, by name."""
        ...

    def measure(self, weights_RN: Floats) -> dict[str, Floats]:
        """Each metric under each of R weightings, (R,).

        Weights say how often each row counts; the rows of a unit, if the target has units, weigh
        the same. Of weights that leave no row of a label, what needs one is NaN.
        """
        ...
