"""How far the shares of a column's values are from those of its reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import erfc, exp, lgamma, log, sqrt

import numpy as np

from ml_assets.monitoring.drift import Change, Vector, index_of_counts

LEAST = 5
"""Rows that a value must be expected to have in either sample; rarer values count together."""
OTHERS = "others"


@dataclass(frozen=True, kw_only=True)
class CategorySamples:
    """One column: how often each value occurs in the reference and now; "" is missing.

    Either has at least one row. A value that only one of them has is a value as any other.
    """

    reference: Mapping[str, int]
    current: Mapping[str, int]

    def change(self) -> Change:
        """The index over the values; their largest difference of shares; and its chance, from a
        chi-square test of homogeneity (Pearson, 1900).

        Values too rare for the test count together, by both samples alike: which of them are new
        is chance, if most are seen once.
        """
        counts_2K = np.array(list(self.counted().values()), dtype=np.float64).T
        rows_2 = counts_2K.sum(axis=1, keepdims=True)
        expected_2K = rows_2 * counts_2K.sum(axis=0) / rows_2.sum()
        statistic = float(((counts_2K - expected_2K) ** 2 / expected_2K).sum())
        then_K, now_K = counts_2K / rows_2
        return Change(
            psi=index_of_counts(*counts_2K), distance=float(np.abs(then_K - now_K).max()),
            p_value=chi_square_p_value(statistic, counts_2K.shape[1] - 1),
            reference_missing=self.reference.get("", 0) / float(rows_2[0, 0]),
            missing=self.current.get("", 0) / float(rows_2[1, 0]),
        )

    def counted(self) -> dict[str, tuple[int, int]]:
        """(then, now) of each value that is frequent enough, the most frequent first, and of all
        others together.
        """
        then, now = sum(self.reference.values()), sum(self.current.values())
        least = LEAST * (then + now) / min(then, now)
        pairs = {value: (self.reference.get(value, 0), self.current.get(value, 0))
                 for value in {**self.reference, **self.current}}
        often = {value: pair for value, pair in
                 sorted(pairs.items(), key=lambda each: (-sum(each[1]), each[0]))
                 if sum(pair) >= least}
        known = np.array(list(often.values()), dtype=np.int64).reshape(-1, 2).sum(axis=0)
        rest = (then - int(known[0]), now - int(known[1]))
        return {**often, OTHERS: rest} if sum(rest) else often


def counts_of(values: Vector) -> dict[str, int]:
    """How often each code (n,) occurs; NaN is missing."""
    found, times = np.unique(values[~np.isnan(values)], return_counts=True)
    counts = {f"{value:.10g}": int(count) for value, count in zip(found, times, strict=True)}
    missing = int(np.isnan(values).sum())
    return {**counts, "": missing} if missing else counts


def chi_square_p_value(statistic: float, freedom: int) -> float:
    """The chance of a chi-square variable of `freedom` degrees to be at least `statistic`.

    The upper incomplete gamma function by its recurrence, exact for whole degrees. Source:
    Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.4.4 and 26.4.5.
    """
    if freedom < 1 or statistic <= 0:
        return 1.0
    half = statistic / 2
    chance, order = (erfc(sqrt(half)), 0.5) if freedom % 2 else (exp(-half), 1.0)
    while order < freedom / 2:
        chance += exp(order * log(half) - half - lgamma(order + 1))
        order += 1
    return min(1.0, chance)
