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
    """Of N rows: each draw takes as many of them as there are, or as many of the target's units,
    all alike. How many have which label differs from draw to draw, as from sample to sample.

    rows: N
    members: how many rows, or units, there are to draw
    smallest: how many the smallest stratum of the target has: rows of one label, or all units
    unit_N: the unit (N,) of each row; None if rows are drawn
    """

    rows: int
    members: int
    smallest: int
    unit_N: Whole | None

    @classmethod
    def of(cls, target: Target, codes_N: Floats, subjects: Subjects) -> Resampling:
        unit_N = target.units(subjects)
        if unit_N is not None:
            members = smallest = int(unit_N.max(initial=-1)) + 1
        else:
            members = len(codes_N)
            smallest = int(np.unique(target.strata(codes_N), return_counts=True)[1].min(initial=(
                members)))
        return cls(rows=len(codes_N), members=members, smallest=smallest, unit_N=unit_N)

    @property
    def trials(self) -> int:
        """How often the smallest stratum is drawn from: at least so many draws are independent."""
        return self.smallest

    def weightings(self, resamples: int, seed: int) -> Iterator[Floats]:
        """How often each row counts: first the sample itself, then its resamples, some at a time:
        (R, N) each.
        """
        yield np.ones((1, self.rows))
        generator = np.random.default_rng(seed)
        at_once = max(1, CHUNK // max(1, self.rows))
        for start in range(0, resamples, at_once):
            count = min(at_once, resamples - start)
            drawn = generator.integers(max(1, self.members), size=(count, self.members))
            drawn += np.arange(count)[:, None] * self.members
            weights = np.bincount(drawn.ravel(), minlength=count * self.members).reshape(
                count, self.members).astype(np.float64)
            yield weights if self.unit_N is None else weights[:, self.unit_N]
