"""Ways to say how good answers are, and what can be measured by them."""

from __future__ import annotations

from collections.abc import Mapping
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
    root_of: the metric whose square root it is
    """

    higher: bool
    lowest: float = 0.0
    highest: float = np.inf
    best: float | None = None
    root_of: str | None = None

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


class Measured(Protocol):
    """N rows of codes and outputs, prepared to be measured under any weighting.

    NaN stands for what cannot be computed, such as the recall of rows without positives.
    """

    @property
    def shares(self) -> Mapping[str, tuple[int, int]]:
        """(hits, trials) of the metrics that are shares of rows: they have exact intervals."""
        ...

    @property
    def contributions(self) -> Mapping[str, tuple[Floats, ...]]:
        """Of the metrics that are means of rows (one group), or shares of pairs (a group for either
        side), what each row adds: they have intervals in closed form."""
        ...

    @property
    def unsure(self) -> frozenset[str]:
        """The metrics of which these rows are too few to give an interval, or of which none is
        known to hold: they are told without."""
        ...

    def measure(self, weights_RN: Floats) -> dict[str, Floats]:
        """Each metric under each of R weightings, (R,).

        Weights say how often each row counts; the rows of a unit, if the target has units, weigh
        the same. Of weights that leave no row of a label, what needs one is NaN.
        """
        ...
