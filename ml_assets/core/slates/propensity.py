"""How much a row counts for those that were shown as seldom as it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LARGEST_WEIGHT = 100.0
"""Inverse propensities are clipped here: a row that was shown by rare chance must not decide
alone. It costs a bias towards what was shown often."""


def inverse_propensities(propensities_N: Floats) -> Floats:
    """Weights (N,); 0 if no propensity is known."""
    known_N = propensities_N > 0
    weights_N: Floats = np.where(known_N, 1 / np.where(known_N, propensities_N, 1), 0)
    return np.minimum(weights_N, LARGEST_WEIGHT)


def shown_evenly(propensities_N: Floats) -> Floats:
    """Weights (N,) under which every item stands at every position equally often: 1 on average.

    Rows whose propensity nobody has logged count once each.
    """
    weights_N = inverse_propensities(propensities_N)
    known_N = weights_N > 0
    if known_N.any():
        weights_N[known_N] /= weights_N[known_N].mean()
    weights_N[~known_N] = 1.0
    return weights_N
