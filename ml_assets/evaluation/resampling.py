"""How rows are drawn again and again: what differs between draws is how sure a number is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.target import Floats, Target, Whole

CHUNK = 200_000
"""Weights held at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampling:
    """Of N rows. Rows are drawn within each stratum of the target, or its units are, all alike.

    rows: N
    strata: what is drawn, by stratum, each with as many draws as it has members
    unit_N: the unit (N,) of each row; None if rows are drawn
    """

    rows: int
    strata: tuple[Whole, ...]
    unit_N: Whole | None

    @classmethod
    def of(cls, target: Target, codes_N: Floats, subjects: Subjects) -> Resampling:
        unit_N = target.units(subjects)
        if unit_N is not None:
            strata: tuple[Whole, ...] = (np.arange(int(unit_N.max(initial=-1)) + 1),)
        else:
            stratum_N = target.strata(codes_N)
            strata = tuple(np.flatnonzero(stratum_N == each) for each in np.unique(stratum_N))
        return cls(rows=len(codes_N), strata=strata, unit_N=unit_N)

    @property
    def trials(self) -> int:
        """How often the smallest stratum is drawn from: at least so many draws are independent."""
        return min(map(len, self.strata), default=0)

    def weightings(self, resamples: int, seed: int) -> Iterator[Floats]:
        """How often each row counts: first the sample itself, then its resamples, some at a time:
        (R, N) each.
        """
        yield np.ones((1, self.rows))
        generator = np.random.default_rng(seed)
        at_once = max(1, CHUNK // max(1, self.rows))
        for start in range(0, resamples, at_once):
            count = min(at_once, resamples - start)
            weights = np.zeros((count, sum(map(len, self.strata))))
            for members in self.strata:
                drawn = generator.integers(max(1, len(members)), size=(count, len(members)))
                drawn += np.arange(count)[:, None] * len(members)
                times = np.bincount(drawn.ravel(), minlength=count * len(members))
                weights[:, members] = times.reshape(count, len(members))
            yield weights if self.unit_N is None else weights[:, self.unit_N]
