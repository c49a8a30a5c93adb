"""How far an interval must reach from an expected number to hold a declared share of labels."""

from __future__ import annotations

from math import ceil

import numpy as np

from ml_assets.core.target import Floats


def reach(residuals_N: Floats, coverage: float) -> tuple[float, float]:
    """(below, above) the prediction, both at least 0: within lies the truth of a new row with a
    probability of at least `coverage`, missed on either side in at most half of the rest.

    residuals_N: truth minus prediction of N rows that the model was not fitted to. The promise
    holds, whatever the model and the distribution, if the new row is exchangeable with these. Too
    few rows for it give infinity: 90% take 19 of them.

    Source: Linusson, Johansson and Lofstrom, "Signed-error conformal regression", PAKDD (2014);
    split-conformal intervals: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, "Distribution-free
    predictive inference for regression", J. of the American Statistical Association 113 (2018).
    """
    return _bound(-residuals_N, coverage), _bound(residuals_N, coverage)


def _bound(excess_N: Floats, coverage: float) -> float:
    """What the next value exceeds with a probability of at most `(1 - coverage) / 2`."""
    # Before rounding up: (1 - 0.9) / 2 is a rounding error below 0.05.
    rank = ceil(round((len(excess_N) + 1) * (1 + coverage) / 2, 9))
    if rank > len(excess_N):
        return float(np.inf)
    return max(0.0, float(np.partition(excess_N, rank - 1)[rank - 1]))
